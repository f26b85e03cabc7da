"""Messages event streams as a strict client reads them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Event = dict[str, Any]

DELTA_OF_BLOCK = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "mcp_tool_use": {"input_json_delta"},
    "compaction": {"compaction_delta"},
}


def parse_events(raw: bytes) -> list[Event]:
    """The events of a Messages stream. Each frame must be ``event:``, ``data:``, empty line,
    and the name must be the one in the JSON. A frame that was cut off is an error.
    """
    assert not raw or raw.endswith(b"\n\n"), f"the stream ends inside a frame: {raw[-200:]!r}"
    return [_parse_frame(frame) for frame in raw.split(b"\n\n")[:-1]]


def _parse_frame(frame: bytes) -> Event:
    lines = frame.split(b"\n")
    assert len(lines) == 2, f"not an event line and a data line: {frame!r}"
    assert lines[0].startswith(b"event: "), frame
    assert lines[1].startswith(b"data: "), frame
    event: Event = json.loads(lines[1][6:].decode("utf-8"), parse_constant=_no_constant)
    assert event["type"] == lines[0][7:].decode(), frame
    return event


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


class _Reader:
    """Follows a stream and knows what may come next."""

    def __init__(self) -> None:
        self.state = "before"  # before, between, inside, closing, after
        self.open: Mapping[str, Any] | None = None
        self.blocks = 0
        self.partial = ""

    def read(self, event: Event) -> None:
        kind = event["type"]
        assert self.state != "after", f"{kind} after the end"
        if kind == "error":
            assert event["error"]["type"], event
            assert isinstance(event["error"]["message"], str), event
            self.state = "after"
            return
        if kind == "ping":
            assert self.state in ("between", "inside"), f"ping in state {self.state}"
            return
        getattr(self, f"on_{kind}")(event)

    def on_message_start(self, event: Event) -> None:
        assert self.state == "before", "a second message_start"
        message = event["message"]
        assert message["type"] == "message", message
        assert message["role"] == "assistant", message
        assert message["content"] == [], message
        assert message["stop_reason"] is None, message
        assert isinstance(message["usage"]["input_tokens"], int), message
        self.state = "between"

    def on_content_block_start(self, event: Event) -> None:
        assert self.state == "between", f"a block starts in state {self.state}"
        assert event["index"] == self.blocks, f"index {event['index']}, not {self.blocks}"
        self.open, self.partial, self.state = event["content_block"], "", "inside"

    def on_content_block_delta(self, event: Event) -> None:
        assert self.state == "inside", f"a delta in state {self.state}"
        assert event["index"] == self.blocks, "a delta for a block that is not open"
        assert self.open is not None
        kind = event["delta"]["type"]
        assert kind in DELTA_OF_BLOCK[self.open["type"]], f"{kind} in a {self.open['type']} block"
        self.partial += event["delta"].get("partial_json", "")

    def on_content_block_stop(self, event: Event) -> None:
        assert self.state == "inside", f"a block stops in state {self.state}"
        assert event["index"] == self.blocks, "the stop of a block that is not open"
        self.blocks, self.open, self.state = self.blocks + 1, None, "between"

    def on_message_delta(self, event: Event) -> None:
        assert self.state == "between", f"message_delta in state {self.state}"
        assert event["delta"]["stop_reason"] is not None, event
        assert isinstance(event["usage"]["output_tokens"], int), event
        self.state = "closing"

    def on_message_stop(self, event: Event) -> None:
        assert self.state == "closing", f"message_stop in state {self.state}"
        self.state = "after"


def assert_lawful(stream: bytes | Sequence[Event], *, ended: bool = True) -> list[Event]:
    """Check order, indexes and block types of a whole stream; return its events.

    With ``ended`` the stream must reach ``message_stop`` or an ``error``.
    """
    events = parse_events(stream) if isinstance(stream, bytes) else list(stream)
    reader = _Reader()
    for event in events:
        reader.read(event)
    if ended:
        assert reader.state == "after", f"the stream stops in state {reader.state}"
    return events


def error_of(events: Iterable[Event]) -> dict[str, Any] | None:
    """The ``error`` object that ended the stream, or ``None``."""
    return next((event["error"] for event in events if event["type"] == "error"), None)


def blocks_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The content blocks that the deltas add up to; tool input is parsed JSON."""
    blocks: list[dict[str, Any]] = []
    partial: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            _grow(blocks[event["index"]], event["delta"], event["index"], partial)
        elif event["type"] == "content_block_stop" and event["index"] in partial:
            blocks[event["index"]]["input"] = json.loads(partial[event["index"]] or "{}")
    return blocks


def _grow(
    block: dict[str, Any], delta: Mapping[str, Any], index: int, partial: dict[int, str]
) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case "compaction_delta":
            block["content"] = delta["content"]
        case "input_json_delta":
            partial[index] = partial.get(index, "") + delta["partial_json"]
