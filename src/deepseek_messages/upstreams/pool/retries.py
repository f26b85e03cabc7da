"""Which faults are worth another try, with whom, and how many tries there may be in all."""

import re
from collections.abc import Callable
from enum import Enum

from deepseek_messages.translation.faults import Fault, FaultKind

# The official SDKs wait 0.5 s at first and 8 s at most between tries, and try three times in all.
FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0

# How long a server that says 429 without a time is left alone, in seconds.
REST = 1.0

# Finagle's retry budget: one retry for five requests, and ten more for quiet times.
RETRY_RATIO = 0.2
RESERVE = 10.0
MOST_SAVED = 100.0
REFILL = 0.5  # of the reserve, a second

_OVERFLOW = re.compile(r"prompt is too long|exceed context limit")


class Verdict(Enum):
    """What to do after a fault, while nothing has reached the client."""

    FINAL = "final"  # the request's own fault, or its bill would be doubled
    ELSEWHERE = "elsewhere"  # this server will not do it, another one may
    ROOMIER = "roomier"  # one with a longer context may
    AGAIN = "again"  # any, this one too after a while


class Blame(Enum):
    """What a fault says of the server it came from."""

    NONE = "none"  # it works: the request was wrong
    FAILURE = "failure"
    BUSY = "busy"  # it works, and has enough to do
    BARRED = "barred"  # it does not want us


def is_overflow(fault: Fault) -> bool:
    """Whether the prompt was too long for the model's context."""
    return fault.status == 400 and _OVERFLOW.search(fault.message) is not None


def verdict(fault: Fault) -> Verdict:
    """By the kind of fault and the upstream's own status."""
    if is_overflow(fault):
        return Verdict.ROOMIER
    match blame(fault):
        case Blame.BARRED:
            return Verdict.ELSEWHERE
        case Blame.BUSY:
            return Verdict.AGAIN
        case Blame.NONE:
            # A model that is not there may be elsewhere.
            return Verdict.ELSEWHERE if fault.upstream_status == 404 else Verdict.FINAL
        case Blame.FAILURE:
            # Silence lasted minutes, and nonsense comes of a wrong address: not there again.
            silent = fault.kind in (FaultKind.TIMEOUT, FaultKind.GARBAGE)
            return Verdict.ELSEWHERE if silent or not fault.transient else Verdict.AGAIN


def blame(fault: Fault) -> Blame:
    """By the kind of fault and the upstream's own status (DeepSeek: 402 is an empty account)."""
    if fault.upstream_status in (401, 402, 403):
        return Blame.BARRED
    if fault.kind is FaultKind.BUSY or fault.upstream_status in (429, 503, 529):
        return Blame.BUSY
    if fault.kind in (FaultKind.REFUSED, FaultKind.REPORTED) and fault.status < 500:
        return Blame.NONE if fault.status not in (408, 409) else Blame.FAILURE
    return Blame.FAILURE


def wait_before(fault: Fault, tries: int, draw: Callable[[], float]) -> float | None:
    """Seconds to wait before try number ``tries`` + 1 with the same servers; ``None`` when the
    upstream wants more patience than a client has: then the client is told to come back.
    """
    least = fault.retry_after or (REST if blame(fault) is Blame.BUSY else 0.0)
    if least > LONGEST_WAIT:
        return None
    spread = draw() / 4
    wait: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * (1 - spread)
    return max(wait, least * (1 + spread))


class RetryBudget:
    """Keeps retries a small part of all requests, so that they never make an overload worse."""

    def __init__(self, clock: Callable[[], float], *, ratio: float = RETRY_RATIO) -> None:
        self._clock = clock
        self._ratio = ratio
        self._saved = RESERVE
        self._then = clock()

    def earn(self) -> None:
        """A request came."""
        self._saved = min(MOST_SAVED, self._saved + self._ratio)

    def spend(self) -> bool:
        """Whether one more retry may be made; then it is counted."""
        now = self._clock()
        if self._saved < RESERVE:
            self._saved = min(RESERVE, self._saved + (now - self._then) * REFILL)
        self._then = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
