"""More of the open block, bytes to bytes: what is passed on, and what is left."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.answer.relay import MOST_KEPT, Relay
from deepseek_messages.translation.answer.runs import Pattern
from deepseek_messages.translation.answer.sse import ChunkReader, encode_events
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.plan import ReplyPlan
from tests.support.answers import FakeSeal, delta, relayed, sse, translate

PLAIN = ReplyPlan(model="m")
TOOLS = ReplyPlan(model="m", tools=frozenset({"f"}))


def frame(text: str, field: str = "content") -> bytes:
    return b"data: " + json.dumps(delta(**{field: text}), ensure_ascii=False).encode() + b"\n\n"


def begun(plan: ReplyPlan = PLAIN, field: str = "content") -> tuple[MessageStream, Relay]:
    """A stream whose block is open, and what passes more of it on."""
    stream = MessageStream(plan, "msg", prompt_tokens=1, seal=None)
    reader = ChunkReader()
    for chunk in reader.feed(frame("a", field) + frame("b", field)):
        stream.feed(chunk)
    assert reader.pattern is not None
    relay = stream.relay(reader.pattern)
    assert relay is not None
    return stream, relay


def expected(texts: list[str], kind: str = "text") -> bytes:
    lines = []
    for text in texts:
        change = {"type": f"{kind}_delta", kind: text}
        event = {"type": "content_block_delta", "index": 0, "delta": change}
        data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        data = data.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        lines.append(f"event: content_block_delta\ndata: {data}\n\n".replace("\x85", "\\u0085"))
    return "".join(lines).encode()


TEXTS = [["c"], ["c", "d", "e"], ['"', "\n\\"], ["你好", "\u2028", "\x85🐋"], [" ", "{"]]


@pytest.mark.parametrize("texts", TEXTS)
@pytest.mark.parametrize(
    ("field", "kind"),
    [("content", "text"), ("reasoning_content", "thinking"), ("reasoning", "thinking")],
)
def test_frames_of_the_pattern_are_passed_on(texts: list[str], field: str, kind: str) -> None:
    stream, relay = begun(field=field)
    told: list[str] = []
    relay._tell = told.extend
    data = b"".join(frame(text, field) for text in texts)
    assert relay.take(data) == expected(texts, kind)
    assert relay.take(data) == expected(texts, kind)
    relay.end()
    assert told == texts + texts
    relay.end()
    assert told == texts + texts
    assert stream.so_far() is not None


def test_what_was_passed_on_is_told_now_and_then() -> None:
    _, relay = begun()
    told: list[str] = []
    relay._tell = told.extend
    for n in range(MOST_KEPT + 1):
        relay.take(frame(f"{n} "))
    assert told == [f"{n} " for n in range(MOST_KEPT + 1)]


LEFT: dict[str, bytes] = {
    "nothing": b"",
    "half a frame": frame("c")[:-1],
    "a frame and a half": frame("c") + frame("d")[:-3],
    "an empty text": frame(""),
    "an empty text behind another": frame("c") + frame(""),
    "another field": frame("c", "reasoning_content"),
    "another field behind": frame("c") + frame("d", "reasoning_content"),
    "an end": sse(delta("stop"), done=False),
    "the end mark": b"data: [DONE]\n\n",
    "another spelling": frame("?").replace(b'"?"', b'"\\u0041"'),
    "bytes that are no text": frame("?").replace(b"?", b"\xff"),
    "bytes that are no text behind others": frame("c") + frame("?").replace(b"?", b"\xff"),
    "a line end inside": frame("?").replace(b"?", b"a\nb"),
    "another line between": frame("c") + b"x\n\n" + frame("d"),
    "an empty line between": frame("c") + b"\n" + frame("d"),
    "other line ends": frame("c").replace(b"\n\n", b"\r\n\r\n"),
    "a character cut in two": frame("?").replace(b"?", "中".encode()[:2])
    + frame("?").replace(b"?", "中".encode()[2:]),
}


@pytest.mark.parametrize("data", LEFT.values(), ids=LEFT)
def test_anything_else_is_left_and_nothing_has_happened(data: bytes) -> None:
    _, relay = begun()
    told: list[str] = []
    relay._tell = told.extend
    assert relay.take(data) is None
    relay.end()
    assert told == []
    assert relay.take(frame("c")) == expected(["c"])


GUARDED = ["<", "a<b", "a\n", "a\r", "\n"]


@pytest.mark.parametrize("text", GUARDED)
def test_text_that_may_begin_a_leaked_call_is_left_where_tools_are(text: str) -> None:
    _, relay = begun(TOOLS)
    assert relay.take(frame(text)) is None
    assert relay.take(frame("c") + frame(text)) is None
    assert relay.take(frame("\nc")) == expected(["\nc"])
    _, free = begun()
    assert free.take(frame(text)) == expected([text])


def test_reasoning_is_not_guarded() -> None:
    _, relay = begun(TOOLS, "reasoning_content")
    assert relay.take(frame("<", "reasoning_content")) == expected(["<"], "thinking")


def test_no_more_is_passed_on_than_an_answer_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.translation.answer.stream.MAX_ANSWER_BYTES", 5)
    _, relay = begun()  # of two characters
    assert relay.take(frame("cde")) == expected(["cde"])
    assert relay.take(frame("f")) is None
    _, relay = begun()
    assert relay.take(frame("cdef")) is None
    assert relay.take(frame("c") + frame("de")) == expected(["c", "de"])


THINKS = "reasoning_content"
CLOSED: dict[str, tuple[ReplyPlan, list[bytes], str]] = {
    "no block is open": (PLAIN, [], "content"),
    "reasoning is open": (PLAIN, [frame("a", THINKS)], "content"),
    "text is open": (PLAIN, [frame("a")], THINKS),
    "reasoning is not shown": (
        ReplyPlan(model="m", display="omitted"),
        [frame("a", THINKS)],
        THINKS,
    ),
    "a stop sequence is looked for": (
        ReplyPlan(model="m", watch_stops=("END",)),
        [frame("a")],
        "content",
    ),
}


def pattern(field: str) -> Pattern:
    reader = ChunkReader()
    reader.feed(frame("a", field) * 2)
    assert reader.pattern is not None
    return reader.pattern


@pytest.mark.parametrize(("plan", "fed", "field"), CLOSED.values(), ids=CLOSED)
def test_nothing_passes_on_where_a_look_is_needed(
    plan: ReplyPlan, fed: list[bytes], field: str
) -> None:
    reader, stream = ChunkReader(), MessageStream(plan, "msg", prompt_tokens=1, seal=None)
    for data in fed:
        for chunk in reader.feed(data):
            stream.feed(chunk)
    assert stream.relay(pattern(field)) is None


def test_what_was_passed_on_is_known_to_the_stream() -> None:
    frames = [frame("Hm.", "reasoning_content")] * 4 + [frame("words ")] * 4 + [frame("中")] * 3
    raw = [*frames, sse(delta("stop"))]
    seal: Any = FakeSeal()
    assert relayed(raw, PLAIN, seal=seal) == encode_events(translate(raw, PLAIN, seal=seal))
    stream, relay = begun()
    relay.take(frame("x" * 8))
    usage = stream.so_far()
    assert usage is not None
    assert usage.output_tokens == 3  # ten characters, 0.3 each
