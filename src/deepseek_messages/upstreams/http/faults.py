"""What goes wrong between us and an upstream, told as our ``Fault``.

The messages name the upstream's origin and never a key, a path or a piece of the request.
"""

import os
import socket
import ssl

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault, FaultKind


def connect_fault(origin: str, error: BaseException | None = None, why: str = "") -> Fault:
    """No connection came about: nothing of the request was read by anybody. ``why`` says it in a
    few words; without it ``error`` does.
    """
    why = why or reason(error)
    why = f" ({why})" if why else ""
    return faults.connect(f"could not connect to the upstream {origin}{why}")


def first_byte_timeout(origin: str, seconds: float) -> Fault:
    """The server took the request and did not begin to answer."""
    return faults.timeout(f"the upstream {origin} did not begin to answer within {seconds:g} s")


def idle_timeout(origin: str, seconds: float) -> Fault:
    """The server stopped in the middle of its answer, with the connection open, or did not come to
    the end of one that it sends in one piece.
    """
    return faults.timeout(f"the upstream {origin} stalled for {seconds:g} s in mid-answer")


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


def reason(error: BaseException | None) -> str:
    """The reason in a few words, from the error's type: its text may hold local addresses."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"TLS: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {error.reason or 'handshake failed'}"
        case socket.gaierror() | UnicodeError():
            return "unknown host"
        case TimeoutError():
            return "no answer"
        case OSError() if error.errno:
            return os.strerror(error.errno).lower()
        case _:
            return ""
