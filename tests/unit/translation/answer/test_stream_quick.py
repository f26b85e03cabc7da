"""The quick ways through ``MessageStream``: what they take, and what they leave to the long way."""

from typing import Any

import pytest
from msgspec import UNSET, Raw

from deepseek_messages.translation.answer.runs import RunDelta, TextRun
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChatUsage,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from deepseek_messages.wire.events import ContentBlockDelta, TextDelta, ThinkingDelta


def chunk(
    finish: str | None = None,
    *,
    usage: ChatUsage | None = None,
    error: Any = UNSET,
    index: int = 0,
    **fields: Any,
) -> ChatChunk:
    choice = ChunkChoice(index=index, delta=ChatDelta(**fields), finish_reason=finish)
    return ChatChunk(choices=[choice], usage=usage, error=error)


def run(field: Any, *texts: str) -> TextRun:
    choices = [ChunkChoice(delta=ChatDelta(**{field: "".join(texts)}))]
    spelled = [text.encode() for text in texts]
    return TextRun(choices=choices, field=field, texts=list(texts), spelled=spelled)


def begun(first: ChatChunk, **fields: Any) -> MessageStream:
    """A stream whose first block is open."""
    stream = MessageStream(ReplyPlan(model="m", **fields), "msg", prompt_tokens=1, seal=None)
    stream.feed(first)
    return stream


TEXT, THOUGHT = chunk(content="a"), chunk(reasoning_content="a")

TAKEN: dict[str, tuple[ChatChunk, ChatChunk, ContentBlockDelta]] = {
    "text": (
        TEXT,
        chunk(content="b"),
        ContentBlockDelta(index=0, delta=TextDelta(text="b")),
    ),
    "reasoning": (
        THOUGHT,
        chunk(reasoning_content="b"),
        ContentBlockDelta(index=0, delta=ThinkingDelta(thinking="b")),
    ),
    "reasoning under its other name": (
        THOUGHT,
        chunk(reasoning="b"),
        ContentBlockDelta(index=0, delta=ThinkingDelta(thinking="b")),
    ),
}


@pytest.mark.parametrize(("first", "more", "event"), TAKEN.values(), ids=TAKEN)
def test_more_of_the_open_block_is_one_event(
    first: ChatChunk, more: ChatChunk, event: ContentBlockDelta
) -> None:
    stream = begun(first)
    assert stream._quick(more) == [event]


LEFT: dict[str, tuple[ChatChunk, ChatChunk]] = {
    "no choice": (TEXT, ChatChunk(choices=[])),
    "two choices": (
        TEXT,
        ChatChunk(choices=[ChunkChoice(delta=ChatDelta(content=text)) for text in "bc"]),
    ),
    "no delta": (TEXT, ChatChunk(choices=[ChunkChoice(delta=None)])),
    "usage": (TEXT, chunk(content="b", usage=ChatUsage())),
    "an end": (TEXT, chunk("stop", content="b")),
    "another choice": (TEXT, chunk(content="b", index=1)),
    "an error": (TEXT, chunk(content="b", error=Raw(b"1"))),
    "a call": (TEXT, chunk(content="b", tool_calls=[ToolCallDelta(index=0)])),
    "a refusal": (TEXT, chunk(content="b", refusal="no")),
    "reasoning beside text": (TEXT, chunk(content="b", reasoning_content="c")),
    "text beside reasoning": (THOUGHT, chunk(content="b", reasoning_content="c")),
    "reasoning after text": (TEXT, chunk(reasoning_content="b")),
    "text after reasoning": (THOUGHT, chunk(content="b")),
    "no text": (TEXT, chunk(content="")),
}


@pytest.mark.parametrize(("first", "other"), LEFT.values(), ids=LEFT)
def test_anything_else_goes_the_long_way(first: ChatChunk, other: ChatChunk) -> None:
    assert begun(first)._quick(other) is None


def test_reasoning_that_is_not_shown_goes_the_long_way() -> None:
    stream = begun(THOUGHT, display="omitted")
    assert stream._quick(chunk(reasoning_content="b")) is None
    assert stream.feed(run("reasoning_content", "b", "c")) == []


def test_text_that_may_begin_a_stop_sequence_goes_the_long_way() -> None:
    stream = begun(TEXT, watch_stops=("END",))
    assert stream._quick(chunk(content="E")) is None
    assert stream.feed(run("content", "x", "E")) == [
        ContentBlockDelta(index=0, delta=TextDelta(text="x"))
    ]


@pytest.mark.parametrize("waiting", [False, True])
def test_while_a_call_is_open_text_waits(waiting: bool) -> None:
    function = FunctionDelta(name="f", arguments='{"a":')
    call = ToolCallDelta(index=0, id="c", function=function)
    stream = begun(chunk(content="a"))
    stream.feed(chunk(tool_calls=[call]))
    if waiting:
        stream.feed(chunk(content="b"))
    assert stream._quick(chunk(content="c")) is None
    assert stream.feed(run("content", "c", "d")) == []


RUNS: dict[str, tuple[ChatChunk, TextRun, RunDelta]] = {
    "text": (
        TEXT,
        run("content", "b", "c"),
        RunDelta(index=0, delta=TextDelta(text="bc"), spelled=[b"b", b"c"]),
    ),
    "reasoning": (
        THOUGHT,
        run("reasoning_content", "b", "c"),
        RunDelta(index=0, delta=ThinkingDelta(thinking="bc"), spelled=[b"b", b"c"]),
    ),
    "reasoning under its other name": (
        THOUGHT,
        run("reasoning", "b"),
        RunDelta(index=0, delta=ThinkingDelta(thinking="b"), spelled=[b"b"]),
    ),
}


@pytest.mark.parametrize(("first", "more", "event"), RUNS.values(), ids=RUNS)
def test_a_run_of_the_open_block_is_one_event(
    first: ChatChunk, more: TextRun, event: RunDelta
) -> None:
    assert begun(first).feed(more) == [event]


@pytest.mark.parametrize("text", ["abc", "a中文"])
@pytest.mark.parametrize("more", ["de", "文字"])
def test_a_run_that_passes_the_limit_of_an_answer_is_garbage(
    monkeypatch: pytest.MonkeyPatch, text: str, more: str
) -> None:
    """Five characters are an answer, six are none, whichever way they come."""
    monkeypatch.setattr("deepseek_messages.translation.answer.stream.MAX_ANSWER_BYTES", 5)
    stream = begun(chunk(content=text))
    stream.feed(run("content", *more))
    with pytest.raises(Fault, match="longer than 5 characters"):
        stream.feed(run("content", "x"))
    with pytest.raises(Fault, match="longer than 5 characters"):
        begun(chunk(content=text)).feed(run("content", *more, "x"))
