"""Whether a server may be asked now, by what became of the last requests to it.

            failures in a row                  time is up
    CLOSED ───────────────────▶ OPEN ─────────────────────▶ TRIAL
       ▲                          ▲                          │ │
       │         success          └──────── failure ─────────┘ │
       └────────────────────────────────────────────────────────┘

A server that comes back gets its share of the load slowly. One that asked for rest (429 with
``retry-after``) has not failed: it is only left alone for that long. Time comes from the caller.

What was asked before it opened, or before the trial began, tells of a server that was: whoever
asks notes the ``era``, and outcomes of an earlier one decide nothing.
"""

from collections.abc import Callable
from enum import Enum

from msgspec import Struct


class Health(Enum):
    """The state of a breaker, and a label of the metric ``upstream_health``."""

    CLOSED = "closed"  # requests go through
    OPEN = "open"  # nobody asks
    TRIAL = "trial"  # one request at a time finds out whether it is back


class BreakerLimits(Struct, frozen=True, kw_only=True):
    """When a breaker opens and how it closes again. Seconds.

    Envoy's outlier detection has five failures in a row and an ejection that grows with each
    one; a chat answer is dear, so three failures are enough here.
    """

    failures: int = 3
    cooldown: float = 5.0  # the first time; doubled each time it fails again
    longest_cooldown: float = 300.0
    return_time: float = 30.0  # from a tenth of its share to all of it


# What a server gets at first when it comes back, of its share.
LEAST_SHARE = 0.1

# A key that was refused, or an empty account, is not better in seconds.
BARRED = 60.0

# By how much a timer may fire before its time, in seconds: uvloop counts in milliseconds. A request
# that has waited for a server's rest to end finds it ended.
EARLY = 0.001


class Breaker:
    """The breaker of one server. ``draw`` gives numbers in [0, 1) that spread the retries."""

    def __init__(self, limits: BreakerLimits, draw: Callable[[], float]) -> None:
        self._limits = limits
        self._draw = draw
        self._state = Health.CLOSED
        self._failures = 0  # in a row, while closed
        self._openings = 0  # in a row, without a success in between
        self._until = 0.0  # open until then
        self._resting_until = 0.0
        self._barred = False
        self._returned: float | None = None
        self._trying = False  # a trial is under way
        self.era = 0  # counts openings and trials: what is asked now belongs to this one

    def state(self, now: float) -> Health:
        """The state at this time."""
        if self._state is Health.OPEN and now >= self._until:
            self._state, self._trying = Health.TRIAL, False
        return self._state

    def allows(self, now: float) -> bool:
        """Whether a request may go there now."""
        if now + EARLY < self._resting_until:
            return False
        match self.state(now):
            case Health.CLOSED:
                return True
            case Health.TRIAL:
                return not self._trying
            case Health.OPEN:
                return False

    def opens_at(self, now: float) -> float:
        """The time from which a request may go there again; ``now`` when it may already."""
        until = self._until if self.state(now) is Health.OPEN else now
        return max(now, until, self._resting_until)

    def began(self, now: float) -> bool:
        """A request goes there. Whether it is the trial."""
        if self.state(now) is not Health.TRIAL or self._trying:
            return False
        self._trying = True
        self.era += 1
        return True

    def abandoned(self) -> None:
        """The trial ended without telling anything, for example because its client left."""
        self._trying = False

    def answers(self, now: float, since: int | None = None) -> None:
        """It has begun to answer what was asked in the era ``since``, by default this one: it is
        back, though the row of its failures ends only with a whole answer.
        """
        if self._is_old(since):
            return
        if self.state(now) is not Health.CLOSED:
            self._state, self._returned = Health.CLOSED, now
        self._trying = False

    def succeeded(self, now: float, since: int | None = None) -> None:
        """It answered what was asked in the era ``since``."""
        if not self._is_old(since):
            self.answers(now, since)
            self._failures = self._openings = 0

    def seems_well(self, now: float) -> None:
        """It answered a small question: a request may find out at once whether it is back. One
        that refuses our requests answers such questions too, which tells nothing.
        """
        if self.state(now) is Health.OPEN and not self._barred:
            self._state, self._trying = Health.TRIAL, False

    def seems_ill(self, now: float) -> None:
        """It did not answer a small question: a failure, unless a trial is finding out."""
        if not self._trying:
            self.failed(now)

    def failed(self, now: float, since: int | None = None) -> None:
        """It did not answer what was asked in the era ``since``, or broke in mid-answer."""
        if self._is_old(since):
            return
        match self.state(now):
            case Health.OPEN:
                return  # asked all the same, where everybody seems to be down
            case Health.TRIAL:
                self._open(now)
            case Health.CLOSED:
                self._failures += 1
                if self._failures >= self._limits.failures:
                    self._open(now)

    def barred(self, now: float, since: int | None = None) -> None:
        """It refuses us: nothing will go better in the next seconds."""
        if not self._is_old(since):
            self._open(now, least=BARRED)
            self._barred = True

    def rests(self, now: float, seconds: float) -> None:
        """It asked to be left alone for so long."""
        self._resting_until = max(self._resting_until, now + seconds)

    def share(self, now: float) -> float:
        """How much of its share of the load it is to get, in (0, 1]."""
        if self._returned is None:
            return 1.0
        part = (now - self._returned) / self._limits.return_time
        if part >= 1:
            self._returned = None
            return 1.0
        return max(LEAST_SHARE, part)

    def _is_old(self, since: int | None) -> bool:
        return since is not None and since < self.era

    def _open(self, now: float, *, least: float = 0.0) -> None:
        limits = self._limits
        longest = max(limits.longest_cooldown, limits.cooldown)
        seconds = min(longest, limits.cooldown * 2**self._openings)
        self._until = now + max(seconds, least) * (1 + self._draw() / 4)
        self._openings = min(self._openings + 1, 16)
        self._state = Health.OPEN
        self._barred = False
        self._failures = 0
        self._trying = False
        self.era += 1
