"""Stages behind a stream pass everything on; a folded answer keeps blocks of every kind."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Raw

from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.runs import TextRun
from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.answer.stages import StagedStream, Stream
from deepseek_messages.translation.citing.sources import Source
from deepseek_messages.translation.faults import Fault, FaultKind, garbage
from deepseek_messages.translation.notes import Action, Note, Notes
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import ChatUsage
from deepseek_messages.wire.errors import ErrorDetail
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJsonDelta,
    McpToolUseStart,
    MessageDelta,
    MessageStart,
    Ping,
    ServerToolUseStart,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)
from deepseek_messages.wire.messages import ClearedThinking
from tests.support.answers import delta, plain, sse, translate

EDITED = ReplyPlan(model="m", applied_edits=(ClearedThinking(1, 2),))
SOURCE = Source(kind="text", index=0, title=None, first=1, passages=())


class Passing:
    """A stage that changes nothing."""

    def take(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        return list(events)


def staged() -> Stream:
    return StagedStream(reply_stream(EDITED, "msg", prompt_tokens=7, seal=None), Passing())


def test_a_stage_lets_the_stream_be_seen_through() -> None:
    stream = staged()
    assert not stream.complete
    assert stream.so_far() is None
    assert plain(stream.start()) == ["message_start"]
    for chunk in ChunkReader().feed(sse(delta(content="a" * 10), delta("stop"))):
        stream.feed(chunk)
    assert stream.complete
    usage = stream.so_far()
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (7, 3)
    end, _ = stream.finish(ChatUsage(prompt_tokens=50))
    assert isinstance(end, MessageDelta)
    assert end.usage.input_tokens == 50
    assert msgspec.to_builtins(end.context_management)["applied_edits"][0]["type"] == (
        "clear_thinking_20251015"
    )


def test_a_stage_sees_each_piece_of_a_run() -> None:
    frames = b"".join(sse(delta(content=text), done=False) for text in "abcd")
    chunks = ChunkReader().feed(frames)
    assert any(isinstance(chunk, TextRun) for chunk in chunks)
    stream = staged()
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    assert [line for line in plain(events) if "=" in line] == [f"0={text}" for text in "abcd"]


def test_a_failure_goes_through_a_stage() -> None:
    assert plain(staged().fail(garbage("x"))) == ["error api_error: x"]


@pytest.mark.parametrize(
    ("wishes", "stages"),
    [({}, False), ({"applied_edits": ()}, False), ({"sources": (SOURCE,)}, True)],
)
def test_an_answer_without_wishes_has_no_stage(wishes: dict[str, Any], stages: bool) -> None:
    plan = ReplyPlan(model="m", **wishes)
    stream = reply_stream(plan, "msg", prompt_tokens=7, seal=None)
    assert isinstance(stream, StagedStream) is stages


# --- folding --------------------------------------------------------------------------------------


def folded(*events: StreamEvent) -> list[Any]:
    start, *_, end, stop = translate([sse(delta("stop"))])
    assert isinstance(start, MessageStart)
    content = fold([start, *events, end, stop]).content
    return list(json.loads(msgspec.json.encode(content)))


def block(start: Any, *deltas: Any) -> list[StreamEvent]:
    changes = [ContentBlockDelta(index=0, delta=each) for each in deltas]
    return [
        ContentBlockStart(index=0, content_block=start),
        *changes,
        ContentBlockStop(index=0),
    ]


BLOCKS: dict[str, tuple[list[StreamEvent], dict[str, Any]]] = {
    "text that begins at the start": (
        block(TextStart(text="a"), TextDelta(text="b")),
        {"type": "text", "text": "ab"},
    ),
    "reasoning that begins at the start": (
        block(ThinkingStart(thinking="a", signature="s"), ThinkingDelta(thinking="b")),
        {"type": "thinking", "thinking": "ab", "signature": "s"},
    ),
    "a signature that comes": (
        block(ThinkingStart(), SignatureDelta(signature="t")),
        {"type": "thinking", "thinking": "", "signature": "t"},
    ),
    "a call": (
        block(ToolUseStart(id="c", name="f"), InputJsonDelta(partial_json='{"a":1}')),
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
    ),
    "a call without arguments": (
        block(ToolUseStart(id="c", name="f")),
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ),
    "a server tool's call": (
        block(ServerToolUseStart(id="s", name="w"), InputJsonDelta(partial_json='{"a":1')),
        {"type": "server_tool_use", "id": "s", "name": "w", "input": {"a": 1}},
    ),
    "an MCP tool's call": (
        block(McpToolUseStart(id="s", name="w", server_name="x")),
        {"type": "mcp_tool_use", "id": "s", "name": "w", "server_name": "x", "input": {}},
    ),
    "a result": (
        block(Raw(b'{"type":"mcp_tool_result","content":[]}')),
        {"type": "mcp_tool_result", "content": []},
    ),
}


@pytest.mark.parametrize(("events", "expected"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_is_folded(events: list[StreamEvent], expected: dict[str, Any]) -> None:
    assert folded(*events) == [expected]
    assert folded(events[0], Ping(), *events[1:]) == [expected]


@pytest.mark.parametrize("kind", ["rate_limit_error", "overloaded_error", "api_error"])
def test_a_folded_error_keeps_its_type(kind: Any) -> None:
    with pytest.raises(Fault) as raised:
        fold([ErrorEvent(error=ErrorDetail(type=kind, message="x"))])
    assert (raised.value.error_type, raised.value.kind) == (kind, FaultKind.REPORTED)


# --- notes and refusals ---------------------------------------------------------------------------


def test_a_note_without_a_place() -> None:
    notes = Notes()
    notes.add(Action.IGNORED, "x")
    notes.once(Action.DROPPED, "y")
    notes.once(Action.DROPPED, "y", "p")
    assert list(map(str, notes.entries)) == ["ignored=x", "dropped=y"]
    assert notes.entries[0] == Note(Action.IGNORED, "x", "")


def test_a_lossy_note_is_refused_at_its_place_when_strict() -> None:
    notes = Notes(strict=True)
    notes.add(Action.EMULATED, "x", "p")
    for add in (notes.add, notes.once):
        with pytest.raises(Refusal) as caught:
            add(Action.REPLACED, "image", "messages.0")
        assert caught.value.path == "messages.0"
        assert caught.value.message.startswith("messages.0: image is not supported")


def test_a_refusal_is_told_in_anthropics_form() -> None:
    refusal = Refusal("no", path="a.b", status=429, retry_after=2.0, should_retry=True)
    assert refusal.detail() == ErrorDetail(type="rate_limit_error", message="a.b: no")
    assert (refusal.status, refusal.retry_after, refusal.should_retry) == (429, 2.0, True)
    assert str(refusal) == "a.b: no"
    coded = Refusal("no", error_type="not_found_error", error_code="gone").detail()
    assert coded.type == "not_found_error"
    assert coded.message == "no"
    assert coded.details is not UNSET
    assert coded.details.error_code == "gone"
    assert Refusal("no").status == 400
