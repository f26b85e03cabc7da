"""What the HTTP library raises, told as our ``Fault``.

The messages name the upstream's origin and never a key, a path or a piece of the request.
"""

import ssl

import aiohttp

from deepseek_messages.translation.faults import Fault, FaultKind


def connect_fault(origin: str, error: BaseException | None = None) -> Fault:
    """No connection came about: nothing of the request was read by anybody."""
    return Fault(FaultKind.CONNECT, f"Could not connect to the model server {origin}{_why(error)}.")


def first_byte_timeout(origin: str, seconds: float) -> Fault:
    """The server took the request and did not begin to answer."""
    message = f"The model server {origin} did not begin to answer within {seconds:g} seconds."
    return Fault(FaultKind.TIMEOUT, message, status=504)


def idle_timeout(origin: str, seconds: float) -> Fault:
    """The server stopped in the middle of its answer, with the connection open."""
    message = f"The model server {origin} sent nothing for {seconds:g} seconds in mid-answer."
    return Fault(FaultKind.TIMEOUT, message, status=504)


def cut_fault(origin: str) -> Fault:
    """The connection ended before the answer did."""
    return Fault(FaultKind.CUT, f"The model server {origin} closed the connection in mid-answer.")


def garbage_fault(origin: str, what: str) -> Fault:
    """The answer is not in the promised format; ``what`` says what came instead."""
    return Fault(FaultKind.GARBAGE, f"The model server {origin} answered with {what}.")


def redirect_fault(origin: str, status: int) -> Fault:
    """Redirects are not followed, so that the key stays with its origin."""
    message = (
        f"The model server {origin} answered with a redirect (HTTP {status}), which is not"
        " followed; set the upstream's final address."
    )
    return Fault(FaultKind.REFUSED, message, upstream_status=status, transient=False)


def from_send_error(error: BaseException, origin: str, *, connected: bool) -> Fault:
    """A failure between the first attempt to connect and the end of the answer's headers."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return connect_fault(origin, error)
        case aiohttp.ClientResponseError():
            return garbage_fault(origin, "something that is not HTTP")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if connected:
            return cut_fault(origin)
        case _:
            return cut_fault(origin) if connected else connect_fault(origin, error)


def from_read_error(error: BaseException, origin: str) -> Fault:
    """A failure while the answer's body is read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.http_exceptions.ContentEncodingError):
            return garbage_fault(origin, "a body that does not fit its content encoding")
        cause = cause.__cause__
    return cut_fault(origin)


def _why(error: BaseException | None) -> str:
    """The reason in a few words, from the error's type: its text may hold local addresses."""
    match error:
        case None:
            return ""
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return f" (TLS: {_tls_reason(error)})"
        case aiohttp.ClientConnectorDNSError():
            return " (unknown host)"
        case aiohttp.ClientHttpProxyError():
            return f" (the proxy answered {error.status})"
        case aiohttp.ClientProxyConnectionError():
            return " (the proxy cannot be reached)"
        case TimeoutError():
            return " (no answer)"
        case OSError() if error.strerror:
            return f" ({error.strerror})"
        case _:
            return ""


def _tls_reason(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    if isinstance(inner, ssl.SSLError):
        return inner.reason or "handshake failed"
    return "handshake failed"
