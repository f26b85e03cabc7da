"""Runs of chunks of one pattern: what is taken as one, and that it stands for the same."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.answer.runs import (
    RunDelta,
    TextRun,
    pattern_of,
    single_chunks,
    single_events,
)
from deepseek_messages.translation.answer.sse import (
    MAX_LESSONS,
    ChunkReader,
    decode_chunk,
    encode_events,
)
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChunkChoice
from deepseek_messages.wire.events import StreamEvent


def frame(text: str, field: str = "content", finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {field: text}, "logprobs": None, "finish_reason": finish}
    body = {"id": "c", "created": 1, "choices": [choice], **more}
    return (
        b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


def read(data: bytes) -> list[ChatChunk]:
    return ChunkReader().feed(data)


def texts(chunk: ChatChunk) -> list[str]:
    found = (each.choices[0].delta for each in single_chunks(chunk) if each.choices)
    return [delta.content or delta.reasoning_content or "" for delta in found if delta]


TEXTS = {
    "plain": ["a", "b", " c"],
    "escapes": ['"', "\\", "\n", "\t\r\b\f", 'x",', '",'],
    "other scripts": ["é", "你好", "😀", "\u2028", "\x85"],
    "mark-up": ["<", "</think>", "<｜DSML｜", "{", '{"a":"b"}'],
    "what looks like the pattern": ['"},"logprobs":null', "data: ", "content"],
}


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
@pytest.mark.parametrize("pieces", TEXTS.values(), ids=TEXTS)
def test_frames_of_one_pattern_are_one_run(pieces: list[str], field: str) -> None:
    first, run = read(b"".join(frame(text, field) for text in ["first", *pieces]))
    assert type(first) is ChatChunk
    assert isinstance(run, TextRun)
    assert (run.field, run.texts) == (field, pieces)
    slow = [decode_chunk(frame(text, field)[6:]) for text in pieces]
    assert [chunk.choices for chunk in single_chunks(run)] == [chunk.choices for chunk in slow]


OTHERS = {
    "an end": frame("x", finish="stop"),
    "usage": frame("x", usage={"prompt_tokens": 1}),
    "no text": frame(""),
    "another field": frame("x", "refusal"),
    "another choice": frame("x").replace(b'"index":0', b'"index":1'),
    "an error": frame("x", error={"message": "boom"}),
    "bytes that are no text": frame("x").replace(b'"c"', b'"\xff"'),
    "two texts": frame("x").replace(b'"content"', b'"reasoning":"y","content"'),
}
ESCAPES = {
    "an escape that need not be": frame("x").replace(b'"x"', b'"\\u0041"'),
    "a slash that is escaped": frame("x").replace(b'"x"', b'"\\/"'),
}


@pytest.mark.parametrize("other", [*OTHERS.values(), *ESCAPES.values()], ids=[*OTHERS, *ESCAPES])
def test_a_frame_that_is_different_is_decoded_by_itself(other: bytes) -> None:
    chunks = read(frame("a") + frame("b") + other + frame("c") + frame("d"))
    assert decode_chunk(other[6:]) in chunks
    chunks.remove(decode_chunk(other[6:]))
    assert [text for chunk in chunks for text in texts(chunk)] == list("abcd")


@pytest.mark.parametrize("other", [*OTHERS.values(), *ESCAPES.values()], ids=[*OTHERS, *ESCAPES])
def test_different_frames_teach_no_pattern(other: bytes) -> None:
    assert pattern_of(other, decode_chunk(other[6:])) is None


@pytest.mark.parametrize("odd", [b"\r\n\r\n", b"\n\r\n", b"\n: note\n\n", b"\nid: 1\n\n"])
def test_other_line_ends_and_fields_are_read_as_ever(odd: bytes) -> None:
    data = b"".join(frame(t).removesuffix(b"\n\n") + odd for t in "abc")
    assert [t for chunk in read(data) for t in texts(chunk)] == list("abc")


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\x00", b"\\", b"\\x"])
def test_bytes_that_are_no_text_are_not_taken(bad: bytes) -> None:
    first, *rest = read(frame("a") + frame("b"))
    assert isinstance(rest[0], TextRun)
    pattern = pattern_of(frame("a"), first)
    assert pattern is not None
    data = frame("b") + frame("?").replace(b'"?"', b'"' + bad + b'"')
    assert pattern.take(data) == (None, data)


def events_of(chunks: list[ChatChunk], plan: ReplyPlan) -> list[StreamEvent]:
    stream = MessageStream(plan, "msg_1", prompt_tokens=1, seal=None)
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return events + stream.finish()


PLANS = {
    "plain": ReplyPlan(model="m"),
    "tools": ReplyPlan(model="m", tools=frozenset({"f"})),
    "stops": ReplyPlan(model="m", stop_sequences=("STOP", "\n\n"), watch_stops=("STOP", "\n\n")),
    "hidden": ReplyPlan(model="m", display="omitted", thinking=True),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("pieces", [*TEXTS.values(), ["\n", "\n", "ST", "OP", "x"]])
def test_a_run_gives_the_events_and_bytes_of_its_chunks(plan: ReplyPlan, pieces: list[str]) -> None:
    data = b"".join(frame(text, "reasoning_content") for text in pieces)
    data += b"".join(map(frame, ["begin", *pieces, *pieces]))
    data += frame("", finish="stop") + b"data: [DONE]\n\n"
    chunks = read(data)
    assert any(isinstance(chunk, TextRun) for chunk in chunks)
    fast = events_of(chunks, plan)
    slow = events_of([each for chunk in chunks for each in single_chunks(chunk)], plan)
    assert list(single_events(fast)) == slow
    assert encode_events(fast) == encode_events(slow)


def test_plain_text_goes_through_as_a_run() -> None:
    chunks = read(b"".join(map(frame, "abcd")) + frame("", finish="stop"))
    assert any(isinstance(event, RunDelta) for event in events_of(chunks, PLANS["plain"]))


def test_a_stream_whose_frames_change_is_learned_a_few_times_only() -> None:
    reader = ChunkReader()
    data = b"".join(frame(str(n), created=n) for n in range(100))
    assert [t for chunk in reader.feed(data) for t in texts(chunk)] == [str(n) for n in range(100)]


def test_a_run_of_one_and_a_run_of_three() -> None:
    for pieces in (["x"], ["x", "y", "z"]):
        _, run, end = read(b"".join(map(frame, ["a", *pieces])) + frame("", finish="stop"))
        assert isinstance(run, TextRun)
        assert run.texts == pieces
        assert run.choices == [ChunkChoice(index=0, delta=ChatDelta(content="".join(pieces)))]
        assert run.spelled == [piece.encode() for piece in pieces]
        assert end.choices is not None


def test_what_follows_a_run_is_kept() -> None:
    first = read(frame("a"))[0]
    pattern = pattern_of(frame("a"), first)
    assert pattern is not None
    whole = frame("b") + frame("c")
    run, rest = pattern.take(whole + frame("d")[:-3])
    assert run is not None
    assert run.texts == ["b", "c"]
    assert rest == frame("d")[:-3]
    assert pattern.take(whole)[1] == b""
    assert pattern.take(frame("d")[:-3]) == (None, frame("d")[:-3])
    empty = frame("")
    assert pattern.take(empty) == (None, empty)


@pytest.mark.parametrize(
    "odd",
    [
        frame("a").replace(b"data: ", b"data:"),
        frame("a")[:-1],
        frame("a").replace(b'"id"', b'\n"id"'),
        frame("a").replace(b'"id"', b'\r"id"'),
        frame("a").replace(b'"content":"', b'"content":  "'),
    ],
    ids=["no blank", "no end", "a line feed inside", "a return inside", "two blanks"],
)
def test_a_frame_in_another_form_teaches_no_pattern(odd: bytes) -> None:
    assert pattern_of(odd, decode_chunk(frame("a")[6:])) is None


def test_a_pattern_is_learned_whatever_blank_stands_before_the_text() -> None:
    spaced = frame("a").replace(b'"content":', b'"content": ')
    assert pattern_of(spaced, decode_chunk(spaced[6:])) is not None


def test_lessons_are_few_and_runs_begin_again_after_what_is_different() -> None:
    reader = ChunkReader()
    changing = b"".join(frame(str(n), created=n) for n in range(MAX_LESSONS + 4))
    assert len(reader.feed(changing)) == MAX_LESSONS + 4
    assert reader._lessons == 0
    assert [type(chunk) for chunk in reader.feed(frame("a") + frame("b"))] == [ChatChunk] * 2


def test_a_frame_that_is_begun_is_finished_before_a_run() -> None:
    reader = ChunkReader()
    reader.feed(frame("a") * 2 * MAX_LESSONS)
    reader._lessons = 0
    raw = frame("b") * 4
    assert reader.feed(raw[:9]) == []
    kinds = [type(chunk) for chunk in reader.feed(raw[9:])]
    assert kinds == [ChatChunk, TextRun]


ENDINGS = {
    "another line instead of the empty one": b"\n5",
    "a comment instead of the empty line": b"\n: note\n\n",
    "a second data line": b"\ndata: \n\n",
    "one line end": b"\n",
    "none": b"",
}


@pytest.mark.parametrize("many", [2, 3, 4])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_frame_without_its_empty_line_is_in_no_run(ending: bytes, many: int) -> None:
    """However the bytes are cut, the same is read."""
    odd = b"".join(map(frame, "abcd"[:many])) + frame("x")[:-2] + ending
    data = odd + b"".join(map(frame, "yz")) + frame("", finish="stop")
    pattern = pattern_of(frame("a"), read(frame("a"))[0])
    assert pattern is not None
    run, rest = pattern.take(odd)
    assert run is not None
    assert (run.texts, rest) == (list("abcd"[:many]), frame("x")[:-2] + ending)
    assert read_in([data]) == read_in([data[n : n + 1] for n in range(len(data))])


def read_in(pieces: list[bytes]) -> tuple[list[Any], str]:
    """The chunks, single ones, and what broke the reading."""
    reader, chunks = ChunkReader(), list[Any]()
    try:
        for piece in pieces:
            chunks += [
                each.choices for chunk in reader.feed(piece) for each in single_chunks(chunk)
            ]
        chunks += [chunk.choices for chunk in reader.end()]
    except Fault as fault:
        return chunks, fault.message
    return chunks, ""
