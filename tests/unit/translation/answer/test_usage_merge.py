"""Two usage reports of one answer: each figure by itself."""

from typing import Any

import pytest
from msgspec import convert, to_builtins

from deepseek_messages.translation.answer.usage import merge
from deepseek_messages.wire.chat import ChatUsage

FIGURES: list[tuple[str, ...]] = [
    ("prompt_tokens",),
    ("completion_tokens",),
    ("prompt_cache_hit_tokens",),
    ("prompt_cache_miss_tokens",),
    ("prompt_tokens_details", "cached_tokens"),
    ("completion_tokens_details", "reasoning_tokens"),
]


def report(figure: tuple[str, ...], value: int | None) -> ChatUsage:
    told: Any = value
    for name in reversed(figure):
        told = {name: told}
    return convert(told, ChatUsage)


def told(usage: ChatUsage, figure: tuple[str, ...]) -> Any:
    found = to_builtins(usage)
    for name in figure:
        found = found[name]
    return found


@pytest.mark.parametrize("figure", FIGURES, ids="-".join)
@pytest.mark.parametrize(
    ("earlier", "later", "merged"),
    [(5, 7, 7), (7, 5, 5), (5, None, 5), (5, 0, 5), (None, 7, 7), (0, 7, 7), (None, 0, 0)],
)
def test_the_later_figure_counts_unless_it_takes_one_back(
    figure: tuple[str, ...], earlier: int | None, later: int | None, merged: int
) -> None:
    assert told(merge(report(figure, earlier), report(figure, later)), figure) == merged


@pytest.mark.parametrize("figure", FIGURES, ids="-".join)
def test_a_report_without_the_figure_leaves_it(figure: tuple[str, ...]) -> None:
    assert told(merge(report(figure, 5), ChatUsage()), figure) == 5
    assert told(merge(ChatUsage(), report(figure, 5)), figure) == 5
