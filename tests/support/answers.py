"""Upstream answers for tests: their bytes, and what becomes of them here and in the SDK."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import httpx2
from anthropic import Anthropic

from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.response import chunks_of, decode_answer
from deepseek_messages.translation.answer.runs import single_events
from deepseek_messages.translation.answer.sse import ChunkReader, encode_events
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.events import StreamEvent

MESSAGE_ID = "msg_test"


class FakeSeal:
    """Signatures that are short and tell equal reasoning from different."""

    def seal(self, reasoning: str) -> str:
        return "sealed." + hashlib.sha256(reasoning.encode()).hexdigest()[:12]


def delta(finish: str | None = None, /, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(
    index: int | None = None,
    call_id: str | None = None,
    name: str | None = None,
    arguments: Any = None,
) -> dict[str, Any]:
    """An entry of ``tool_calls``; what is ``None`` is absent."""
    function = {"name": name, "arguments": arguments}
    entry: dict[str, Any] = {"index": index, "id": call_id}
    entry["function"] = {key: value for key, value in function.items() if value is not None}
    return {key: value for key, value in entry.items() if value not in (None, {})}


def sse(*frames: Any, done: bool = True) -> bytes:
    """Frames as an upstream sends them: chunks as dicts, or raw lines as bytes."""
    lines = [
        frame if isinstance(frame, bytes) else b"data: " + json.dumps(frame).encode() + b"\n\n"
        for frame in frames
    ]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def translate(
    pieces: Iterable[bytes],
    plan: ReplyPlan | None = None,
    *,
    prompt_tokens: int | None = 7,
    seal: Any = None,
) -> list[StreamEvent]:
    """The events for an upstream's bytes, in whatever pieces they come; a fault ends them."""
    plan = plan or ReplyPlan(model="deepseek-chat")
    stream = reply_stream(plan, MESSAGE_ID, prompt_tokens=prompt_tokens, seal=seal)
    reader = ChunkReader()
    events: list[StreamEvent] = []
    try:
        for piece in pieces:
            for chunk in reader.feed(piece):
                events += stream.feed(chunk)
        for chunk in reader.end():
            events += stream.feed(chunk)
        events += stream.finish()
    except Fault as fault:
        events += stream.fail(fault)
    return list(single_events(events))


def translate_whole(
    body: bytes,
    plan: ReplyPlan,
    *,
    prompt_tokens: int | None = 7,
    seal: Any = None,
) -> list[StreamEvent]:
    """The events for an upstream's whole answer; a fault ends them."""
    stream = reply_stream(plan, MESSAGE_ID, prompt_tokens=prompt_tokens, seal=seal)
    events: list[StreamEvent] = []
    try:
        for chunk in chunks_of(decode_answer(body)):
            events += stream.feed(chunk)
        return events + stream.finish()
    except Fault as fault:
        return events + stream.fail(fault)


def cuts(data: bytes) -> Iterable[Sequence[bytes]]:
    """The bytes one by one, and at every two-way split."""
    yield [data[n : n + 1] for n in range(len(data))]
    for n in range(1, len(data)):
        yield data[:n], data[n:]


def sdk_message(stream: bytes, *, beta: bool = False) -> Any:
    """What the official SDK's stream helper accumulates from a stream. Raises its errors."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=stream
        )
    )
    with (
        httpx2.Client(transport=transport) as http,
        Anthropic(api_key="k", base_url="http://sdk.test", http_client=http, max_retries=0) as sdk,
        (sdk.beta.messages if beta else sdk.messages).stream(
            model="m", max_tokens=16, messages=[{"role": "user", "content": "x"}]
        ) as events,
    ):
        return events.get_final_message()


def plain(events: Iterable[StreamEvent]) -> list[str]:
    """Events in short form, one word and its content each, for tables of cases."""
    return [_short(json.loads(frame.split(b"data: ")[1])) for frame in _frames(events)]


def _frames(events: Iterable[StreamEvent]) -> list[bytes]:
    return encode_events(list(events)).split(b"\n\n")[:-1]


def _short(event: dict[str, Any]) -> str:
    match event["type"]:
        case "content_block_start":
            block = event["content_block"]
            if block["type"] == "tool_use":
                return f"{event['index']}+tool {block['name']} {block['id']}"
            return f"{event['index']}+{block['type']}"
        case "content_block_delta":
            ((_, text),) = ((k, v) for k, v in event["delta"].items() if k != "type")
            mark = "~" if event["delta"]["type"] == "signature_delta" else "="
            return f"{event['index']}{mark}{text}"
        case "content_block_stop":
            return f"{event['index']}-"
        case "message_delta":
            sequence = event["delta"]["stop_sequence"]
            return event["delta"]["stop_reason"] + (f" {sequence}" if sequence else "")
        case "error":
            return f"error {event['error']['type']}: {event['error']['message']}"
        case other:
            return other


def relayed(
    pieces: Iterable[bytes], plan: ReplyPlan, *, prompt_tokens: int | None = 7, seal: Any = None
) -> bytes:
    """The bytes that a client gets where all that can be is passed on by a ``Relay``, as
    ``service.answer`` does.
    """
    stream = MessageStream(plan, MESSAGE_ID, prompt_tokens=prompt_tokens, seal=seal)
    reader = ChunkReader()
    relay: Relay | None = None
    sent = b""
    try:
        for piece in pieces:
            if relay is not None and (frames := relay.take(piece)) is not None:
                sent += frames
                continue
            relay = None
            for chunk in reader.feed(piece):
                sent += encode_events(stream.feed(chunk))
            relay = stream.relay(reader.pattern) if reader.pattern is not None else None
        for chunk in reader.end():
            sent += encode_events(stream.feed(chunk))
        return sent + encode_events(stream.finish())
    except Fault as fault:
        return sent + encode_events(stream.fail(fault))
