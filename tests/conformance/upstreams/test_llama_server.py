"""llama.cpp's own HTTP server as a chat upstream: the real program and the real default model."""

import json
from collections.abc import Iterator

import pytest

from deepseek_messages.settings import Secret, load_settings
from deepseek_messages.store.models import DEFAULT, ModelStore
from tests.conformance.rig import Reply, Rig, request
from tests.conformance.upstreams.recorded import serving_at
from tests.support.llama_server import CONTEXT, KEY, llama_server

pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    path = ModelStore(load_settings(None, {}, {}).cache_dir).resolve(DEFAULT).fetch(lambda *_: None)
    with llama_server(path) as url:
        yield url


@pytest.fixture(scope="module")
def rig(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Nobody told it that this is llama.cpp."""
    state = tmp_path_factory.mktemp("llama")
    with serving_at(url, state, api_key=Secret(KEY)) as rig:
        yield rig


def ask(rig: Rig, **fields: object) -> Reply:
    reply = rig.call("POST", "/v1/messages", request(temperature=0, **fields))
    assert reply.status == 200, reply.raw
    return reply


def test_whole_answer(rig: Rig) -> None:
    reply = ask(rig, max_tokens=12)
    assert reply.text
    usage = reply.body["usage"]
    counted = rig.call("POST", "/v1/messages/count_tokens", request(max_tokens=...))
    assert counted.notes == []  # counted by the server itself
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == counted.body["input_tokens"]
    assert 0 < usage["output_tokens"] <= 12


def test_stream_says_the_same(rig: Rig) -> None:
    whole = ask(rig, max_tokens=12)
    events = ask(rig, max_tokens=12, stream=True).events
    text = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(text) == whole.text
    assert events[-2]["delta"]["stop_reason"] == whole.body["stop_reason"]


def test_structured_output_is_held_to_its_schema(rig: Rig) -> None:
    form = {"type": "json_schema", "schema": TOOL["input_schema"]}
    said = [{"role": "user", "content": "Name a city, as JSON."}]
    reply = ask(rig, max_tokens=60, messages=said, output_config={"format": form})
    assert isinstance(json.loads(reply.text)["city"], str)


def test_forced_tool_is_called_though_the_template_knows_no_tools(rig: Rig) -> None:
    said = [{"role": "user", "content": "Weather in Oslo?"}]
    choice = {"type": "tool", "name": "get_weather"}
    reply = ask(rig, max_tokens=500, messages=said, tools=[TOOL], tool_choice=choice)
    assert reply.body["stop_reason"] == "tool_use"
    (call,) = [block for block in reply.body["content"] if block["type"] == "tool_use"]
    assert call["name"] == "get_weather"
    assert isinstance(call["input"]["city"], str)


def test_tool_result_is_read(rig: Rig) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "18 C"}
    said = [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    assert ask(rig, max_tokens=12, messages=said, tools=[TOOL]).body["content"]


def test_a_prefilled_answer_is_continued(rig: Rig) -> None:
    said = [
        {"role": "user", "content": "Count from one to five in words."},
        {"role": "assistant", "content": "one, two, three,"},
    ]
    assert "four" in ask(rig, max_tokens=8, messages=said).text


def test_too_long_a_prompt_is_refused_in_anthropics_words(rig: Rig) -> None:
    said = [{"role": "user", "content": "word " * 3000}]
    reply = rig.call("POST", "/v1/messages", request(messages=said, stream=True))
    assert (reply.status, reply.body["error"]["type"]) == (400, "invalid_request_error")
    assert reply.body["error"]["message"].startswith("prompt is too long: ")
    assert reply.body["error"]["message"].endswith(f" tokens > {CONTEXT} maximum")


def test_its_model_is_listed_with_its_window(rig: Rig) -> None:
    listed = {entry["id"]: entry for entry in rig.call("GET", "/v1/models").body["data"]}
    assert listed["smollm2"]["max_input_tokens"] == CONTEXT


def test_a_wrong_key_of_this_server_is_not_the_callers_to_mend(url: str, tmp_path) -> None:
    with serving_at(url, tmp_path, api_key=Secret("wrong")) as rig:
        reply = rig.call("POST", "/v1/messages", request())
    assert (reply.status, reply.body["error"]["type"]) == (502, "api_error")
    assert "refused this server's credentials" in reply.body["error"]["message"]
