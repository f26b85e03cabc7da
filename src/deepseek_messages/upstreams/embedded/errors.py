"""The engine's errors in the client's terms.

Source: llama.cpp, ``tools/server/server-common.cpp`` (``format_error_response``): a code, a
message, a type, and for an overflow ``n_prompt_tokens`` and ``n_ctx``.
"""

from msgspec import Struct

from deepseek_messages.translation.faults import Fault, FaultKind

# The mean length of an answer on a small machine: when a slot may be free again.
RETRY_AFTER = 5.0


class EngineError(Struct, frozen=True):
    """The ``error`` object."""

    code: int = 500
    message: str = "the engine failed without a message"
    type: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


def fault_of(error: EngineError) -> Fault:
    """An overflow in Anthropic's words, a refused request as 400, anything else as 502."""
    if error.n_prompt_tokens is not None and error.n_ctx is not None:
        return refused(
            f"prompt is too long: {error.n_prompt_tokens} tokens > {error.n_ctx} maximum"
        )
    if error.code == 503:
        return busy(error.message)
    if 400 <= error.code < 500:
        return refused(error.message)
    return Fault(FaultKind.REPORTED, f"the engine failed: {error.message}")


def refused(message: str) -> Fault:
    """A request that the engine will never take."""
    return Fault(FaultKind.REFUSED, message, status=400, upstream_status=400, transient=False)


def busy(message: str) -> Fault:
    """No room now. 529 is Anthropic's overload status, which its SDKs retry."""
    return Fault(FaultKind.BUSY, message, status=529, retry_after=RETRY_AFTER)


def unusable(reason: str) -> Fault:
    """The model could not be loaded, so nothing can be served until that is mended."""
    return Fault(FaultKind.CONNECT, reason, status=503, transient=False)


def closed() -> Fault:
    """The server is going down."""
    return Fault(FaultKind.CUT, "the server is stopping", status=503)
