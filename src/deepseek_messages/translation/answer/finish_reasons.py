"""What an upstream says of how its answer ended, and what that means."""

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.wire.messages import StopReason

# finish_reason -> stop_reason. Sources: DeepSeek's API reference (stop, length, content_filter,
# tool_calls), OpenAI's (function_call), and what servers were seen to send. Others: end_turn.
STOP_REASONS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "refusal",
    "sensitive": "refusal",
    "model_length": "model_context_window_exceeded",
}

# The answer is not whole. DeepSeek: insufficient_system_resource, aborted; vLLM and SGLang:
# abort; several gateways: error.
OVERLOADED = "insufficient_system_resource"
BROKEN = frozenset({OVERLOADED, "aborted", "abort", "error"})

# The token limit ended the answer, perhaps in the middle of a call.
TRUNCATED: frozenset[StopReason | None] = frozenset({"max_tokens", "model_context_window_exceeded"})


def stop_reason(finish_reason: str) -> StopReason:
    """What it means as a ``stop_reason``. Raises ``Fault`` for an answer that is not whole."""
    if finish_reason in BROKEN:
        raise _broken(finish_reason)
    return STOP_REASONS.get(finish_reason, "end_turn")


def _broken(reason: str) -> Fault:
    if reason == OVERLOADED:
        message = "the upstream ran out of resources in the middle of its answer"
        return Fault(FaultKind.REPORTED, message, status=529)
    return Fault(FaultKind.REPORTED, f"the upstream gave up in the middle of its answer ({reason})")
