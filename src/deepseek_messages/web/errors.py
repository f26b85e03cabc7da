"""Every answer that is not a success, in Anthropic's envelope. Two families of errors are told
to the client in their own words; anything else is a bug and told as one, without its text.
"""

import math
from typing import assert_never

import msgspec
from starlette.exceptions import HTTPException

from deepseek_messages.telemetry.logs import log_bug
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.exchange import Exchange, Header
from deepseek_messages.wire.errors import STATUS_TO_TYPE, ErrorDetail, ErrorEnvelope

_encode = msgspec.json.Encoder().encode

BUG = ErrorDetail(type="api_error", message="Internal server error")
STOPPING = ErrorDetail(type="overloaded_error", message="The server is shutting down")

# In the log only: nobody is there to read it (nginx: "client closed request").
CLIENT_CLOSED_REQUEST = 499

NOT_FOUND = "Not found: {method} {path}"
METHOD_NOT_ALLOWED = "Method not allowed: {method} {path}"

# The longest wait that is passed on, in seconds: what an upstream says is not trusted blindly.
MAX_RETRY_AFTER = 3600


def envelope(detail: ErrorDetail, request_id: str) -> bytes:
    """The body of an error answer."""
    return _encode(ErrorEnvelope(error=detail, request_id=request_id))


def retry_headers(error: Refusal | Fault) -> list[Header]:
    """``retry-after`` (whole seconds, RFC 9110 §10.2.3) and ``x-should-retry``, which the official
    SDKs and Claude Code obey, and the upstream's rate limits.
    """
    headers: list[Header] = []
    if error.retry_after is not None and math.isfinite(error.retry_after):
        seconds = min(max(math.ceil(error.retry_after), 0), MAX_RETRY_AFTER)
        headers.append((b"retry-after", str(seconds).encode()))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if isinstance(error, Fault):
        headers += [(name.encode(), value.encode()) for name, value in error.rate_limits]
    return headers


def note_error(record: RequestRecord, error: Refusal | Fault) -> None:
    """Tell the record what went wrong."""
    record.error_type = error.error_type
    match error:
        case Refusal():
            record.outcome = Outcome.REFUSED
        case Fault():
            record.outcome = Outcome.FAULT
            record.fault = error.kind.value
            record.upstream_status = error.upstream_status
        case _:
            assert_never(error)


async def answer_error(exchange: Exchange, error: Exception) -> None:
    """Answer with what ``error`` comes to. The status must not have gone out yet."""
    record = exchange.record
    headers: list[Header] = []
    match error:
        case Refusal() | Fault():
            note_error(record, error)
            status, detail = error.status, error.detail()
            headers = retry_headers(error)
        case HTTPException():
            status, detail = _of_route(exchange, error)
            headers = [(b"allow", value.encode()) for value in _allowed(error)]
            record.outcome, record.error_type = Outcome.REFUSED, detail.type
        case _:
            log_bug(error, record.request_id)
            status, detail = 500, BUG
            record.outcome, record.error_type = Outcome.BUG, detail.type
    await exchange.reply(status, envelope(detail, record.request_id), headers)


def _of_route(exchange: Exchange, error: HTTPException) -> tuple[int, ErrorDetail]:
    """What the router says: 404 or 405. Method and path are cut and plain."""
    words = METHOD_NOT_ALLOWED if error.status_code == 405 else NOT_FOUND
    path = ascii(exchange.scope["path"][:200])[1:-1]
    message = words.format(method=exchange.scope["method"][:20], path=path)
    kind = STATUS_TO_TYPE.get(error.status_code, "invalid_request_error")
    return error.status_code, ErrorDetail(type=kind, message=message)


def _allowed(error: HTTPException) -> list[str]:
    """The methods of a 405, in a stable order."""
    methods = dict(error.headers or {}).get("Allow")
    return [", ".join(sorted(methods.split(", ")))] if methods else []
