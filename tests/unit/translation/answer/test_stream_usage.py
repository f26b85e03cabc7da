"""What a streamed answer has cost: told by the upstream, counted elsewhere, or estimated."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.runs import TextRun
from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk, ChatUsage
from deepseek_messages.wire.events import MessageDelta
from deepseek_messages.wire.messages import Usage
from tests.support.answers import call, delta, sse, translate


def read(*frames: Any, counted: ChatUsage | None = None, **fields: Any) -> Usage:
    """The usage that ends an answer."""
    stream = MessageStream(ReplyPlan(model="m", **fields), "msg", prompt_tokens=7, seal=None)
    for chunk in ChunkReader().feed(sse(*frames, delta("stop"))):
        stream.feed(chunk)
    end, _ = stream.finish(counted)
    assert isinstance(end, MessageDelta)
    return end.usage


def told(**figures: int) -> dict[str, Any]:
    return {"choices": [], "usage": figures}


def figures(usage: Usage) -> tuple[int, int]:
    return usage.input_tokens, usage.output_tokens


def test_a_later_report_keeps_what_it_does_not_tell() -> None:
    usage = read(told(prompt_tokens=9, completion_tokens=1), told(completion_tokens=4))
    assert figures(usage) == (9, 4)


COUNTED = ChatUsage(prompt_tokens=20, completion_tokens=5)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([], (20, 5)),
        ([told(completion_tokens=4)], (20, 4)),
        ([told(prompt_tokens=9)], (9, 5)),
        ([told(prompt_tokens=9, completion_tokens=4)], (9, 4)),
    ],
)
def test_what_was_counted_stands_in_for_what_is_not_told(
    frames: list[Any], expected: tuple[int, int]
) -> None:
    assert figures(read(*frames, counted=COUNTED)) == expected


TEN = "a" * 10
ESTIMATES: dict[str, tuple[list[Any], int]] = {
    "ASCII, 0.3 each": ([delta(content=TEN)], 3),
    "others, 0.6 each": ([delta(content="中" * 10)], 6),
    "a mixture": ([delta(content=TEN + "中" * 10)], 9),
    "in pieces": ([delta(content=TEN), delta(content="中" * 5), delta(content="文" * 5)], 9),
    "pieces of a run": ([delta(content=part) for part in (TEN, TEN, "中" * 5, "文" * 5)], 12),
    "reasoning": ([delta(reasoning_content=TEN), delta(reasoning_content="中" * 10)], 9),
    "arguments": ([delta(tool_calls=[call(0, "c", "f", '{"a":1234}')])], 3),
    "nothing": ([], 0),
}


@pytest.mark.parametrize(("frames", "expected"), ESTIMATES.values(), ids=ESTIMATES)
def test_an_untold_output_is_estimated(frames: list[Any], expected: int) -> None:
    assert figures(read(*frames)) == (7, expected)


def test_arguments_found_in_the_text_count_once_more() -> None:
    mark_up = (
        '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n'
        '<｜DSML｜parameter name="a" string="true">'
        + "v" * 90
        + "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
    )
    usage = read(delta(content=mark_up), tools=frozenset({"f"}))
    assert figures(usage) == (7, 30)  # {"a": "vvv…"} has 99 characters


def open_stream(prompt_tokens: int | None = 7) -> MessageStream:
    return MessageStream(ReplyPlan(model="m"), "msg", prompt_tokens=prompt_tokens, seal=None)


def fed(*frames: Any) -> MessageStream:
    stream = open_stream()
    for chunk in ChunkReader().feed(sse(*frames)):
        stream.feed(chunk)
    return stream


class TestSoFar:
    def test_nothing_before_anything_came(self) -> None:
        stream = open_stream()
        assert stream.so_far() is None
        stream.start()
        assert stream.so_far() is None

    def test_an_estimate_while_nothing_is_told(self) -> None:
        usage = fed(delta(content=TEN + "中" * 10)).so_far()
        assert usage is not None
        assert figures(usage) == (7, 9)

    def test_what_was_told(self) -> None:
        usage = fed(delta(content=TEN), told(prompt_tokens=9, completion_tokens=4)).so_far()
        assert usage is not None
        assert figures(usage) == (9, 4)

    def test_what_was_told_before_anything_was_written(self) -> None:
        usage = fed(told(prompt_tokens=9)).so_far()
        assert usage is not None
        assert figures(usage) == (9, 0)


@pytest.mark.parametrize("error", [None, {}, "", False])
def test_an_error_that_is_none_is_ignored(error: Any) -> None:
    events = translate([sse({"choices": [], "error": error}, delta(content="a"), delta("stop"))])
    assert isinstance(events[-2], MessageDelta)


def test_pieces_of_a_run_are_counted_like_single_chunks() -> None:
    pieces = ["ab", "中文", "c文"]
    run = TextRun(
        choices=[], field="content", texts=pieces, spelled=[piece.encode() for piece in pieces]
    )
    together, single = fed(delta(content="x")), fed(delta(content="x"))
    together.feed(run)
    for frame in pieces:
        single.feed(fed_chunk(frame))
    assert together.so_far() == single.so_far()


def fed_chunk(text: str) -> ChatChunk:
    (chunk,) = ChunkReader().feed(sse(delta(content=text), done=False))
    return chunk
