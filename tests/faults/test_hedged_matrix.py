"""Every fault at every stage at the faster one of two upstreams that were both asked."""

from collections.abc import Iterator

import pytest

from deepseek_messages.translation.faults import FaultKind
from tests.faults.cells import FAULTS, STAGES, fault_told, played
from tests.faults.pairs import SPEAKS, Two, two
from tests.faults.rig import check
from tests.support.servers import ReadRequest, Stall


@pytest.fixture(scope="module")
def hedged() -> Iterator[Two]:
    with two(hedge_after=0.001) as made:
        made.first.on_silence = None  # the clock is the second one's
        yield made


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", SPEAKS)
def test_a_fault_of_the_faster_one(hedged: Two, stage: str, fault: str) -> None:
    """The slower one is let go when the other one speaks, and not asked again."""
    second = played(STAGES[stage][0], FAULTS[fault][0])
    reply, asked = hedged.ask([ReadRequest(), Stall()], second, "stream", FaultKind.TIMEOUT)
    check(reply, hedged.rig.recorded, fault_told(stage, fault))
    assert asked == 1
    assert hedged.rig.recorded["upstream"] == "second"
    assert hedged.rig.recorded["tokens"]["out"] > 0
