"""An upstream's rate-limit figures in Anthropic's headers.

Sources: Anthropic, "Rate limits" (``anthropic-ratelimit-*``, times as RFC 3339) and OpenAI, "Rate
limits in headers" (``x-ratelimit-*``, times as durations such as ``6m0s``), which vLLM's and many
other gateways send. Figures that are none are left out; those of a subscription (``unified``)
mean something else to Claude Code and never pass.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

HEAD = "anthropic-ratelimit-"

_NUMBER = re.compile(r"[0-9]{1,15}").fullmatch
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(?:Z|[+-][0-9]{2}:[0-9]{2})").fullmatch
_DURATION = re.compile(
    r"(?:([0-9]{1,4})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?"
    r"(?:([0-9]{1,8}(?:\.[0-9]{1,9})?)s)?(?:([0-9]{1,9})ms)?"
).fullmatch


def rate_limits(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Headers for the client; none where the upstream tells nothing."""
    named = {name.lower(): value.strip() for name, value in headers.items()}
    found: dict[str, str] = {}
    for kind in ("requests", "tokens", "input-tokens", "output-tokens"):
        for figure in ("limit", "remaining"):
            value = named.get(f"x-ratelimit-{figure}-{kind}", "")
            value = named.get(f"{HEAD}{kind}-{figure}", value)
            if _NUMBER(value):
                found[f"{HEAD}{kind}-{figure}"] = value
        value = named.get(f"{HEAD}{kind}-reset") or _moment(
            named.get(f"x-ratelimit-reset-{kind}", ""), named.get("date", "")
        )
        if _TIME(value):
            found[f"{HEAD}{kind}-reset"] = value
    return tuple(found.items())


def _moment(duration: str, now: str) -> str:
    """When a duration from the answer's own date is over; empty when either is missing."""
    parts = _DURATION(duration)
    if not duration or parts is None:
        return ""
    days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in parts.groups())
    try:
        base = parsedate_to_datetime(now).astimezone(UTC)
        over = base + timedelta(days, seconds, 0, milliseconds, minutes, hours)
    except (ValueError, TypeError, OverflowError):
        return ""
    return datetime.isoformat(over, timespec="seconds").replace("+00:00", "Z")
