"""Bytes to payloads and events to bytes. Streams are fed whole and cut in every way."""

import json
from collections.abc import Iterable

import msgspec
import pytest

from deepseek_messages.translation.answer.sse import (
    ChunkReader,
    FrameParser,
    decode_chunk,
    encode_events,
)
from deepseek_messages.translation.answer.usage import to_usage
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.wire.chat import ChatUsage
from deepseek_messages.wire.errors import ErrorDetail
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJsonDelta,
    MessageStop,
    Ping,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)
from deepseek_messages.wire.messages import Usage
from tests.support.answers import cuts
from tests.support.sse import parse_events

FRAMES: dict[str, tuple[bytes, list[bytes]]] = {
    "one frame": (b"data: a\n\n", [b"a"]),
    "SSE-13 no space": (b"data:a\n\ndata:b\n\n", [b"a", b"b"]),
    "only one space goes": (b"data:  a\n\n", [b" a"]),
    "SSE-13 CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    "CR alone": (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\n\rdata: c\r\r\n", [b"a", b"b", b"c"]),
    "SSE-13 data over lines": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "SSE-13 comments": (b": keep-alive\n\n: keep-alive\n\ndata: a\n: b\n\n", [b"a"]),
    "blank lines first": (b"\n\n\r\n\ndata: a\n\n", [b"a"]),
    "other fields": (b"event: x\nid: 1\nretry: 2\nfoo\ndata: a\n\n", [b"a"]),
    "data without a colon": (b"data\n\n", [b""]),
    "empty data": (b"data:\n\n", [b""]),
    "another field that begins alike": (b"database: a\n\n", []),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "SSE-12 characters of many bytes": (
        "data: 你好🐋\u2028x\n\n".encode(),
        ["你好🐋\u2028x".encode()],
    ),
    "an unfinished frame": (b"data: a\n\ndata: b\n", [b"a"]),
}


@pytest.mark.parametrize(("raw", "payloads"), FRAMES.values(), ids=FRAMES)
def test_frames(raw: bytes, payloads: list[bytes]) -> None:
    assert FrameParser().feed(raw) == payloads
    for pieces in cuts(raw):
        parser = FrameParser()
        assert [payload for piece in pieces for payload in parser.feed(piece)] == payloads


def test_a_frame_without_its_empty_line_is_given_at_the_end() -> None:
    parser = FrameParser()
    assert parser.feed(b"data: a\n\ndata: b") == [b"a"]
    assert parser.end() == [b"b"]
    assert parser.end() == []


def read(parser: FrameParser, pieces: Iterable[bytes]) -> tuple[list[bytes], Fault | None]:
    payloads: list[bytes] = []
    try:
        for piece in pieces:
            payloads += parser.feed(piece)
        payloads += parser.end()
    except Fault as fault:
        return payloads, fault
    return payloads, None


@pytest.mark.parametrize(
    "raw",
    [
        b"data: a\n\n" + b"data: " + b"x" * 50,
        b"data: a\n\n:" + b"x" * 50 + b"\n",
        b"data: a\n\n" + b"data: 12345678\n" * 3,
    ],
    ids=["a line", "a comment", "lines of one event"],
)
def test_too_much_is_garbage_wherever_the_bytes_are_cut(raw: bytes) -> None:
    for pieces in [[raw], *cuts(raw)]:
        payloads, fault = read(FrameParser(limit=20), pieces)
        assert payloads == [b"a"]
        assert fault is not None
        assert fault.kind is FaultKind.GARBAGE


def test_many_small_frames_pass_the_limit() -> None:
    assert len(FrameParser(limit=20).feed(b"data: 123456\n\n" * 100)) == 100


EXACT: dict[str, tuple[bytes, bytes]] = {
    "a line": (b"data: 34567890", b"data: 345678901"),
    "a comment": (b":2345678901234", b":23456789012345"),
    "lines of one event": (b"data: 12345678\ndata: 123456", b"data: 12345678\ndata: 1234567"),
}


@pytest.mark.parametrize(("most", "more"), EXACT.values(), ids=EXACT)
def test_the_limit_is_exact(most: bytes, more: bytes) -> None:
    for ending in (b"\n", b"\n\n"):
        for raw in (most + ending, (most + b"\n\n") * 2 + most + ending):
            for pieces in [[raw], *cuts(raw)]:
                assert read(FrameParser(limit=14), pieces)[1] is None
        assert read(FrameParser(limit=14), [more + ending])[1] is not None


def test_an_unfinished_line_is_measured_as_it_grows() -> None:
    parser = FrameParser(limit=14)
    for _ in range(14):
        assert parser.feed(b"x") == []
    with pytest.raises(Fault):
        parser.feed(b"x")


@pytest.mark.parametrize(
    ("fed", "between"),
    [
        ([], False),
        ([b"\xef"], False),
        ([b"data: a\n\n"], True),
        ([b"\n"], True),
        ([b"data: a\n\nd"], False),
        ([b"data: a\n"], False),
        ([b"data: a\r\n\r"], False),
        ([b"data: a\r\n\r", b"\n"], True),
    ],
)
def test_between_two_events_nothing_is_unfinished(fed: list[bytes], between: bool) -> None:
    parser = FrameParser()
    for piece in fed:
        parser.feed(piece)
    assert parser.between is between


def test_a_parser_that_failed_is_between_nothing() -> None:
    parser = FrameParser(limit=7)
    assert parser.feed(b"data: a\n\n:2345678") == [b"a"]
    assert not parser.between


def test_a_vertical_tab_is_no_line_end() -> None:
    parser = FrameParser()
    assert parser.feed(b"data: a\r") == []
    assert parser.feed(b"\x0bdata: b\n\n") == [b"a"]
    assert FrameParser().feed(b"data: a\x0e\r\n\r\n\ndata: b\r\n\r\n") == [b"a\x0e", b"b"]


def test_a_byte_order_mark_that_is_none_is_text() -> None:
    parser = FrameParser()
    assert parser.feed(b"\xef") == []
    assert parser.feed(b"\xbb") == []
    assert parser.feed(b"data: a\n\ndata: b\n\n") == [b"b"]
    assert FrameParser().feed(b"\xef\xbb\xbf") == []


def test_what_the_end_leaves_is_too_much_as_well() -> None:
    parser = FrameParser(limit=7)
    assert parser.feed(b"data: a\n\n:2345678") == [b"a"]
    with pytest.raises(Fault):
        parser.end()


class TestChunkReader:
    def test_what_will_be_raised_is_known_before(self) -> None:
        reader = ChunkReader()
        assert reader.broken is None
        reader.feed(b'data: {"id":"1"}\n\ndata: junk\n\n')
        fault = reader.broken
        assert fault is not None
        with pytest.raises(Fault) as raised:
            reader.end()
        assert raised.value is fault

    def test_nothing_is_read_behind_garbage(self) -> None:
        reader = ChunkReader()
        reader.feed(b'data: {"id":"0"}\n\n')
        raw = b'data: {"id":"1"}\n\ndata: junk\n\ndata: {"id":"2"}\n\n'
        assert [chunk.id for chunk in reader.feed(raw)] == ["1"]
        assert reader.broken is not None

    def test_what_follows_an_empty_payload_is_read(self) -> None:
        found = ChunkReader()._chunks([b"", b" ", b'{"id":"1"}', b"[DONE]", b'{"id":"2"}'])
        assert [chunk.id for chunk in found] == ["1"]

    def test_several_payloads_up_to_garbage_are_read(self) -> None:
        reader = ChunkReader()
        found = reader._chunks([b'{"id":"1"}', b"junk", b'{"id":"2"}'])
        assert [chunk.id for chunk in found] == ["1"]
        assert reader.broken is not None

    def test_the_end_mark_ends(self) -> None:
        reader = ChunkReader()
        assert len(reader.feed(b'data: {"id":"1"}\n\ndata: [DONE]\n\ndata: {"id":"2"}\n\n')) == 1
        assert reader.done
        assert reader.feed(b"data: junk\n\n") == reader.end() == []

    def test_garbage_comes_after_what_was_before_it(self) -> None:
        reader = ChunkReader()
        assert len(reader.feed(b'data: {"id":"1"}\n\ndata: junk\n\n')) == 1
        with pytest.raises(Fault):
            reader.feed(b"")

    def test_a_last_frame_that_is_whole_counts(self) -> None:
        reader = ChunkReader()
        assert reader.feed(b'data: {"id":"1"}') == []
        assert [chunk.id for chunk in reader.end()] == ["1"]

    def test_a_last_frame_that_is_cut_is_dropped(self) -> None:
        reader = ChunkReader()
        assert reader.feed(b'data: {"id":') == []
        assert reader.end() == []

    def test_an_end_mark_without_its_empty_line_counts(self) -> None:
        reader = ChunkReader()
        assert reader.feed(b"data: [DONE]") == []
        assert reader.end() == []
        assert reader.done

    def test_empty_payloads_are_skipped(self) -> None:
        assert ChunkReader().feed(b"data:\n\ndata: \n\n") == []


EVENTS = [
    ContentBlockStart(index=0, content_block=TextStart()),
    ContentBlockStart(index=1, content_block=ThinkingStart()),
    ContentBlockStart(index=2, content_block=ToolUseStart(id="c", name="f")),
    ContentBlockDelta(index=0, delta=TextDelta(text='"quoted"\n你好 \u2028 \x85')),
    ContentBlockDelta(index=12, delta=ThinkingDelta(thinking="hm")),
    ContentBlockDelta(index=1, delta=SignatureDelta(signature="s")),
    ContentBlockDelta(index=2, delta=InputJsonDelta(partial_json='{"a":"é')),
    ContentBlockStop(index=2),
    Ping(),
    MessageStop(),
    ErrorEvent(error=ErrorDetail(type="api_error", message="a\u2029b")),
]


def test_events_are_named_frames_of_two_lines() -> None:
    events = parse_events(encode_events(EVENTS))
    assert [event["type"] for event in events] == [
        *["content_block_start"] * 3,
        *["content_block_delta"] * 4,
        "content_block_stop",
        "ping",
        "message_stop",
        "error",
    ]
    assert events[3]["delta"] == {"type": "text_delta", "text": '"quoted"\n你好 \u2028 \x85'}
    assert events[4] == {
        "type": "content_block_delta",
        "index": 12,
        "delta": {"type": "thinking_delta", "thinking": "hm"},
    }
    assert events[6]["delta"] == {"type": "input_json_delta", "partial_json": '{"a":"é'}


def test_no_line_end_of_unicode_stands_in_the_bytes() -> None:
    assert len(encode_events(EVENTS).decode().splitlines()) == 3 * len(EVENTS)


def test_sse_16_each_block_has_only_its_own_fields() -> None:
    blocks = [event["content_block"] for event in parse_events(encode_events(EVENTS[:3]))]
    assert blocks == [
        {"type": "text", "text": ""},
        {"type": "thinking", "thinking": "", "signature": ""},  # SSE-20
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ]


@pytest.mark.parametrize("event", EVENTS)
def test_the_short_spelling_of_an_event_is_the_long_one(event: StreamEvent) -> None:
    name = str(event.__struct_config__.tag)
    long = f"event: {name}\ndata: {msgspec.json.encode(event).decode()}\n\n"
    safe = long.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
    assert encode_events([event]).decode() == safe


def test_no_events_are_no_bytes() -> None:
    assert encode_events([]) == b""


# --- chunks ---------------------------------------------------------------------------------------


def decoded(**fields: object) -> object:
    return decode_chunk(json.dumps(fields).encode())


ODD_CHUNKS: dict[str, tuple[bytes, object]] = {
    "content in parts": (
        b'{"choices":[{"delta":{"content":[{"type":"text","text":"a"},"b",{"x":1}]}}]}',
        decoded(choices=[{"delta": {"content": "ab"}}]),
    ),
    "an id that is a number": (b'{"id":5}', decoded(id="5")),
    "figures that are floats and strings": (
        b'{"usage":{"prompt_tokens":12.0,"completion_tokens":"3","prompt_cache_hit_tokens":1.5}}',
        decoded(usage={"prompt_tokens": 12, "completion_tokens": 3}),
    ),
    "figures that are not numbers": (
        b'{"usage":{"prompt_tokens":NaN,"completion_tokens":Infinity}}',
        decoded(usage={}),
    ),
    "usage of another shape": (b'{"usage":[1],"id":"a"}', decoded(id="a")),
    "details in usage": (
        b'{"usage":{"prompt_tokens":"9","prompt_tokens_details":{"cached_tokens":2.0}}}',
        decoded(
            usage={
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 2},
            }
        ),
    ),
    "broken UTF-8": (
        b'{"choices":[{"delta":{"content":"a\xff"}}]}',
        decoded(choices=[{"delta": {"content": "a\ufffd"}}]),
    ),
    "half a surrogate pair": (
        rb'{"choices":[{"delta":{"content":"a\ud83d"}}]}',
        decoded(choices=[{"delta": {"content": "a\ufffd"}}]),
    ),
    "a finish reason that is a number": (
        b'{"choices":[{"delta":{},"finish_reason":7}]}',
        decoded(choices=[{"delta": {}, "finish_reason": "7"}]),
    ),
    "broken UTF-8 in arguments": (
        b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"\xe0{}"}}]}}]}',
        decoded(choices=[{"delta": {"tool_calls": [{"function": {"arguments": "\ufffd{}"}}]}}]),
    ),
    "a call's fields as numbers": (
        b'{"choices":[{"delta":{"tool_calls":[{"index":"1","id":7,"function":{"arguments":"x"}}]}}]}',
        decoded(
            choices=[
                {"delta": {"tool_calls": [{"index": 1, "id": "7", "function": {"arguments": "x"}}]}}
            ]
        ),
    ),
}


@pytest.mark.parametrize(("payload", "same_as"), ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_odd_chunks(payload: bytes, same_as: object) -> None:
    found = decode_chunk(payload)
    assert found.choices == same_as.choices  # type: ignore[attr-defined]
    assert found.id == same_as.id  # type: ignore[attr-defined]
    assert total(found.usage) == total(same_as.usage)  # type: ignore[attr-defined]


def total(usage: ChatUsage | None) -> Usage:
    return to_usage(usage, prompt_tokens=None, output_estimate=0)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"12",
        b"{",
        b"junk",
        b'{"choices":5}',
        b'{"choices":[5]}',
        b"[" * 100_000,
    ],
    ids=lambda payload: payload[:12].decode(),
)
def test_what_is_no_chunk_is_garbage(payload: bytes) -> None:
    with pytest.raises(Fault) as raised:
        decode_chunk(payload)
    assert raised.value.kind is FaultKind.GARBAGE


@pytest.mark.parametrize(
    "payload",
    [
        b'{"error":{"message":"x"}}',
        b'{"error":"x"}',
        b'{"object":"error","message":"x","code":500}',
        b'{"detail":"x"}',
        b'{"message":"x","type":"InternalServerError"}',
    ],
)
def test_errors_in_whatever_shape_are_kept(payload: bytes) -> None:
    assert b'"x"' in bytes(decode_chunk(payload).error)  # type: ignore[arg-type]
