"""What is remembered of one request: filled as it goes, told once at its end.

One record makes one log line and one row of every metric, so that the two never disagree.
It never holds a key, a prompt or an answer.
"""

import time
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How a request ended; a label of the ``requests`` metric."""

    SERVED = "served"  # a whole answer went out
    REFUSED = "refused"  # the caller's error
    FAULT = "fault"  # the upstream's failure
    GONE = "gone"  # the client left before the end
    STOPPED = "stopped"  # this server shut down first
    BUG = "bug"  # ours


@dataclass(slots=True)
class Tokens:
    """What an answer has cost: the usage that the client was told, and that of tries of which it
    saw nothing.
    """

    input: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    output: int = 0


@dataclass(slots=True)
class RequestRecord:
    """The facts of one request. Times are seconds of ``time.monotonic``."""

    request_id: str
    method: str = ""
    path: str = ""
    client: str = ""  # product of the user agent
    retry: str = ""  # x-stainless-retry-count
    caller: str = ""  # who called: a key's public name, never the key
    requested_model: str = ""
    model: str = ""  # what served it
    upstream: str = ""
    tried: tuple[str, ...] = ()  # upstream=kind of fault, of each try before
    stream: bool = False
    status: int = 0
    outcome: Outcome | None = None
    error_type: str = ""
    fault: str = ""  # kind of upstream fault
    upstream_status: int | None = None
    notes: tuple[str, ...] = ()  # action=what@path
    tokens: Tokens | None = None
    started: float = field(default_factory=time.monotonic)
    first_event: float | None = None
    ended: float | None = None

    def spend(self, tokens: Tokens) -> None:
        """Add what an answer, or a try at it, has cost."""
        spent = self.tokens or Tokens()
        self.tokens = Tokens(
            input=spent.input + tokens.input,
            cache_read=spent.cache_read + tokens.cache_read,
            cache_creation=spent.cache_creation + tokens.cache_creation,
            output=spent.output + tokens.output,
        )

    def mark_first_event(self) -> None:
        """Remember when the first event or the whole answer was ready; later calls do nothing."""
        if self.first_event is None:
            self.first_event = time.monotonic()

    def mark_ended(self) -> None:
        """Remember the end."""
        self.ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """The request's duration so far, or in all once it has ended."""
        return (self.ended if self.ended is not None else time.monotonic()) - self.started
