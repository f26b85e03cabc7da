"""Law 10: twice the input costs at most twice the work, in requests and in answers.

Work is the number of calls, of Python's functions and of C's, which is the same in every run.
"""

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.plan import ReplyPlan
from tests.property.conversations import translate as request
from tests.support.answers import call as part
from tests.support.answers import delta, sse, translate
from tests.support.translating import assistant, call, result, text, thinking, tool, user


def work(run: Callable[[], object]) -> int:
    """How many calls ``run`` makes when it has run once before."""
    run()
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # what other tests left would be called to its end meanwhile
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def history(turns: int) -> dict[str, Any]:
    messages: list[Any] = []
    for n in range(turns):
        messages += [
            user("question"),
            assistant(thinking("Hm."), text("Look."), call(f"t{n}", "f", a=n)),
            user(result(f"t{n}", "found")),
            assistant("done"),
        ]
    return {"model": "m", "max_tokens": 9, "tools": [tool()], "messages": [*messages, user("?")]}


@pytest.mark.parametrize("encoding", [None, "v4", "v4.1"])
def test_a_history_of_twice_the_turns_costs_twice_the_work(encoding: Any) -> None:
    one, two = (work(lambda n=n: request(history(n), encoding)) for n in (100, 200))  # type: ignore[misc]
    assert two <= 2.02 * one


ANSWERS: dict[str, Callable[[int], list[Any]]] = {
    "text": lambda n: [delta(content=f"word {i} ") for i in range(n)],
    "reasoning": lambda n: [delta(reasoning_content=f"word {i} ") for i in range(n)],
    "in turns": lambda n: [
        delta(**{("content", "reasoning_content")[i % 2]: f"word {i} "}) for i in range(n)
    ],
    "one long call": lambda n: [
        delta(tool_calls=[part(0, "c", "f", '{"a":[0')]),
        *(delta(tool_calls=[part(0, arguments=f",{i}")]) for i in range(n)),
        delta(tool_calls=[part(0, arguments="]}")]),
    ],
    "many calls": lambda n: [delta(tool_calls=[part(i, f"c{i}", "f", "{}")]) for i in range(n)],
    "two calls that alternate": lambda n: [
        delta(tool_calls=[part(i % 2, f"c{i % 2}", "f", " ")]) for i in range(n)
    ],
    "mark-up that never ends": lambda n: [delta(content="<｜DSML｜") for _ in range(n)],
    "stops that begin": lambda n: [delta(content="EN") for _ in range(n)],
}
PLAN = ReplyPlan(model="m", tools=frozenset({"f"}), watch_stops=("END",), stop_sequences=("END",))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("size", [1, 1 << 20], ids=["in bytes", "in one piece"])
def test_an_answer_of_twice_the_length_costs_twice_the_work(
    answer: Callable[[int], list[Any]], size: int
) -> None:
    def translated(n: int) -> object:
        raw = sse(*answer(n), delta("stop"))
        events = translate([raw[at : at + size] for at in range(0, len(raw), size)], PLAN)
        return encode_events(events), fold(events)

    one, two = (work(lambda n=n: translated(n)) for n in (100, 200))  # type: ignore[misc]
    assert two <= 2.05 * one
