"""The upstream's errors: how each failure of an upstream is told to the client.

Sources: DeepSeek's "Error Codes" page and the bodies its service really sends (JSON under
several content types, plain text, nothing); the error bodies of vLLM and SGLang (OpenAI's shape,
or the error at the top), of FastAPI (``detail``) and of llama.cpp's server (``n_ctx``).
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from deepseek_messages.telemetry.redaction import HIDDEN
from deepseek_messages.translation.overflow import anthropic_wording
from deepseek_messages.translation.rate_limits import rate_limits
from deepseek_messages.wire.chat import ChatUsage
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
    itself said, if it spoke HTTP. ``retry_after`` is in seconds; ``rate_limits`` are headers.
    ``transient`` tells whether the same request may succeed on another try or another upstream.
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
        self.rate_limits: tuple[tuple[str, str], ...] = ()
        self.usage: ChatUsage | None = None  # of an answer that is lost, if it was told
        super().__init__(message)

    def detail(self) -> ErrorDetail:
        """The ``error`` object of Anthropic's envelope."""
        return ErrorDetail(type=self.error_type, message=self.message)


# --- failures without a status --------------------------------------------------------------------


def garbage(message: str) -> Fault:
    """The upstream sent bytes that are not the promised format."""
    return Fault(FaultKind.GARBAGE, message)


def cut(message: str = "the upstream's answer ended before it was whole") -> Fault:
    """The answer ended too early: connection closed, or no finish reason."""
    return Fault(FaultKind.CUT, message)


def connect(message: str) -> Fault:
    """No connection to the upstream."""
    return Fault(FaultKind.CONNECT, message)


def timeout(message: str) -> Fault:
    """The upstream was silent past a deadline."""
    return Fault(FaultKind.TIMEOUT, message, status=504)


def busy(message: str, *, retry_after: float | None = None) -> Fault:
    """No capacity; clients wait and try again (529 ``overloaded_error``)."""
    return Fault(FaultKind.BUSY, message, status=529, retry_after=retry_after)


def limited(message: str, *, retry_after: float) -> Fault:
    """The account's share is in use (429 ``rate_limit_error``): said here, before asking."""
    return Fault(FaultKind.BUSY, message, status=429, retry_after=retry_after)


# --- failures with a status -----------------------------------------------------------------------

# Upstream status -> ours. DeepSeek's 422 "Invalid Parameters" has no place in Anthropic's API and
# its 503 is "Server Overloaded". 405 and 415 mean that this server spoke wrongly, not its caller.
_STATUSES = {
    400: 400, 401: 401, 402: 402, 403: 403, 404: 404, 408: 408, 409: 409, 413: 413, 422: 400,
    429: 429, 500: 500, 502: 502, 503: 529, 504: 504, 529: 529, 405: 502, 415: 502,
}  # fmt: skip

_TRANSIENT = frozenset({408, 409, 429, 500, 502, 504, 529})

# Error types inside a stream, where there is no status (OpenAI's, vLLM's and Anthropic's words).
_TYPE_WORDS = [
    (
        re.compile(r"overload|no_capacity|insufficient_system_resource|unavailable", re.IGNORECASE),
        529,
    ),
    (re.compile(r"rate.?limit|too.?many.?requests", re.IGNORECASE), 429),
    (re.compile(r"timeout|timed.?out", re.IGNORECASE), 504),
    (
        re.compile(
            r"context_length|exceed_context|bad.?request|invalid.?request|value.?error",
            re.IGNORECASE,
        ),
        400,
    ),
]

_MAX_MESSAGE = 2000  # characters of an upstream's message that are shown
_HTML = re.compile(r"^\s*<(?:!doctype|html|head|body|center|h1|title|\?xml)", re.IGNORECASE)
# A key of DeepSeek's and others' shape. Whoever sent it hides it exactly, but not within a stream.
_KEY = re.compile(r"\bsk-(?=[\w-]{0,64}\d)[\w-]{16,}")
_BLANKS = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def from_status(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    own_credential: bool = False,
    max_tokens: int | None = None,
) -> Fault:
    """The fault for an upstream's error status, whatever its body and content type.

    ``own_credential`` says that the request carried this server's key, or none: then a 401 is no
    failure of the caller's, who cannot mend it (502, not to be retried). ``max_tokens`` is what the
    request asked for; it completes DeepSeek's sentence about its valid range.
    """
    report = _Report(_parse(body))
    message = report.message or _plain(body)
    ours = _STATUSES.get(status, 400 if 400 <= status < 500 else 502)
    retry_after = _retry_after(headers)
    if ours in {400, 413, 500} and (said := report.overflow(message, max_tokens)):
        return _refused(status, 400, said)
    if status == 401 and own_credential:
        said = f"the upstream refused this server's credentials: {message or 'HTTP 401'}"
        return Fault(
            FaultKind.REFUSED, said, status=502, upstream_status=401,
            should_retry=False, transient=False,
        )  # fmt: skip
    if status == 404 and not report.message:
        return _refused(status, 502, "the upstream has no such address (HTTP 404); check its URL")
    fault = _refused(status, ours, message or _unexplained(status), retry_after=retry_after)
    fault.rate_limits = rate_limits(headers)
    if ours == 401:
        fault.should_retry = False
    return fault


# What servers put into the ``error`` of a chunk or an answer that has none.
_NO_ERROR = frozenset({b"null", b"{}", b'""', b"false"})


def reports_error(error: Raw | UnsetType) -> bool:
    """Whether the ``error`` of a chunk or an answer is one."""
    return error is not UNSET and bytes(error) not in _NO_ERROR


def reported(error: bytes | str) -> Fault:
    """The fault for an error object inside a stream or in a 200: ``error`` is its JSON."""
    body = error.encode() if isinstance(error, str) else bytes(error)
    report = _Report(_parse(body))
    message = report.message or _plain(body)
    said = report.overflow(message, None)
    if said:
        return Fault(FaultKind.REPORTED, said, status=400, transient=False)
    status = report.status()
    ours = _STATUSES.get(status, 502) if status else 502
    if ours in {401, 402, 403, 404}:  # of the upstream's own parts: the request was let in
        ours = 502
    return Fault(
        FaultKind.REPORTED,
        message or "the upstream reported an error in its answer",
        status=ours,
        upstream_status=status,
        transient=ours in _TRANSIENT,
    )


def _refused(
    upstream_status: int, status: int, message: str, *, retry_after: float | None = None
) -> Fault:
    return Fault(
        FaultKind.REFUSED,
        message,
        status=status,
        upstream_status=upstream_status,
        retry_after=retry_after,
        transient=status in _TRANSIENT,
    )


def _unexplained(status: int) -> str:
    return f"the upstream answered with HTTP {status} and no explanation"


# --- reading error bodies -------------------------------------------------------------------------


class _Report:
    """An error body that was JSON, whatever its shape."""

    def __init__(self, value: Any) -> None:
        body: dict[str, Any] = value if isinstance(value, dict) else {}
        inner = body.get("error")
        self._error: dict[str, Any] = inner if isinstance(inner, dict) else body
        texts = (
            inner,
            value if isinstance(value, str) else None,
            self._error.get("message"),
            self._error.get("msg"),
            self._error.get("detail"),
            body.get("message"),
            body.get("detail"),
            body.get("errors"),
        )
        self.message = next((said for text in texts if (said := _sentence(text))), "")

    def status(self) -> int | None:
        for key in ("status_code", "code", "status", "http_code"):
            value = self._error.get(key)
            if isinstance(value, str) and value.isdecimal() and len(value) == 3:
                value = int(value)
            if isinstance(value, int) and 400 <= value < 600:
                return value
        words = f"{self._error.get('type')} {self._error.get('code')}"
        return next((status for pattern, status in _TYPE_WORDS if pattern.search(words)), None)

    def overflow(self, message: str, max_tokens: int | None) -> str | None:
        prompt, limit = self._error.get("n_prompt_tokens"), self._error.get("n_ctx")
        if type(prompt) is not int or type(limit) is not int or prompt < limit:
            prompt = limit = None
        said = anthropic_wording(message, max_tokens=max_tokens, prompt=prompt, limit=limit)
        if said is None and self._error.get("code") == "context_length_exceeded":
            return f"prompt is too long: {message}"
        return said


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def _sentence(value: Any) -> str:
    """Text of an error field: a string, or FastAPI's list of ``{loc, msg}``."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return _sentence(value.get("message") or value.get("msg"))
    if isinstance(value, list):
        return _clean("; ".join(filter(None, map(_entry, value[:10]))))
    return ""


def _entry(entry: Any) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("loc"), list):
        return _sentence(entry) if isinstance(entry, str | dict) else ""
    path = ".".join(str(part) for part in entry["loc"] if part != "body")
    return f"{path}: {_sentence(entry.get('msg'))}"


def _plain(body: bytes) -> str:
    """A body that was not JSON; an HTML page says nothing to a client."""
    text = body.decode("utf-8", "replace")
    if (
        _HTML.match(text)
        or "</html>" in text[-200:].lower()
        or text.lstrip().startswith(("{", "["))
    ):
        return ""
    return _clean(text)


def _clean(text: str) -> str:
    """One bounded line, and the inner message where one error wraps another as JSON."""
    if "</" in text and _HTML.match(text):
        return ""
    head = text[:_MAX_MESSAGE].rstrip()
    if head.endswith("}") and (start := head.find("{")) >= 0:
        inner = _parse(head[start:].encode())
        if isinstance(inner, dict) and (said := _Report(inner).message):
            return said
    text = _KEY.sub(HIDDEN, _BLANKS.sub(" ", text[: 2 * _MAX_MESSAGE])).strip()
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """``retry-after-ms`` or ``retry-after`` in seconds; a date counts from the answer's own."""
    named = {name.lower(): value.strip() for name, value in headers.items()}
    try:
        if "retry-after-ms" in named:
            return _bounded(float(named["retry-after-ms"]) / 1000)
        return _bounded(float(named["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        return _until(named.get("retry-after", ""), named.get("date", ""))


def _until(when: str, now: str) -> float | None:
    try:
        then, base = parsedate_to_datetime(when), parsedate_to_datetime(now)
    except (ValueError, TypeError):
        return None
    return _bounded(_seconds(then) - _seconds(base))


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def _bounded(seconds: float) -> float | None:
    return seconds if 0 <= seconds <= 86_400 else None
