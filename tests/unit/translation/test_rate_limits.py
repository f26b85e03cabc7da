"""Rate limits: from the upstream's headers to Anthropic's."""

import pytest

from deepseek_messages.translation.rate_limits import rate_limits

DATE = {"date": "Sun, 22 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, {}),
        (
            {"X-RateLimit-Limit-Tokens": "1000", "x-ratelimit-remaining-tokens": "7"},
            {"tokens-limit": "1000", "tokens-remaining": "7"},
        ),
        (
            {"anthropic-ratelimit-input-tokens-limit": "5", "x-ratelimit-limit-input-tokens": "6"},
            {"input-tokens-limit": "5"},
        ),
        (
            {"anthropic-ratelimit-requests-reset": "2026-11-22T10:00:00Z"},
            {"requests-reset": "2026-11-22T10:00:00Z"},
        ),
        ({"anthropic-ratelimit-unified-status": "allowed"}, {}),
        ({"x-ratelimit-limit-requests": "many"}, {}),
        ({"x-ratelimit-limit-requests": "-1"}, {}),
        ({"anthropic-ratelimit-tokens-reset": "soon\r\nx: y"}, {}),
    ],
)
def test_figures_are_translated(headers: dict[str, str], told: dict[str, str]) -> None:
    expected = {f"anthropic-ratelimit-{name}": value for name, value in told.items()}
    assert dict(rate_limits(headers)) == expected


@pytest.mark.parametrize(
    ("duration", "reset"),
    [
        ("1s", "2026-11-22T10:00:01Z"),
        ("6m0s", "2026-11-22T10:06:00Z"),
        ("1h0m0.5s", "2026-11-22T11:00:00Z"),
        ("1d", "2026-11-23T10:00:00Z"),
        ("900ms", "2026-11-22T10:00:00Z"),
        ("later", None),
        ("", None),
    ],
)
def test_durations_count_from_the_answers_date(duration: str, reset: str | None) -> None:
    told = dict(rate_limits(DATE | {"x-ratelimit-reset-tokens": duration}))
    assert told.get("anthropic-ratelimit-tokens-reset") == reset


@pytest.mark.parametrize(
    "headers", [{}, {"date": "never"}, {"date": "Fri, 31 Dec 9999 23:59:59 GMT"}]
)
def test_without_a_date_no_moment_is_told(headers: dict[str, str]) -> None:
    assert rate_limits(headers | {"x-ratelimit-reset-tokens": "9999d"}) == ()
