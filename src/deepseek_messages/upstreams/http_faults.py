"""What the HTTP library raises, told as our ``Fault``.

The messages name the upstream's origin and never a key, a path or a piece of the request.
"""

import os
import ssl

import aiohttp

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault, FaultKind


def connect_fault(origin: str, error: BaseException | None = None) -> Fault:
    """No connection came about: nothing of the request was read by anybody."""
    return faults.connect(f"could not connect to the upstream {origin}{_why(error)}")


def first_byte_timeout(origin: str, seconds: float) -> Fault:
    """The server took the request and did not begin to answer."""
    return faults.timeout(f"the upstream {origin} did not begin to answer within {seconds:g} s")


def idle_timeout(origin: str, seconds: float) -> Fault:
    """The server stopped in the middle of its answer, with the connection open."""
    return faults.timeout(f"the upstream {origin} sent nothing for {seconds:g} s in mid-answer")


def cut_fault(origin: str) -> Fault:
    """The connection ended before the answer did."""
    return faults.cut(f"the upstream {origin} closed the connection in mid-answer")


def garbage_fault(origin: str, what: str) -> Fault:
    """The answer is not in the promised format; ``what`` says what came instead."""
    return faults.garbage(f"the upstream {origin} answered with {what}")


def redirect_fault(origin: str, status: int) -> Fault:
    """Redirects are not followed, so that the key stays with its origin."""
    message = (
        f"the upstream {origin} answered with a redirect (HTTP {status}), which is not followed;"
        " its address in the settings must be the final one"
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
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            why = f"TLS: {_tls_reason(error)}"
        case aiohttp.ClientConnectorDNSError():
            why = "unknown host"
        case aiohttp.ClientHttpProxyError():
            why = f"the proxy answered {error.status}"
        case aiohttp.ClientProxyConnectionError():
            why = "the proxy cannot be reached"
        case TimeoutError():
            why = "no answer"
        case OSError() if error.errno:
            why = os.strerror(error.errno).lower()
        case _:
            return ""
    return f" ({why})"


def _tls_reason(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, str) else "handshake failed"
