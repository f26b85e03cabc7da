"""Every fault at every stage at one of several upstreams. Before its model speaks another one
answers in its place; from then on the fault is told as of a lone one, and nobody else is asked. A
whole answer that breaks is asked for elsewhere up to the model's own end.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from deepseek_messages.translation.faults import FaultKind
from tests.faults.cells import (
    BEFORE,
    FAULTS,
    STAGES,
    WAYS,
    WHOLE,
    fault_told,
    played,
    whole_told,
)
from tests.faults.chat_bytes import DONE, USAGE, delta, whole
from tests.faults.pairs import SPEAKS, Two, two
from tests.faults.rig import check
from tests.support.servers import (
    Cut,
    ReadRequest,
    Step,
    answer,
    chunk,
)

GOOD: dict[str, list[Step]] = {
    "stream": played(delta(content="Good") + delta("stop", USAGE), [chunk(DONE), chunk(b"")]),
    "whole": [ReadRequest(), answer(whole("Good")), Cut()],
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Two]:
    with two() as made:
        yield made


def check_taken_over(made: Two, reply: Any, asked: int) -> None:
    check(reply, made.rig.recorded, None)
    assert b"Good" in reply.body
    assert asked == 1
    assert made.rig.recorded["upstream"] == "second"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_an_answer(pair: Two, stage: str, fault: str, way: str) -> None:
    told = fault_told(stage, fault)
    reply, asked = pair.ask(played(STAGES[stage][0], FAULTS[fault][0]), GOOD[way], way, told)
    breaks = told not in (None, FaultKind.GARBAGE) and not STAGES[stage][2]
    if stage not in SPEAKS or (way == "whole" and breaks):
        check_taken_over(pair, reply, asked)
        return
    check(reply, pair.rig.recorded, told)
    assert asked == 0
    assert pair.rig.recorded["upstream"] == "first"
    assert pair.rig.recorded["tokens"]["out"] > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_an_answer(pair: Two, fault: str, way: str) -> None:
    steps, kind = BEFORE[fault]
    check_taken_over(pair, *pair.ask(steps, GOOD[way], way, kind))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_a_whole_answer(pair: Two, fault: str, way: str) -> None:
    told = whole_told(fault)
    reply, asked = pair.ask([ReadRequest(), *WHOLE[fault][0], Cut()], GOOD[way], way, told)
    if told is not None:
        check_taken_over(pair, reply, asked)
    else:
        check(reply, pair.rig.recorded, None)
        assert asked == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_when_both_fail_the_last_fault_is_told(pair: Two, fault: str, way: str) -> None:
    steps, kind = BEFORE[fault]
    reply, asked = pair.ask([ReadRequest(), Cut()], steps, way, None)
    check(reply, pair.rig.recorded, kind)
    assert asked == 1
