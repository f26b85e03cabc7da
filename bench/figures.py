"""Measured figures, their noise, their targets, and how they are written down.

A figure is measured in several rounds. Its value is the median; the best and the worst round tell
the noise of the run. A target counts as missed only when the best round missed it, too.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A value for each round. ``target`` is the most it may be (the least, with ``at_least``);
    without one the figure only informs.
    """

    name: str
    unit: str
    values: Sequence[float]
    target: float | None = None
    at_least: bool = False

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        if self.target is None:
            return False
        if self.at_least:
            return max(self.values) < self.target
        return min(self.values) > self.target

    def row(self) -> str:
        spread = ""
        if len(self.values) > 1:
            spread = f" ({min(self.values):.3g}..{max(self.values):.3g})"
        sign = "≥" if self.at_least else "≤"
        target = "" if self.target is None else f"{sign} {self.target:g} {self.unit}".rstrip()
        return f"| {self.name} | {short(self.value)} {self.unit}{spread} | {target} |"

    def found(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "rounds": list(self.values),
            "target": self.target,
            "at_least": self.at_least,
            "missed": self.missed,
        }


@dataclass(frozen=True)
class Pair:
    """What ours and another took in the same rounds; the target is for the ratio."""

    name: str
    unit: str
    ours: Sequence[float]
    beside: Sequence[float]
    target: float | None = None

    @property
    def ratio(self) -> Figure:
        ratios = [a / b for a, b in zip(self.ours, self.beside, strict=True)]
        return Figure(self.name, "x", ratios, self.target)

    @property
    def missed(self) -> bool:
        return self.ratio.missed

    def row(self) -> str:
        ratio = self.ratio
        ours, beside = statistics.median(self.ours), statistics.median(self.beside)
        target = "" if self.target is None else f"≤ {self.target:g}"
        return (
            f"| {self.name} | {short(ours)} {self.unit} | {short(beside)} {self.unit} | "
            f"{ratio.value:.2f} ({min(ratio.values):.2f}..{max(ratio.values):.2f}) | {target} |"
        )

    def found(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        return self.ratio.found() | {"ours": list(self.ours), "beside": list(self.beside)}


@dataclass
class Section:
    """A table: a title, what its columns are called, and its rows, all of one kind."""

    title: str
    columns: tuple[str, ...]
    rows: list[Figure] | list[Pair] = field(default_factory=list)

    def table(self) -> str:
        head = f"| {' | '.join(self.columns)} |"
        lines = [f"### {self.title}", "", head, "|---" * len(self.columns) + "|"]
        return "\n".join([*lines, *(row.row() for row in self.rows)])


FIGURES = ("", "measured (min..max)", "target")


def beside(what: str, other: str) -> tuple[str, ...]:
    """The columns of a table of pairs."""
    return (what, "ours", other, "ratio (min..max)", "target")


def short(value: float) -> str:
    """Three digits, and no exponent in the sizes that occur here."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
