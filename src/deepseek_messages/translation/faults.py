"""The upstream's errors: how each failure of an upstream is told to the client."""

from enum import Enum

from deepseek_messages.wire.errors import STATUS_TO_TYPE, ErrorDetail, ErrorType


class FaultKind(Enum):
    """What went wrong upstream; the label of the ``upstream_faults`` metric."""

    CONNECT = "connect"  # no connection: refused, DNS, TLS
    TIMEOUT = "timeout"  # connected, but silent past a deadline
    CUT = "cut"  # the answer ended before it was whole
    GARBAGE = "garbage"  # bytes that are not the promised format
    REFUSED = "refused"  # an HTTP error status
    REPORTED = "reported"  # an error object inside the stream
    BUSY = "busy"  # no capacity: upstream's or the local engine's queue


class Fault(Exception):
    """A failure of the upstream, already in the client's terms.

    ``status`` and ``error_type`` are what the client gets while HTTP headers are unsent; after
    that ``detail()`` travels in one ``error`` event. ``upstream_status`` is what the upstream
    itself said, if it spoke HTTP. ``retry_after`` is in seconds. ``transient`` tells whether the
    same request may succeed on another try or another upstream.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        status: int = 502,
        error_type: ErrorType | None = None,
        upstream_status: int | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        transient: bool = True,
    ) -> None:
        self.kind = kind
        self.message = message
        self.status = status
        self.error_type: ErrorType = error_type or STATUS_TO_TYPE[status]
        self.upstream_status = upstream_status
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.transient = transient
        super().__init__(message)

    def detail(self) -> ErrorDetail:
        """The ``error`` object of Anthropic's envelope."""
        return ErrorDetail(type=self.error_type, message=self.message)
