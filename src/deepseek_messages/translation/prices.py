"""What DeepSeek's models cost, and when: data, and the arithmetic over a usage.

Source: DeepSeek's page "Models & Pricing" and its change log, in US dollars per million tokens,
as published between September 2025 and November 2026. Peak hours are 01:00-04:00 and
06:00-10:00 UTC, Monday to Friday, without China's public holidays.
"""

from datetime import UTC, date, datetime, time
from decimal import Decimal

from msgspec import Struct

from deepseek_messages.wire.messages import Usage

PER_MILLION = Decimal(1_000_000)


class Price(Struct, frozen=True):
    """US dollars per million tokens: prompt read from the cache, other prompt, answer."""

    hit: Decimal
    miss: Decimal
    output: Decimal


class Period(Struct, frozen=True, kw_only=True):
    """Prices of some models from ``start`` until the next period of the same model begins."""

    models: frozenset[str]
    start: datetime
    off_peak: Price
    peak: Price | None = None  # None: one price all day


def _price(hit: str, miss: str, output: str) -> Price:
    return Price(Decimal(hit), Decimal(miss), Decimal(output))


FLASH = frozenset({"deepseek-flash", "deepseek-v4-flash", "deepseek-v4-flash-vision-exp"})
PRO = frozenset({"deepseek-v4-pro"})
OLD = frozenset({"deepseek-chat", "deepseek-reasoner"})

# The old names became aliases of flash when V4 came and are priced as flash.
PERIODS: tuple[Period, ...] = (
    Period(
        models=OLD,
        start=datetime(2025, 9, 29, tzinfo=UTC),
        off_peak=_price("0.028", "0.28", "0.42"),
    ),
    Period(
        models=FLASH | OLD,
        start=datetime(2026, 4, 24, tzinfo=UTC),
        off_peak=_price("0.028", "0.14", "0.28"),
    ),
    Period(
        models=FLASH | OLD,
        start=datetime(2026, 4, 26, tzinfo=UTC),
        off_peak=_price("0.0028", "0.14", "0.28"),
    ),
    Period(
        models=PRO,
        start=datetime(2026, 4, 24, tzinfo=UTC),
        off_peak=_price("0.03625", "0.435", "0.87"),
    ),
    Period(
        models=PRO,
        start=datetime(2026, 4, 26, tzinfo=UTC),
        off_peak=_price("0.003625", "0.435", "0.87"),
    ),
    Period(
        models=FLASH | OLD,
        start=datetime(2026, 8, 16, 16, tzinfo=UTC),
        off_peak=_price("0.007", "0.22", "0.66"),
        peak=_price("0.014", "0.44", "1.32"),
    ),
    Period(
        models=PRO,
        start=datetime(2026, 8, 16, 16, tzinfo=UTC),
        off_peak=_price("0.022", "0.66", "1.98"),
        peak=_price("0.044", "1.32", "3.96"),
    ),
    Period(
        models=FLASH | OLD,
        start=datetime(2026, 9, 10, 4, tzinfo=UTC),
        off_peak=_price("0.003", "0.15", "0.60"),
        peak=_price("0.006", "0.30", "1.20"),
    ),
)

PEAK_HOURS: tuple[tuple[time, time], ...] = ((time(1), time(4)), (time(6), time(10)))

# Days off as announced by China's State Council, first and last day. Both peak windows lie within
# one day of China's time zone, so its date is the date in UTC.
HOLIDAYS: tuple[tuple[date, date], ...] = (
    (date(2026, 9, 25), date(2026, 9, 27)),
    (date(2026, 10, 1), date(2026, 10, 7)),
    (date(2027, 1, 1), date(2027, 1, 1)),
)


def price_at(model: str, when: datetime) -> Price | None:
    """The price of ``model`` (an id of DeepSeek's) at ``when`` (with a time zone); ``None`` for
    a model or a time without a known price.
    """
    period = max(
        (each for each in PERIODS if model in each.models and each.start <= when),
        key=lambda each: each.start,
        default=None,
    )
    if period is None:
        return None
    return period.peak if period.peak is not None and is_peak(when) else period.off_peak


def is_peak(when: datetime) -> bool:
    """Whether DeepSeek charges its peak price at ``when`` (with a time zone)."""
    utc = when.astimezone(UTC)
    if utc.weekday() >= 5 or any(first <= utc.date() <= last for first, last in HOLIDAYS):
        return False
    return any(start <= utc.time() < end for start, end in PEAK_HOURS)


def cost(usage: Usage, price: Price) -> Decimal:
    """What a call with this usage costs, in US dollars. Each token is priced once: cache reads
    as hits, cache writes and the rest of the prompt as misses.
    """
    missed = usage.input_tokens + usage.cache_creation_input_tokens
    total = (
        usage.cache_read_input_tokens * price.hit
        + missed * price.miss
        + usage.output_tokens * price.output
    )
    return total / PER_MILLION
