from pathlib import Path

import pytest

from bench import report
from bench.figures import FIGURES, Figure, Pair, Section


def test_a_target_is_missed_when_the_best_round_missed_it() -> None:
    assert Figure("wait", "ms", [11, 12, 30], 10).missed
    assert not Figure("wait", "ms", [9, 12, 30], 10).missed
    assert Figure("rate", "%", [80, 90, 96], 97, at_least=True).missed
    assert not Figure("rate", "%", [80, 90, 98], 97, at_least=True).missed


def test_a_figure_without_a_target_cannot_be_missed() -> None:
    assert not Figure("wait", "ms", [1e9]).missed


def test_a_pair_is_judged_by_the_ratios_of_its_rounds() -> None:
    pair = Pair("request", "µs", [30, 60], [10, 10], 3)
    assert pair.ratio.values == [3, 6]
    assert not pair.missed
    assert Pair("request", "µs", [31, 60], [10, 10], 3).missed


def test_a_row_says_median_spread_and_target() -> None:
    row = Figure("wait", "ms", [1, 2, 30], 10).row()
    assert row == "| wait | 2 ms (1..30) | ≤ 10 ms |"
    assert Figure("rate", "%", [99.0], 97, at_least=True).row() == "| rate | 99 % | ≥ 97 % |"


def test_the_report_names_what_was_missed() -> None:
    good, bad = Figure("good", "s", [1], 2), Figure("bad", "s", [3], 2)
    assert report.missed([Section("Times", FIGURES, [good, bad])]) == ["bad"]


def test_a_page_keeps_what_is_around_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before <!-- peers -->old<!-- peers --> after <!-- flame -->")
    report.write_page(page, "peers", "new")
    text = page.read_text()
    assert text == "before <!-- peers -->\n\nnew\n\n<!-- peers --> after <!-- flame -->"
    report.write_page(page, "peers", "new")
    assert page.read_text() == text


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="measured"):
        report.write_page(page, "measured", "new")
    assert page.read_text() == "no marks"
