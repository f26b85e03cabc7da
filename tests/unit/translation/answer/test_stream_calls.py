"""When a call's block begins, what stands before it, and the stop sequence that ends a text."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.plan import ReplyPlan
from tests.support.answers import call, delta, plain, sse, translate

F_AND_LONG = frozenset({"f", "long_name"})


def steps(reply: ReplyPlan, *frames: dict[str, Any]) -> list[list[str]]:
    """The events that each frame gives, without the message's start."""
    stream = MessageStream(reply, "msg", prompt_tokens=1, seal=None)
    stream.start()
    reader = ChunkReader()
    return [
        plain(
            [event for chunk in reader.feed(sse(frame, done=False)) for event in stream.feed(chunk)]
        )
        for frame in frames
    ]


def entry(*parts: Any) -> dict[str, Any]:
    return delta(tool_calls=[call(0, *parts)])


CASES: dict[str, tuple[frozenset[str], list[dict[str, Any]], list[list[str]]]] = {
    "a name alone begins the block when no tools are known": (
        frozenset(),
        [entry("c", "f"), entry(None, None, "{}")],
        [["0+tool f c"], ["0={}"]],
    ),
    "a known name alone begins the block": (
        F_AND_LONG,
        [entry("c", "f"), entry(None, None, "{}")],
        [["0+tool f c"], ["0={}"]],
    ),
    "a name that may go on waits": (
        F_AND_LONG,
        [entry("c", "long"), entry(None, "_name"), entry(None, None, "{}")],
        [[], ["0+tool long_name c"], ["0={}"]],
    ),
    "an unknown name begins the block with its arguments": (
        F_AND_LONG,
        [entry("c", "other"), entry(None, None, '{"a"')],
        [[], ["0+tool other c", '0={"a"']],
    ),
    "an unknown name without arguments waits for the end": (
        F_AND_LONG,
        [entry("c", "other"), delta("tool_calls")],
        [[], ["0+tool other c", "0={}", "0-"]],
    ),
    "no name waits": (
        F_AND_LONG,
        [entry("c", None, "{}"), entry(None, "f")],
        [[], ["0+tool f c", "0={}"]],
    ),
    "text that was held back comes before the call": (
        F_AND_LONG,
        [delta(content="a <"), entry("c", "f", "{}")],
        [["0+text", "0=a "], ["0=<", "0-", "1+tool f c", "1={}"]],
    ),
}


@pytest.mark.parametrize(("tools", "frames", "expected"), CASES.values(), ids=CASES)
def test_when_a_call_begins(
    tools: frozenset[str], frames: list[dict[str, Any]], expected: list[list[str]]
) -> None:
    assert steps(ReplyPlan(model="m", tools=tools), *frames) == expected


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [("END", "stop_sequence END"), ("other", "end_turn"), (151643, "end_turn"), (None, "end_turn")],
)
def test_only_a_stop_sequence_of_the_request_is_named(field: str, said: Any, expected: str) -> None:
    end = delta("stop")
    end["choices"][0][field] = said
    reply = ReplyPlan(model="m", stop_sequences=("END",), reports_stop_string=True)
    assert plain(translate([sse(delta(content="a"), end)], reply))[-2] == expected


def test_a_cut_off_call_without_a_name_is_left_out() -> None:
    raw = sse(delta(content="a"), entry("c", None, "{}"), delta("length"))
    assert plain(translate([raw], ReplyPlan(model="m", tools=F_AND_LONG)))[1:] == [
        "0+text", "0=a", "0-", "max_tokens", "message_stop",
    ]  # fmt: skip


@pytest.mark.parametrize("single", [True, False])
def test_where_one_call_is_allowed_the_first_is_the_answer(single: bool) -> None:
    frames = [delta(tool_calls=[call(n, f"c{n}", "f", "{}")]) for n in range(3)]
    events = translate([sse(*frames, delta("stop"))], ReplyPlan(model="m", single_tool=single))
    begun = [line for line in plain(events) if "+tool" in line]
    assert begun == [f"{n}+tool f c{n}" for n in range(1 if single else 3)]
    assert plain(events)[-2] == "tool_use"
