"""Minutes of load with faults on both sides leave nothing behind."""

import sys

import pytest

from bench.soak import MAX_NEW_OBJECTS, SOUND, Report, slope
from tests import soaking

MIB = 2**20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_soak_leaves_nothing_behind() -> None:
    told = soaking.report()
    assert told.rstrip().endswith(SOUND), told


def test_growth_that_goes_on_is_a_slope() -> None:
    assert slope([(float(t), t * MIB // 60) for t in range(600)]) == pytest.approx(10, rel=0.01)


def test_steps_and_peaks_are_no_slope() -> None:
    stepped = [(float(t), (8 if t > 200 else 0) * MIB) for t in range(600)]
    peaks = [(float(t), (8 if t % 7 else 0) * MIB) for t in range(600)]
    assert slope(stepped) == 0
    assert slope(peaks) == 0


def report(growth: int, **after: int) -> Report:
    same = {"tasks": 5, "objects": 8000, "descriptors": 14, "open requests": 1, "open streams": 0}
    samples = [(float(t), t * growth) for t in range(300)]
    found = Report(seconds=300, samples=samples, before=same, after=same | after)
    found.told["read: whole"] = 1
    return found


def test_a_report_names_what_is_not_as_it_was() -> None:
    assert str(report(0)).endswith(SOUND)
    assert report(0, tasks=6).problems == ["tasks: 5 before, 6 after"]
    assert report(MIB // 10).problems == ["memory grows by 60.00 MiB in 10 minutes"]
    assert "NOT as it must be: tasks" in str(report(0, tasks=6))
    assert report(0, objects=8000 + MAX_NEW_OBJECTS).problems == []
    assert report(0, objects=8501).problems == ["objects: 8000 before, 8501 after"]


def test_a_short_soak_tells_no_slope() -> None:
    short = report(MIB)
    short.samples = short.samples[:200]
    assert short.slope is None
    assert short.problems == []


def test_what_was_taken_before_it_was_warm_is_no_slope() -> None:
    slow = report(0)
    slow.samples = [(float(t), min(t, 300) * MIB // 60) for t in range(500)]
    assert slow.slope == pytest.approx(10, rel=0.5)
    slow.warm_after = 300.0
    assert slow.slope == 0


def test_a_soak_in_which_nobody_was_answered_shows_nothing() -> None:
    silent = report(0)
    silent.told.clear()
    assert silent.problems == ["no answer came whole"]
