"""What aiohttp raises, told as our ``Fault``."""

import ssl

import aiohttp

from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.http.faults import (
    connect_fault,
    cut_fault,
    garbage_fault,
    reason,
)


def from_send_error(error: BaseException, origin: str, *, connected: bool) -> Fault:
    """A failure between the first attempt to connect and the end of the answer's headers."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return connect_fault(origin, error, _why(error))
        case aiohttp.ClientResponseError():
            return garbage_fault(origin, "something that is not HTTP")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if connected:
            return cut_fault(origin)
        case _:
            return cut_fault(origin) if connected else connect_fault(origin, error, _why(error))


def from_read_error(error: BaseException, origin: str) -> Fault:
    """A failure while the answer's body is read."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.http_exceptions.ContentEncodingError):
            return garbage_fault(origin, "a body that does not fit its content encoding")
        cause = cause.__cause__
    return cut_fault(origin)


def _why(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return _tls_reason(error)
        case aiohttp.ClientConnectorDNSError():
            return "unknown host"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status}"
        case aiohttp.ClientProxyConnectionError():
            return "the proxy cannot be reached"
        case _:
            return reason(error)


def _tls_reason(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    return reason(inner if isinstance(inner, ssl.SSLError) else None) or "TLS: handshake failed"
