from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from deepseek_messages.translation.prices import PERIODS, cost, is_peak, price_at
from deepseek_messages.wire.messages import Usage


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "when", "figures"),
    [
        ("deepseek-chat", "2025-10-01T00:00", ("0.028", "0.28", "0.42")),
        ("deepseek-reasoner", "2026-04-23T23:59", ("0.028", "0.28", "0.42")),
        ("deepseek-v4-flash", "2026-04-25T00:00", ("0.028", "0.14", "0.28")),
        ("deepseek-v4-flash", "2026-06-01T02:00", ("0.0028", "0.14", "0.28")),
        ("deepseek-v4-pro", "2026-06-01T02:00", ("0.003625", "0.435", "0.87")),
        ("deepseek-v4-flash", "2026-08-16T15:59", ("0.0028", "0.14", "0.28")),
        ("deepseek-v4-flash", "2026-08-16T16:00", ("0.007", "0.22", "0.66")),
        ("deepseek-v4-flash", "2026-08-17T02:00", ("0.014", "0.44", "1.32")),
        ("deepseek-flash", "2026-09-10T03:59", ("0.014", "0.44", "1.32")),
        ("deepseek-flash", "2026-09-10T04:00", ("0.003", "0.15", "0.60")),
        ("deepseek-flash", "2026-11-20T09:59", ("0.006", "0.30", "1.20")),
        ("deepseek-v4-pro", "2026-11-20T09:59", ("0.044", "1.32", "3.96")),
        ("deepseek-v4-pro", "2026-11-20T10:00", ("0.022", "0.66", "1.98")),
    ],
)
def test_price(model: str, when: str, figures: tuple[str, str, str]) -> None:
    price = price_at(model, at(when))
    assert price is not None
    assert (price.hit, price.miss, price.output) == tuple(Decimal(each) for each in figures)


@pytest.mark.parametrize(
    ("model", "when"), [("smollm2", "2026-11-20T09:00"), ("deepseek-flash", "2024-01-01T00:00")]
)
def test_no_known_price(model: str, when: str) -> None:
    assert price_at(model, at(when)) is None


@pytest.mark.parametrize(
    ("when", "peak"),
    [
        ("2026-11-20T00:59:59", False),
        ("2026-11-20T01:00", True),
        ("2026-11-20T03:59:59", True),
        ("2026-11-20T04:00", False),
        ("2026-11-20T06:00", True),
        ("2026-11-20T10:00", False),
        ("2026-11-21T02:00", False),  # a Saturday
        ("2026-11-22T02:00", False),  # a Sunday
        ("2026-10-01T02:00", False),  # China's National Day, a Thursday
        ("2026-10-08T02:00", True),
    ],
)
def test_peak_hours(when: str, peak: bool) -> None:
    assert is_peak(at(when)) is peak


def test_peak_hours_in_another_time_zone() -> None:
    beijing = timezone(timedelta(hours=8))
    assert is_peak(datetime(2026, 11, 20, 9, 30, tzinfo=beijing))
    assert not is_peak(datetime(2026, 11, 20, 8, 30, tzinfo=beijing))


def test_peak_is_twice_off_peak() -> None:
    for period in PERIODS:
        if period.peak is not None:
            low, high = period.off_peak, period.peak
            assert (high.hit, high.miss, high.output) == (low.hit * 2, low.miss * 2, low.output * 2)


def test_each_token_is_priced_once_by_its_bucket() -> None:
    price = price_at("deepseek-flash", at("2026-11-21T00:00"))
    assert price is not None
    usage = Usage(
        input_tokens=1_000_000,
        cache_creation_input_tokens=2_000_000,
        cache_read_input_tokens=10_000_000,
        output_tokens=500_000,
    )
    assert cost(usage, price) == Decimal("0.03") + Decimal("0.45") + Decimal("0.30")
