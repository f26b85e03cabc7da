"""Ollama, vLLM and SGLang by the shapes in which they answer, end to end."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.conformance.rig import Reply, Rig, request
from tests.conformance.upstreams.recorded import JSON, Recorded, chunk, serving_on

TOOL = {
    "name": "get_weather",
    "description": "The weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
THINK = {"type": "enabled", "budget_tokens": 2000}
USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}


def ollama_delta(model: str, finish: str | None = None, **fields: Any) -> JSON:
    delta = {"role": "assistant", "content": "", **fields}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return chunk(model, [choice], system_fingerprint="fp_ollama")


def vllm_delta(model: str, finish: str | None = None, **fields: Any) -> JSON:
    stop_reason = fields.pop("stop_reason", None)
    choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish}
    if finish is not None:
        choice["stop_reason"] = stop_reason
    return chunk(model, [choice | {"token_ids": None}])


def sglang_delta(model: str, finish: str | None = None, **fields: Any) -> JSON:
    matched = fields.pop("stop_reason", 151645 if finish else None)
    delta = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **fields}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return chunk(model, [choice | {"matched_stop": matched}], usage=None)


def ollama() -> Recorded:
    return Recorded("library", "deepseek-r1:8b", {"/api/version": {"version": "0.33.2"}})


def vllm() -> Recorded:
    return Recorded("vllm", "deepseek-ai/DeepSeek-V3.2", {"/tokenize": {"count": 20, "tokens": []}})


def sglang() -> Recorded:
    paths = {"/tokenize": {"count": 20, "tokens": []}, "/get_model_info": {"model_path": "m"}}
    return Recorded("sglang", "deepseek-ai/DeepSeek-V3.2", paths)


SERVERS: dict[str, tuple[Callable[[], Recorded], Callable[..., JSON], str]] = {
    "ollama": (ollama, ollama_delta, "reasoning"),
    "vllm": (vllm, vllm_delta, "reasoning"),
    "sglang": (sglang, sglang_delta, "reasoning_content"),
}


class Upstream:
    """A recorded server and ours in front of it."""

    def __init__(self, name: str, recorded: Recorded, rig: Rig) -> None:
        self.name = name
        self.recorded = recorded
        self.rig = rig
        self.delta = partial(SERVERS[name][1], recorded.model)
        self.reasoning = SERVERS[name][2]

    def play(self, *frames: JSON | str) -> None:
        """The frames, then the chunk with the usage as all three send it, then the end."""
        usage = chunk(self.recorded.model, [], usage=USAGE)
        self.recorded.play(*frames, usage, "[DONE]")

    def ask(self, **fields: Any) -> Reply:
        return self.rig.call("POST", "/v1/messages", request(**fields))

    @property
    def sent(self) -> JSON:
        return self.recorded.asked[-1]


@pytest.fixture(scope="module", params=SERVERS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upstream]:
    recorded = SERVERS[request.param][0]()
    with serving_on(recorded, tmp_path_factory.mktemp(request.param)) as rig:
        yield Upstream(request.param, recorded, rig)


@pytest.fixture
def upstream(shared: Upstream) -> Iterator[Upstream]:
    shared.recorded.asked.clear()
    shared.recorded.answers.clear()
    yield shared
    assert not shared.recorded.answers


def test_text_and_reasoning(upstream: Upstream) -> None:
    delta = upstream.delta
    upstream.play(
        delta(role="assistant", content=""),
        delta(**{upstream.reasoning: "Let me "}),
        delta(**{upstream.reasoning: "see."}),
        delta(content="Hello"),
        delta(content=" there."),
        delta("stop"),
    )
    reply = upstream.ask(stream=True, thinking=THINK, max_tokens=3000)
    assert reply.status == 200, reply.raw
    kinds = [e["content_block"]["type"] for e in reply.events if e["type"] == "content_block_start"]
    assert kinds == ["thinking", "text"]
    text = [e["delta"].get("text", "") for e in reply.events if e["type"] == "content_block_delta"]
    assert "".join(text) == "Hello there."
    assert reply.events[-2]["usage"]["output_tokens"] == 9
    assert upstream.sent["model"] == upstream.recorded.model
    assert upstream.sent["stream_options"] == {"include_usage": True}


def test_how_thinking_is_asked_for(upstream: Upstream) -> None:
    upstream.play(upstream.delta(content="Hi"), upstream.delta("stop"))
    upstream.play(upstream.delta(content="Hi"), upstream.delta("stop"))
    upstream.ask(stream=True, thinking=THINK, max_tokens=3000)
    on = upstream.sent
    upstream.ask(stream=True)
    off = upstream.sent
    if upstream.name == "ollama":
        assert "reasoning_effort" not in on  # its models that can think do so unless told not to
        assert off["reasoning_effort"] == "none"
        assert "chat_template_kwargs" not in on
    else:
        asked = [each["chat_template_kwargs"]["thinking"] for each in (on, off)]
        assert asked == [True, False]
    assert "thinking" not in on


def call_frames(upstream: Upstream) -> list[JSON]:
    """A call: Ollama sends it whole, the others in pieces."""
    function = {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    entry = {"id": "call_1", "index": 0, "type": "function"}
    if upstream.name == "ollama":
        return [upstream.delta(tool_calls=[entry | {"function": function}])]
    first = entry | {"function": {"name": "get_weather", "arguments": ""}}
    nameless = {} if upstream.name == "vllm" else {"id": None, "type": "function"}
    pieces = [{"name": None, "arguments": each} for each in ('{"city":', '"Oslo"}')]
    later = [upstream.delta(tool_calls=[{"index": 0, **nameless, "function": p}]) for p in pieces]
    return [upstream.delta(tool_calls=[first]), *later]


@pytest.mark.parametrize("stream", [True, False])
def test_tool_call(upstream: Upstream, stream: bool) -> None:
    if stream:
        upstream.play(*call_frames(upstream), upstream.delta("tool_calls"))
    else:
        function = {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
        calls = [{"id": "call_1", "type": "function", "function": function}]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        upstream.recorded.answer({"id": "c", "choices": [choice], "usage": USAGE})
    reply = upstream.ask(stream=stream, tools=[TOOL])
    if stream:
        (start,) = [e for e in reply.events if e["type"] == "content_block_start"]
        block = start["content_block"]
        pieces = [e["delta"] for e in reply.events if e["type"] == "content_block_delta"]
        assert "".join(piece["partial_json"] for piece in pieces) == '{"city":"Oslo"}'
        assert reply.events[-2]["delta"]["stop_reason"] == "tool_use"
    else:
        (block,) = reply.body["content"]
        assert block["input"] == {"city": "Oslo"}
        assert reply.body["stop_reason"] == "tool_use"
    assert block["name"] == "get_weather"


def test_forced_tool(upstream: Upstream) -> None:
    """vLLM and SGLang end a forced call with ``stop``; Ollama has no ``tool_choice`` at all."""
    finish = "tool_calls" if upstream.name == "ollama" else "stop"
    upstream.play(*call_frames(upstream), upstream.delta(finish))
    choice = {"type": "tool", "name": "get_weather"}
    reply = upstream.ask(stream=True, tools=[TOOL], tool_choice=choice)
    assert reply.events[-2]["delta"]["stop_reason"] == "tool_use"
    if upstream.name == "ollama":
        assert "tool_choice" not in upstream.sent
        assert reply.notes == ["emulated=tool_choice@tool_choice"]
        assert "call of one of the tools" in upstream.sent["messages"][0]["content"]
    else:
        named = {"type": "function", "function": {"name": "get_weather"}}
        assert upstream.sent["tool_choice"] == named


def test_schema(upstream: Upstream) -> None:
    upstream.play(upstream.delta(content='{"city":"Oslo"}'), upstream.delta("stop"))
    form = {"type": "json_schema", "schema": TOOL["input_schema"]}
    reply = upstream.ask(stream=True, output_config={"format": form})
    assert reply.status == 200, reply.raw
    assert upstream.sent["response_format"]["type"] == "json_schema"


def test_stop_sequence(upstream: Upstream) -> None:
    """vLLM names the string in ``stop_reason``, SGLang in ``matched_stop``; Ollama nowhere, so it
    is looked for here.
    """
    if upstream.name == "ollama":
        upstream.play(upstream.delta(content="One.E"), upstream.delta(content="ND more"))
    else:
        upstream.play(upstream.delta(content="One."), upstream.delta("stop", stop_reason="END"))
    reply = upstream.ask(stream=True, stop_sequences=["END"])
    assert upstream.sent.get("stop") == (None if upstream.name == "ollama" else ["END"])
    end = reply.events[-2]["delta"]
    assert (end["stop_reason"], end["stop_sequence"]) == ("stop_sequence", "END")
    text = [e["delta"]["text"] for e in reply.events if e["type"] == "content_block_delta"]
    assert "".join(text) == "One."


def test_a_stop_token_is_no_stop_sequence(upstream: Upstream) -> None:
    """``stop_reason`` and ``matched_stop`` are a token's number when the model ended by itself."""
    said = {} if upstream.name == "ollama" else {"stop_reason": 151645}
    upstream.play(upstream.delta(content="One."), upstream.delta("stop", **said))
    end = upstream.ask(stream=True, stop_sequences=["END"]).events[-2]["delta"]
    assert (end["stop_reason"], end["stop_sequence"]) == ("end_turn", None)


ERRORS: dict[str, JSON] = {
    "ollama": {"error": {"message": "model runner has stopped", "type": "api_error"}},
    "vllm": {
        "error": {
            "message": "EngineCore encountered an issue.",
            "type": "InternalServerError",
            "param": None,
            "code": 500,
        }
    },
    "sglang": {
        "error": {
            "object": "error",
            "message": "Scheduler died.",
            "type": "InternalServerError",
            "param": None,
            "code": 500,
        }
    },
}


def test_error_in_the_stream(upstream: Upstream) -> None:
    upstream.recorded.play(upstream.delta(content="Half"), ERRORS[upstream.name], "[DONE]")
    events = upstream.ask(stream=True).events
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"


# vLLM's renderer and serving engine; SGLang's TokenizerManager; Ollama's runner.
TOO_LONG: dict[str, JSON] = {
    "vllm": {
        "error": {
            "message": "This model's maximum context length is 4096 tokens. However, you requested "
            "9000 tokens (8900 in the messages, 100 in the completion). Please reduce the length "
            "of the messages or completion.",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    },
    "sglang": {
        "object": "error",
        "message": "The input (8900 tokens) is longer than the model's context length "
        "(4096 tokens).",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
    "ollama": {
        "error": {
            "message": "the input length exceeds the context length",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    },
}


@pytest.mark.parametrize("stream", [True, False])
def test_too_long_a_prompt(upstream: Upstream, stream: bool) -> None:
    upstream.recorded.answer(TOO_LONG[upstream.name], 400)
    reply = upstream.ask(stream=stream)
    assert reply.status == 400
    assert reply.body["error"]["type"] == "invalid_request_error"
    assert reply.body["error"]["message"].startswith("prompt is too long")


def test_count(upstream: Upstream) -> None:
    reply = upstream.rig.call("POST", "/v1/messages/count_tokens", request(max_tokens=...))
    assert reply.status == 200
    if upstream.name == "ollama":
        assert reply.body["input_tokens"] > 0  # it has no counter: estimated, and said so
        assert any(note.startswith("estimated=") for note in reply.notes)
    else:
        assert reply.body == {"input_tokens": 20}


def test_models(upstream: Upstream) -> None:
    listed = upstream.rig.call("GET", "/v1/models").body["data"]
    assert upstream.recorded.model in [entry["id"] for entry in listed]


def test_missing_model(upstream: Upstream) -> None:
    said = {"error": {"message": 'model "x" not found', "type": "not_found_error", "code": None}}
    upstream.recorded.answer(said, 404)
    reply = upstream.ask()
    assert (reply.status, reply.body["error"]["type"]) == (404, "not_found_error")
