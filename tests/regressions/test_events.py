"""SSE: order and shape of stream events."""

import json

import pytest

from tests.regressions.stage import Stage, chunk, error_stop, frames, stop_reason, tool, usage

READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
END = (chunk("stop"), usage())


def test_sse_01_a_call_right_after_reasoning(deepseek: Stage) -> None:
    call = tool(id="c1", name="read", arguments="{}")
    deepseek.streams(chunk(reasoning_content="Hm."), chunk(tool_calls=[call]), chunk("tool_calls"))
    events = deepseek.events(tools=[READ])
    starts = [(e["index"], e["content_block"]["type"]) for e in events if "content_block" in e]
    assert starts == [(0, "thinking"), (1, "tool_use")]


def test_sse_03_empty_content_opens_nothing(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(role="assistant", content=""),
        chunk(reasoning_content="Hm."),
        chunk(content="Hi"),
        *END,
    )
    assert [block["type"] for block in deepseek.blocks()] == ["thinking", "text"]


def test_sse_04_no_delta_without_a_start(deepseek: Stage) -> None:
    call = tool(index=3, id="c1", name="read", arguments='{"a":1}')
    deepseek.streams(chunk(tool_calls=[call]), chunk("tool_calls"), usage())
    (block,) = deepseek.blocks(tools=[READ])  # the reader refuses deltas without a start
    assert block["input"] == {"a": 1}


@pytest.mark.parametrize("status", [200, 400])
def test_sse_05_a_stream_is_a_stream_or_an_error(deepseek: Stage, status: int) -> None:
    if status == 200:
        deepseek.answers({"choices": [{"message": {"content": "Whole"}, "finish_reason": "stop"}]})
    else:
        deepseek.answers({"error": {"message": "No."}}, status)
    reply = deepseek.ask(stream=True)
    assert reply.status == status
    kind = "text/event-stream; charset=utf-8" if status == 200 else "application/json"
    assert reply.headers["content-type"] == kind


def test_sse_07_the_delta_that_changes_the_block_is_kept(deepseek: Stage) -> None:
    call = tool(id="c1", name="read", arguments='{"a":')
    deepseek.streams(
        chunk(reasoning_content="R1"),
        chunk(reasoning_content="R2", content="T1"),
        chunk(content="T2", tool_calls=[call]),
        chunk(tool_calls=[tool(arguments="2}")]),
        chunk("tool_calls"),
    )
    thinking, text, use = deepseek.blocks(tools=[READ])
    assert (thinking["thinking"], text["text"], use["input"]) == ("R1R2", "T1T2", {"a": 2})


def test_sse_08_message_start_comes_first_without_a_role(deepseek: Stage) -> None:
    call = tool(id="c1", name="read", arguments="{}")
    deepseek.streams(chunk(tool_calls=[call]), chunk("tool_calls"))
    assert deepseek.events(tools=[READ])[0]["type"] == "message_start"


def test_sse_09_one_message_delta_with_the_late_usage(deepseek: Stage) -> None:
    deepseek.streams(chunk(content="Hi"), chunk("stop"), usage(completion_tokens=9))
    deltas = [e for e in deepseek.events() if e["type"] == "message_delta"]
    assert [delta["usage"]["output_tokens"] for delta in deltas] == [9]


@pytest.mark.parametrize("done", [True, False])
def test_sse_11_an_end_without_a_reason_is_an_error(deepseek: Stage, done: bool) -> None:
    deepseek.streams(chunk(content="Half"), done=done)
    events = deepseek.events()
    assert error_stop(events)
    assert "message_stop" not in [event["type"] for event in events]


def test_sse_11_a_reason_without_done_is_an_end(deepseek: Stage) -> None:
    deepseek.streams(chunk(content="Whole"), *END, done=False)
    assert stop_reason(deepseek.events()) == "end_turn"


@pytest.mark.parametrize("text", ["草木皆兵", "🦊🐉 done", "e\u0301\u2028x"])
def test_sse_12_characters_cut_at_every_byte(deepseek: Stage, text: str) -> None:
    data = json.dumps(chunk(content=text), ensure_ascii=False).encode()
    deepseek.streams(b"data: " + data + b"\n\n", *END, size=1)
    (block,) = deepseek.blocks()
    assert block["text"] == text


@pytest.mark.parametrize(
    "stream",
    [
        frames(chunk(content="Hi"), *END).replace(b"data: ", b"data:"),
        frames(chunk(content="Hi"), *END).replace(b"\n", b"\r\n"),
        frames(b": keep-alive\n\n", b"event: x\n", chunk(content="Hi"), *END),
        frames(b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"Hi"}}]}\n\n', *END),
    ],
    ids=["no space", "crlf", "comments", "two data lines"],
)
def test_sse_13_every_way_to_write_a_stream(deepseek: Stage, stream: bytes) -> None:
    deepseek.streams(stream, done=False)
    (block,) = deepseek.blocks()
    assert block["text"] == "Hi"


def test_sse_16_a_block_has_only_its_own_fields(deepseek: Stage) -> None:
    call = tool(id="c1", name="read", arguments="{}")
    deepseek.streams(
        chunk(reasoning_content="R"),
        chunk(content="T"),
        chunk(tool_calls=[call]),
        chunk("tool_calls"),
    )
    starts = [e["content_block"] for e in deepseek.events(tools=[READ]) if "content_block" in e]
    assert [set(start) for start in starts] == [
        {"type", "thinking", "signature"},
        {"type", "text"},
        {"type", "id", "name", "input"},
    ]


def test_sse_17_text_then_a_call(deepseek: Stage) -> None:
    call = tool(id="c1", name="read", arguments="{}")
    deepseek.streams(chunk(content="T"), chunk(tool_calls=[call]), chunk("tool_calls"))
    assert [b["type"] for b in deepseek.blocks(tools=[READ])] == ["text", "tool_use"]


@pytest.mark.parametrize(
    "thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}]
)
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_sse_19_thinking_is_streamed(
    deepseek: Stage, thinking: dict[str, object], field: str
) -> None:
    deepseek.streams(chunk(**{field: "One "}), chunk(**{field: "two"}), chunk(content="Hi"), *END)
    events = deepseek.events(thinking=thinking)
    deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
    assert [d["thinking"] for d in deltas if d["type"] == "thinking_delta"] == ["One ", "two"]


def test_sse_20_thinking_starts_with_a_signature_field(deepseek: Stage) -> None:
    deepseek.streams(chunk(reasoning_content="Hm."), chunk(content="Hi"), *END)
    events = deepseek.events()
    assert events[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    kinds = [e["delta"]["type"] for e in events if e["type"] == "content_block_delta"]
    assert kinds == ["thinking_delta", "signature_delta", "text_delta"]


def test_sse_21_every_kind_of_upstream_streams(deepseek: Stage, vllm: Stage) -> None:
    for stage in (deepseek, vllm):
        (block,) = stage.blocks()
        assert block == {"type": "text", "text": "Hello"}
