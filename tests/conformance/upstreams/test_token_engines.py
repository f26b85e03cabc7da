"""Token ids to real engines: llama.cpp's server, and vLLM where ``VLLM_PYTHON`` names the Python of
an environment that has it. Their model was taught what to answer (``support/token_engines.py``).
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS
from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream, TokenStream
from deepseek_messages.web.app import create_app
from deepseek_messages.wire.chat import ChatChunk, ChatRequest
from tests.support.app import settings_for
from tests.support.gates import wait_until
from tests.support.servers import serve_app
from tests.support.token_engines import (
    AGAIN,
    BEGUN,
    CALLED,
    CONTINUED,
    COUNT,
    DRAWING,
    ENDLESS,
    ENGINES,
    FORCED,
    KEY,
    MODEL,
    PLAIN,
    ROUTES,
    SAID,
    TALKATIVE,
    THOUGHTFUL,
    WINDOW,
    Engine,
    answer_ids,
    asked,
    running_engine,
)

THINKING = {"type": "enabled", "budget_tokens": 1024}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
TOOL = {"name": "get_weather", "description": "", "input_schema": CITY}


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    if request.param == "llama.cpp":
        pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
    with running_engine(request.param, tmp_path_factory.mktemp("model")) as engine:
        yield engine


@pytest.fixture(scope="module", params=ROUTES)
def route(request: pytest.FixtureRequest, engine: Engine) -> str:
    if request.param == "chat" and engine.name == "llama.cpp":
        pytest.skip("it has no template for the model")
    return str(request.param)


@pytest.fixture(scope="module")
def sdk(
    engine: Engine, route: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[anthropic.Anthropic]:
    """The official client of our server in front of the engine."""
    upstream = upstream_to(engine, kind=route)
    settings = settings_for(tmp_path_factory.mktemp("state"), upstream=upstream)
    with serve_app(create_app(settings)) as running, client_of(running.url) as client:
        yield client


def upstream_to(engine: Engine, **more: Any) -> UpstreamSettings:
    return UpstreamSettings(
        server=engine.name,  # type: ignore[arg-type]
        base_url=engine.url,
        proxy_from_env=False,
        **{"kind": "tokens", "api_key": Secret(KEY), **more},
    )


def client_of(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="sk-ours", max_retries=0)


def ask(words: str, **fields: Any) -> dict[str, Any]:
    """The fields of a request; ``thinking`` where the model was taught to think."""
    thinking = {"thinking": THINKING} if "</think>" in SAID.get(words, "") else {}
    said = [{"role": "user", "content": words}]
    return {"model": "deepseek-chat", "max_tokens": 1100, "messages": said, **thinking, **fields}


def facts(message: Any) -> tuple[Any, ...]:
    """What two answers to one question have in common."""
    blocks = message.to_dict()["content"]
    plain = [{k: v for k, v in each.items() if k not in ("id", "signature")} for each in blocks]
    return plain, message.stop_reason, message.stop_sequence, message.usage.output_tokens


@pytest.mark.parametrize("words", [THOUGHTFUL, PLAIN, COUNT, DRAWING])
def test_what_the_model_writes_arrives(sdk: anthropic.Anthropic, words: str) -> None:
    thought, _, text = SAID[words].rpartition("</think>")
    whole = sdk.messages.create(**ask(words))
    with sdk.messages.stream(**ask(words)) as stream:
        streamed = stream.get_final_message()
    blocks, stop, _, written = facts(whole)
    assert blocks == [
        *([{"type": "thinking", "thinking": thought}] if thought else []),
        {"type": "text", "text": text},
    ]
    assert (stop, written) == ("end_turn", len(answer_ids(words)))
    assert facts(streamed) == facts(whole)


def test_it_comes_token_by_token(sdk: anthropic.Anthropic) -> None:
    with sdk.messages.stream(**ask(COUNT)) as stream:
        pieces = list(stream.text_stream)
    assert pieces == SAID[COUNT].replace(" ", "| ").split("|")


def test_a_call_after_thinking(sdk: anthropic.Anthropic) -> None:
    fields = ask(CALLED, tools=[TOOL], thinking=THINKING)
    whole = sdk.messages.create(**fields)
    with sdk.messages.stream(**fields) as stream:
        streamed = stream.get_final_message()
    blocks, stop, _, _ = facts(whole)
    assert stop == "tool_use"
    assert blocks == [
        {"type": "thinking", "thinking": "I look."},
        {"type": "tool_use", "name": "get_weather", "input": {"city": "Paris"}},
    ]
    assert facts(streamed) == facts(whole)


def test_a_forced_call_begins_in_the_prompt(sdk: anthropic.Anthropic) -> None:
    message = sdk.messages.create(**ask(FORCED, tools=[TOOL], tool_choice={"type": "any"}))
    blocks, stop, _, _ = facts(message)
    assert blocks == [{"type": "tool_use", "name": "get_weather", "input": {"city": "Paris"}}]
    assert stop == "tool_use"


def test_a_begun_answer_is_continued(sdk: anthropic.Anthropic) -> None:
    said = [{"role": "user", "content": CONTINUED}, {"role": "assistant", "content": BEGUN}]
    assert sdk.messages.create(**ask(CONTINUED, messages=said)).content[0].text == SAID[CONTINUED]


def test_json_is_held_to_its_schema(sdk: anthropic.Anthropic) -> None:
    """The model was taught to go on after it."""
    form = {"format": {"type": "json_schema", "schema": {**CITY, "additionalProperties": False}}}
    assert sdk.messages.create(**ask(TALKATIVE)).content[0].text == SAID[TALKATIVE]
    message = sdk.messages.create(**ask(TALKATIVE, output_config=form))
    assert json.loads(message.content[0].text) == {"city": "Oslo"}
    assert message.stop_reason == "end_turn"


def test_sampling_is_taken(sdk: anthropic.Anthropic) -> None:
    numbers = {"temperature": 0.3, "top_p": 0.9, "top_k": 5}
    message = sdk.messages.create(**ask(PLAIN), extra_body=numbers)
    assert message.content[0].text == SAID[PLAIN]


def test_the_limit_ends_it(sdk: anthropic.Anthropic) -> None:
    message = sdk.messages.create(**ask(COUNT, max_tokens=3))
    assert facts(message) == ([{"type": "text", "text": "one two three"}], "max_tokens", None, 3)


def test_a_stop_sequence_ends_it_there_and_on_the_engine(
    sdk: anthropic.Anthropic, engine: Engine
) -> None:
    message = sdk.messages.create(**ask(COUNT, stop_sequences=[" four"]))
    blocks, *stop, _ = facts(message)
    assert blocks == [{"type": "text", "text": "one two three"}]
    assert stop == ["stop_sequence", " four"]
    wait_until(lambda: not engine.busy())


def test_who_leaves_frees_the_engine(sdk: anthropic.Anthropic, engine: Engine) -> None:
    before, most = engine.written(), WINDOW - 100
    with sdk.messages.stream(**ask(ENDLESS, max_tokens=most)) as stream:
        assert next(iter(stream.text_stream)) == " la"
        assert engine.busy()
    wait_until(lambda: not engine.busy())
    assert engine.written() - before < most / 2


def test_several_at_once(engine: Engine, sdk: anthropic.Anthropic) -> None:
    words = [PLAIN, COUNT, DRAWING, PLAIN, COUNT]
    streams = [sdk.messages.create(**ask(each), stream=True) for each in words]
    texts = ["".join(_texts(stream)) for stream in streams]
    assert texts == [SAID[each] for each in words]


def _texts(stream: Any) -> Iterator[str]:
    for event in stream:
        if event.type == "content_block_delta":
            yield event.delta.text


# --- figures --------------------------------------------------------------------------------------


def test_the_next_turn_is_read_from_the_engines_cache(sdk: anthropic.Anthropic) -> None:
    system = "You are a friendly guide through an old town. " * 40
    first = [{"role": "user", "content": PLAIN}]
    said = [*first, {"role": "assistant", "content": SAID[PLAIN]}]
    said.append({"role": "user", "content": AGAIN})
    sdk.messages.create(**ask(PLAIN, system=system))
    message = sdk.messages.create(**ask(AGAIN, system=system, messages=said))
    counted = sdk.messages.count_tokens(model="deepseek-chat", system=system, messages=said)
    usage = message.usage
    assert message.content[0].text == SAID[AGAIN]
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens
    # vLLM's cache has blocks of 128 tokens.
    assert counted.input_tokens - 160 < usage.cache_read_input_tokens < counted.input_tokens


def test_what_is_counted_is_what_is_read(sdk: anthropic.Anthropic) -> None:
    """A conversation with a call and its result."""
    call = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "18 C"}
    history: Any = [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"type": "text", "text": PLAIN}]},
    ]
    offered: Any = [TOOL]
    usage = sdk.messages.create(**ask(PLAIN, messages=history, tools=offered)).usage
    counted = sdk.messages.count_tokens(model="deepseek-chat", messages=history, tools=offered)
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens


def test_our_count_is_what_the_engine_evaluated(engine: Engine) -> None:
    async def read(request: ChatRequest) -> tuple[TokenStream, list[ChatChunk]]:
        upstream = tokens_upstream(engine)
        try:
            await upstream.models()
            stream = await upstream.open(UpstreamCall(request=request))
            chunks: list[ChatChunk] = []
            while some := await stream.read():
                chunks += some
            return stream, chunks
        finally:
            await upstream.aclose()

    stream, chunks = asyncio.run(read(asked(THOUGHTFUL)))
    assert isinstance(stream, TokenStream)
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == stream._last.prompt_tokens
    assert usage.completion_tokens == len(answer_ids(THOUGHTFUL))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices if choice.delta]
    thought, _, text = SAID[THOUGHTFUL].partition("</think>")
    assert "".join(each.reasoning_content or "" for each in deltas) == thought
    assert "".join(each.content or "" for each in deltas) == text


def tokens_upstream(engine: Engine) -> TokensHttpUpstream:
    return TokensHttpUpstream(
        server=TOKEN_SERVERS[engine.name],
        base_url=engine.url,
        api_key=engine.key,
        proxy_from_env=False,
    )


# --- errors ---------------------------------------------------------------------------------------


def test_the_window_is_the_engines(engine: Engine, route: str, sdk: anthropic.Anthropic) -> None:
    async def listed() -> list[Model]:
        upstream = tokens_upstream(engine)
        try:
            return list(await upstream.models())
        finally:
            await upstream.aclose()

    (model,) = asyncio.run(listed())
    assert (model.id, model.context_window, model.encoding) == (MODEL, WINDOW, "v4.1")
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.create(**ask("word " * (WINDOW + 1000)))
    assert said(caught.value).startswith("prompt is too long: ")
    assert said(caught.value).endswith(f" tokens > {WINDOW} maximum")
    if route == "chat":  # vLLM takes what room there is
        return
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.create(**ask(PLAIN, max_tokens=WINDOW))
    assert said(caught.value).startswith("input length and `max_tokens` exceed context limit: ")


def test_the_engines_own_words_for_too_long_are_made_anthropics(
    engine: Engine, tmp_path: Path
) -> None:
    """Where a person said that its window is larger than it is."""
    wrong = upstream_to(engine, context_window=100_000)
    with (
        serve_app(create_app(settings_for(tmp_path, upstream=wrong))) as running,
        client_of(running.url) as client,
        pytest.raises(anthropic.BadRequestError) as caught,
    ):
        client.messages.create(**ask("word " * (WINDOW + 1000)))
    assert said(caught.value).startswith("prompt is too long: ")
    assert said(caught.value).endswith(f" tokens > {WINDOW} maximum")


def test_a_wrong_key_is_told(engine: Engine, tmp_path: Path) -> None:
    wrong = upstream_to(engine, api_key=Secret("sk-wrong"))
    with (
        serve_app(create_app(settings_for(tmp_path, upstream=wrong))) as running,
        client_of(running.url) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(**ask(PLAIN))
    assert caught.value.status_code == 502
    assert "refused this server's credentials" in said(caught.value)


def said(error: anthropic.APIStatusError) -> str:
    body: Any = error.body
    return body["error"]["message"]
