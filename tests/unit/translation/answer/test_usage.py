from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from deepseek_messages.translation.answer.usage import MAX_COUNT, estimate_tokens, merge, to_usage
from deepseek_messages.wire.chat import ChatUsage
from deepseek_messages.wire.messages import OutputTokensDetails


def reported(**fields: Any) -> ChatUsage:
    return msgspec.convert(fields, ChatUsage)


CASES = {
    "US-12 DeepSeek": (
        {"prompt_tokens": 100, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        (36, 64),
    ),
    "OpenAI": ({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 64}}, (36, 64)),
    "both agree": (
        {
            "prompt_tokens": 100,
            "prompt_cache_hit_tokens": 64,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
        (36, 64),
    ),
    "no cache": ({"prompt_tokens": 100}, (100, 0)),
    "details are null": ({"prompt_tokens": 100, "prompt_tokens_details": None}, (100, 0)),
    "hit and miss alone": (
        {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        (36, 64),
    ),
    "more hits than prompt": ({"prompt_tokens": 100, "prompt_cache_hit_tokens": 200}, (0, 100)),
    "negative hits": ({"prompt_tokens": 100, "prompt_cache_hit_tokens": -5}, (100, 0)),
    "a negative prompt is not told": ({"prompt_tokens": -5}, (7, 0)),
    "US-07 zeros are not told": ({"prompt_tokens": 0, "prompt_cache_hit_tokens": 0}, (7, 0)),
    "nothing told": ({}, (7, 0)),
    "beyond what JSON readers keep": ({"prompt_tokens": 10**30}, (MAX_COUNT, 0)),
}


@pytest.mark.parametrize(("fields", "expected"), CASES.values(), ids=CASES)
def test_us_03_input(fields: dict[str, Any], expected: tuple[int, int]) -> None:
    usage = to_usage(reported(**fields), prompt_tokens=7, output_estimate=0)
    assert (usage.input_tokens, usage.cache_read_input_tokens) == expected
    assert usage.cache_creation_input_tokens == 0


@pytest.mark.parametrize(
    ("fields", "output", "thinking"),
    [
        ({"completion_tokens": 20}, 20, UNSET),
        ({"completion_tokens": 20, "completion_tokens_details": {}}, 20, UNSET),
        (
            {"completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 12}},
            20,
            OutputTokensDetails(12),
        ),
        (
            {"completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 99}},
            20,
            OutputTokensDetails(20),
        ),
        (
            {"completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": -1}},
            20,
            OutputTokensDetails(0),
        ),
        ({"completion_tokens": None}, 5, UNSET),
        ({"completion_tokens": 0}, 5, UNSET),
        ({"completion_tokens": -3}, 5, UNSET),
    ],
)
def test_output(fields: dict[str, Any], output: int, thinking: Any) -> None:
    usage = to_usage(reported(**fields), prompt_tokens=None, output_estimate=5)
    assert (usage.output_tokens, usage.output_tokens_details) == (output, thinking)


def test_without_any_report() -> None:
    usage = to_usage(None, prompt_tokens=None, output_estimate=0)
    assert (usage.input_tokens, usage.output_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("earlier", "later", "total"),
    [
        ({"prompt_tokens": 9}, {"prompt_tokens": 9, "completion_tokens": 4}, (9, 4)),
        ({"completion_tokens": 3}, {"completion_tokens": 4}, (None, 4)),  # US-04: totals, no sum
        ({"prompt_tokens": 9, "completion_tokens": 4}, {}, (9, 4)),
        ({"prompt_tokens": 9}, {"prompt_tokens": 0, "completion_tokens": 0}, (9, 0)),  # US-07
        ({"prompt_tokens": 9}, {"prompt_tokens": -1}, (9, None)),
    ],
)
def test_reports_of_one_answer(earlier: Any, later: Any, total: tuple[Any, Any]) -> None:
    usage = merge(reported(**earlier), reported(**later))
    assert (usage.prompt_tokens, usage.completion_tokens) == total


def test_us_05_cache_figures_of_a_later_report_count() -> None:
    usage = merge(
        reported(prompt_tokens=9, completion_tokens_details={"reasoning_tokens": 2}),
        reported(prompt_tokens_details={"cached_tokens": 4}),
    )
    total = to_usage(usage, prompt_tokens=None, output_estimate=3)
    assert (total.input_tokens, total.cache_read_input_tokens) == (5, 4)
    assert total.output_tokens_details == OutputTokensDetails(2)


def test_estimate() -> None:
    assert estimate_tokens(0, 0) == 0
    assert estimate_tokens(10, 0) == 3
    assert estimate_tokens(0, 10) == 6
