"""What the laws of answers (``test_answers``) say of one list of events."""

from typing import Any

import msgspec
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.faults import Fault
from deepseek_messages.wire.events import (
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    StreamEvent,
    ToolUseStart,
)

_sdk_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def sdk_accumulates(events: list[StreamEvent]) -> dict[str, Any]:
    """What the SDK's own accumulator makes of events, as its stream helper calls it."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        raw = _sdk_event.validate_json(msgspec.json.encode(event))
        snapshot = accumulate_event(event=raw, current_snapshot=snapshot, json_bufs=buffers)  # type: ignore[call-arg]
    read: dict[str, Any] = snapshot.to_dict()
    read.pop("stop_details", None)
    return read


def assert_blocks_closed(events: list[StreamEvent]) -> None:
    """Law 2 also where an error ends the stream: only a call without the end of its input may
    stay open there, so that no client takes it for a whole one.
    """
    open_block: ContentBlockStart | None = None
    for event in events:
        match event:
            case ContentBlockStart():
                assert open_block is None
                open_block = event
            case ContentBlockStop(index=index):
                assert open_block is not None
                assert open_block.index == index
                open_block = None
    if open_block is not None:
        assert isinstance(events[-1], ErrorEvent)
        assert isinstance(open_block.content_block, ToolUseStart)


def message_or_fault(events: list[StreamEvent]) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(fold(events)))
    except Fault as fault:
        return fault.detail()
