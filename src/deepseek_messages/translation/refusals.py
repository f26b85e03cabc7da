"""The caller's errors: what is wrong with a request, said in Anthropic's form."""

from msgspec import UNSET

from deepseek_messages.wire.errors import STATUS_TO_TYPE, ErrorDetail, ErrorDetails, ErrorType


class Refusal(Exception):
    """A request that cannot be served as it is. The caller's fault, never the upstream's.

    ``path`` is the offending field in dotted form (``messages.2.content.0.source``); it leads
    the message, as in Anthropic's own errors. ``retry_after`` is in seconds; ``should_retry``
    becomes the ``x-should-retry`` header that the official SDKs and Claude Code obey.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        status: int = 400,
        error_type: ErrorType | None = None,
        error_code: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        self.path = path
        self.status = status
        self.error_type: ErrorType = error_type or STATUS_TO_TYPE[status]
        self.error_code = error_code
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.message = f"{path}: {message}" if path else message
        super().__init__(self.message)

    def detail(self) -> ErrorDetail:
        """The ``error`` object of Anthropic's envelope."""
        return ErrorDetail(
            type=self.error_type,
            message=self.message,
            details=ErrorDetails(self.error_code) if self.error_code else UNSET,
        )
