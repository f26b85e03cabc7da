"""Token ids in, tokens out, chat chunks up: vLLM, SGLang and llama.cpp, V4 and V4.1."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from deepseek_messages.prompt.counting import measure_prompt
from deepseek_messages.prompt.encoding import render, segments
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.dialects import TOKENS
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS
from deepseek_messages.upstreams.tokens.upstream import TokensHttpUpstream
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    FunctionCall,
    JsonSchema,
    ResponseFormat,
    ToolCall,
    UserMessage,
)
from deepseek_messages.wire.messages import Message
from tests.support.answers import FakeSeal
from tests.support.asgi import serve_app
from tests.support.token_route import (
    CITY,
    MODELS,
    OFF,
    ON,
    SERVERS,
    TokenAnswer,
    chat,
    tools,
    written,
)
from tests.support.token_server import TokenServerFake

TOOLS = tools("get_weather", "get_time")

pytestmark = pytest.mark.anyio

Serve = Callable[..., TokensHttpUpstream]


class Stage:
    """One server for the module; each test puts its own fake behind it."""

    fake: TokenServerFake | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.fake is not None:
            await self.fake(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    made = Stage()
    with serve_app(made, lifespan="off") as running:
        yield made, running.url


@pytest.fixture
def serve(stage: tuple[Stage, str]) -> Serve:
    def serve(fake: TokenServerFake, **more: Any) -> TokensHttpUpstream:
        stage[0].fake = fake
        server = TOKEN_SERVERS[fake.kind]
        return TokensHttpUpstream(server=server, base_url=stage[1], proxy_from_env=False, **more)

    return serve


async def read(upstream: TokensHttpUpstream, request: ChatRequest, **plan: Any) -> Message:
    """The answer as one message, through the state machine above."""
    machine = reply_stream(
        ReplyPlan(model="deepseek-chat", **plan), "msg_test", prompt_tokens=None, seal=FakeSeal()
    )
    events = []
    try:
        await upstream.models()
        stream = await upstream.open(UpstreamCall(request=request))
        try:
            while chunks := await stream.read():
                for chunk in chunks:
                    events += machine.feed(chunk)
        finally:
            await stream.aclose()
    finally:
        await upstream.aclose()
    return fold(events + machine.finish())


def plain(content: list[Any]) -> list[Any]:
    """Without what differs from answer to answer: ids and signatures."""
    blocks = json.loads(msgspec.json.encode(content))
    return [{k: v for k, v in block.items() if k not in ("id", "signature")} for block in blocks]


# --- the pieces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "text"])
async def test_the_pieces_do_not_matter(serve: Serve, kind: str, size: int, ids: bool) -> None:
    request = chat(thinking=ON, tools=TOOLS)
    call = ToolCall("c", FunctionCall("get_weather", '{"city": "Paris"}'))
    answer = AssistantMessage(content="Sure.", reasoning_content="Let me see", tool_calls=[call])
    text = written(request, answer, "v4.1")
    fake = TokenServerFake(kind, text, size=size, ids=ids)
    message = await read(serve(fake), request, thinking=True, tools=frozenset({"get_weather"}))
    assert [block["type"] for block in plain(message.content)] == ["thinking", "text", "tool_use"]
    assert plain(message.content)[2]["input"] == {"city": "Paris"}


async def test_sglang_may_stream_increments(serve: Serve) -> None:
    fake = TokenServerFake("sglang", "aaa aaa aaaa a", increments=True)
    message = await read(serve(fake), chat())
    assert plain(message.content) == [{"type": "text", "text": "aaa aaa aaaa a"}]


@pytest.mark.parametrize("kind", SERVERS)
def test_every_token_ends_a_silence(kind: str) -> None:
    """Also one of the mark-up of a call, which says nothing to the client by itself."""
    call = ToolCall("c", FunctionCall("get_weather", '{"city": "Paris"}'))
    text = written(chat(tools=TOOLS), AssistantMessage(content="", tool_calls=[call]), "v4.1")
    made = TokenAnswer(kind, "v4.1", chat(tools=TOOLS), text)
    frames = made.body.split(b"\n\n")
    made.events([frame + b"\n\n" for frame in frames], ReplyPlan(model="m"))
    assert made.reply.contents >= len(TOKENIZER.full.encode(text))
    made.events([b": keep-alive\n\n"] * 5, ReplyPlan(model="m"))
    assert made.reply.contents == 0


# --- what is asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", MODELS)
@pytest.mark.parametrize("kind", SERVERS)
async def test_the_prompt_is_deepseeks_own(serve: Serve, kind: str, encoding: Encoding) -> None:
    fake = TokenServerFake(kind, model=MODELS[encoding])
    request = chat(
        MODELS[encoding], tools=TOOLS, messages=[UserMessage("Say <think> and </think>")]
    )
    await read(serve(fake), request)
    sent = fake.asked[0].get("prompt") or fake.asked[0]["input_ids"]
    rendered = render(request, encoding)
    assert sent[0] == 0  # <｜begin▁of▁sentence｜>
    # What a user writes is text, whatever it spells: it makes no special token.
    assert sent.count(TOKENIZER.special_ids["<｜User｜>"]) == 1
    assert "".join(text for text, _ in segments(rendered)) == rendered.prompt
    assert len(sent) == measure_prompt(request, encoding).tokens


@pytest.mark.row("messages.prefill")
@pytest.mark.parametrize("encoding", MODELS)
@pytest.mark.parametrize("kind", SERVERS)
async def test_a_last_answer_is_continued(serve: Serve, kind: str, encoding: Encoding) -> None:
    fake = TokenServerFake(kind, " three", model=MODELS[encoding])
    begun = AssistantMessage(content="one, two,", prefix=True)
    request = chat(MODELS[encoding], thinking=OFF, messages=[UserMessage(content="Count."), begun])
    message = await read(serve(fake), request)
    sent = fake.asked[0].get("prompt") or fake.asked[0]["input_ids"]
    assert len(sent) == measure_prompt(request, encoding).tokens
    assert render(request, encoding).prompt.endswith("one, two,")
    assert plain(message.content) == [{"type": "text", "text": " three"}]


SAMPLING = {
    "vllm": lambda body: (body["max_tokens"], body["temperature"], body["top_k"]),
    "sglang": lambda body: tuple(
        body["sampling_params"][name] for name in ("max_new_tokens", "temperature", "top_k")
    ),
    "llama.cpp": lambda body: (body["n_predict"], body["temperature"], body["top_k"]),
}


@pytest.mark.parametrize("kind", SERVERS)
async def test_numbers_go_under_the_servers_names(serve: Serve, kind: str) -> None:
    fake = TokenServerFake(kind)
    await read(serve(fake), chat(max_tokens=77, temperature=0.5, top_k=4))
    assert SAMPLING[kind](fake.asked[0]) == (77, 0.5, 4)


async def test_llama_cpp_samples_from_all_tokens(serve: Serve) -> None:
    """It narrows the choice by ``top_k`` and ``min_p`` unless told not to; DeepSeek does not."""
    fake = TokenServerFake("llama.cpp")
    await read(serve(fake), chat())
    asked = fake.asked[0]
    assert (asked["top_k"], asked["min_p"], asked["repeat_penalty"]) == (0, 0.0, 1.0)


@pytest.mark.parametrize("kind", SERVERS)
async def test_thinking_is_sampled_as_deepseek_does(serve: Serve, kind: str) -> None:
    fake = TokenServerFake(kind, "So.</think>Yes")
    await read(serve(fake), chat(thinking=ON, temperature=0.1, top_k=1), thinking=True)
    assert SAMPLING[kind](fake.asked[0])[1] == 1.0


async def test_without_max_tokens_deepseeks_default_is_asked(serve: Serve) -> None:
    fake = TokenServerFake("vllm")
    await read(serve(fake), chat())
    assert fake.asked[0]["max_tokens"] == 8192


CONSTRAINED = {
    "vllm": lambda body: body.get("structured_outputs", {}).get("json"),
    "sglang": lambda body: json.loads(body["sampling_params"].get("json_schema", "null")),
    "llama.cpp": lambda body: body.get("json_schema"),
}


@pytest.mark.parametrize("kind", SERVERS)
async def test_json_is_constrained_while_the_model_does_not_think(serve: Serve, kind: str) -> None:
    form = ResponseFormat("json_schema", JsonSchema(name="answer", schema=CITY))
    fake = TokenServerFake(kind, '{"city":"Paris"}')
    await read(serve(fake), chat(response_format=form))
    assert CONSTRAINED[kind](fake.asked[0]) == json.loads(bytes(CITY))
    fake = TokenServerFake(kind, "So.</think>{}")
    await read(serve(fake), chat(response_format=form, thinking=ON), thinking=True)
    assert CONSTRAINED[kind](fake.asked[0]) is None


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_forced_call_begins_in_the_prompt(serve: Serve, kind: str) -> None:
    request = chat(tools=TOOLS, tool_choice="required")
    call = ToolCall("c", FunctionCall("get_time", '{"city": "Rome"}'))
    free = msgspec.structs.replace(request, tool_choice=None)
    text = written(free, AssistantMessage(content="", tool_calls=[call]), "v4.1")
    _, _, inside = text.partition(" calls>\n")
    message = await read(
        serve(TokenServerFake(kind, inside)), request, tools=frozenset({"get_time"})
    )
    assert plain(message.content) == [
        {"type": "tool_use", "name": "get_time", "input": {"city": "Rome"}}
    ]


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS)
async def test_usage_is_the_servers(serve: Serve, kind: str) -> None:
    fake = TokenServerFake(kind, "Hello you there")
    message = await read(serve(fake), chat())
    prompt = len(fake.asked[0].get("prompt") or fake.asked[0]["input_ids"])
    usage = message.usage
    assert usage.cache_read_input_tokens == 3
    assert usage.input_tokens + 3 == prompt
    assert usage.output_tokens == len(TOKENIZER.full.encode("Hello you there")) + 1


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_limit_is_told(serve: Serve, kind: str) -> None:
    message = await read(serve(TokenServerFake(kind, "Hello", finish="length")), chat())
    assert message.stop_reason == "max_tokens"


@pytest.mark.parametrize("kind", SERVERS)
async def test_an_error_inside_the_stream_is_a_fault(serve: Serve, kind: str) -> None:
    fake = TokenServerFake(kind, error={"message": "out of memory"})
    with pytest.raises(Fault, match="out of memory"):
        await read(serve(fake), chat())


@pytest.mark.parametrize("kind", SERVERS)
async def test_a_status_is_a_fault(serve: Serve, kind: str) -> None:
    with pytest.raises(Fault) as caught:
        await read(serve(TokenServerFake(kind, status=500)), chat())
    assert caught.value.upstream_status == 500


async def test_a_cut_answer_is_a_fault(serve: Serve) -> None:
    class Cut(TokenServerFake):
        def events(self) -> Iterator[dict[str, Any]]:
            yield from list(super().events())[:2]

    with pytest.raises(Fault, match="finish reason"):
        await read(serve(Cut("vllm", "Hello you there")), chat())


@pytest.mark.parametrize("event", [[1, 2], "x"])
async def test_nonsense_is_a_fault(serve: Serve, event: Any) -> None:
    class Nonsense(TokenServerFake):
        def events(self) -> Iterator[Any]:
            yield event

    with pytest.raises(Fault):
        await read(serve(Nonsense("vllm")), chat())


async def test_unknown_token_ids_are_a_fault_or_nothing(serve: Serve) -> None:
    class Wild(TokenServerFake):
        def events(self) -> Iterator[dict[str, Any]]:
            yield {"choices": [{"token_ids": [2**40], "text": "x", "finish_reason": None}]}

    with pytest.raises(Fault):
        await read(serve(Wild("vllm")), chat())


# --- models and room ------------------------------------------------------------------------------


async def test_a_model_of_unknown_encoding_is_refused_until_it_is_named(serve: Serve) -> None:
    upstream = serve(TokenServerFake("vllm", model="my-finetune"))
    with pytest.raises(Fault, match=r"set upstream\.encoding"):
        await upstream.models()
    await upstream.aclose()
    upstream = serve(TokenServerFake("vllm", model="my-finetune"), encoding="v4")
    assert [model.encoding for model in await upstream.models()] == ["v4"]
    await upstream.aclose()


@pytest.mark.parametrize(
    ("window", "max_tokens", "message"),
    [
        (5, 1, "prompt is too long: [0-9]+ tokens > 5 maximum"),
        (50, 100, r"context limit: \d+ \+ 100 > 50"),
    ],
)
async def test_too_long_is_told_in_anthropics_words(
    serve: Serve, window: int, max_tokens: int, message: str
) -> None:
    upstream = serve(TokenServerFake("vllm"), window=window)
    with pytest.raises(Fault, match=message):
        await read(upstream, chat(max_tokens=max_tokens))


async def test_counts_are_exact(serve: Serve) -> None:
    fake = TokenServerFake("vllm")
    upstream = serve(fake)
    count = await upstream.count_tokens(UpstreamCall(request=chat()))
    await read(upstream, chat())
    assert count == len(fake.asked[0]["prompt"])


async def test_what_the_encoder_refuses_is_the_callers_error(serve: Serve) -> None:
    with pytest.raises(Fault) as caught:
        await read(
            serve(TokenServerFake("vllm")), chat(tools=TOOLS, tool_choice="required", thinking=ON)
        )
    assert caught.value.status == 400


async def test_the_most_output_is_deepseeks_whatever_the_model_is_called(serve: Serve) -> None:
    """Its encoder refuses more than 384 K; the request is cut to what the model record allows."""
    fake = TokenServerFake("vllm", model="my-finetune", window=1_048_576)
    upstream = serve(fake, encoding="v4.1")
    (model,) = await upstream.models()
    assert (model.context_window, model.max_output_tokens) == (1_048_576, 393_216)
    await upstream.aclose()


# What each effort of a client's comes to in the prompt (DeepSeek's "Thinking Mode": medium and
# xhigh are high; deepseek-recipe 0.2.0: V4 has a text of 79 tokens for high and of 92 for max, V4.1
# a number, where servers' copies of the encoder of September 2026 have 25, 50 and 100).
EFFORTS: dict[str, dict[Encoding, str | int]] = {
    "low": {"v4": 0, "v4.1": "Reasoning Effort: 50 "},
    "medium": {"v4": 79, "v4.1": "Reasoning Effort: 75 "},
    "high": {"v4": 79, "v4.1": "Reasoning Effort: 75 "},
    "xhigh": {"v4": 79, "v4.1": "Reasoning Effort: 75 "},
    "max": {"v4": 92, "v4.1": "Reasoning Effort: 100 "},
}


@pytest.mark.parametrize("encoding", MODELS)
@pytest.mark.parametrize("effort", EFFORTS)
def test_efforts_are_deepseeks(effort: str, encoding: Encoding) -> None:
    request = chat(thinking=ON, reasoning_effort=TOKENS.efforts[effort])
    bare = chat(thinking=ON, reasoning_effort="low")
    expected = EFFORTS[effort][encoding]
    if isinstance(expected, str):
        assert expected in render(request, encoding).prompt
    else:
        extra = measure_prompt(request, encoding).tokens - measure_prompt(bare, encoding).tokens
        assert extra == expected


async def test_a_request_that_cannot_be_rendered_has_no_count(serve: Serve) -> None:
    upstream = serve(TokenServerFake("vllm", model="my-finetune"))
    call = UpstreamCall(request=chat("my-finetune"))
    assert await upstream.count_tokens(call) is None
    with pytest.raises(Fault, match="the prompt encoding of my-finetune is not known"):
        await upstream.open(call)
    await upstream.aclose()
