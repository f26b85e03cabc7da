"""The usage of an answer that was cut here: a stop sequence matched, and the upstream, which says
its figures at its end only, was closed.
"""

from collections.abc import Awaitable, Callable, Iterable

from deepseek_messages.translation.faults import Fault
from deepseek_messages.wire.chat import ChatChunk, ChatUsage, CompletionTokensDetails

# Seconds that the last event waits for the prompt's size when the upstream was closed before it
# told its figures.
COUNT_AT_CUT = 5.0

CountText = Callable[[str], Awaitable[int | None]]


class Spoken:
    """What an upstream wrote so far."""

    def __init__(self) -> None:
        self._reasoning: list[str] = []
        self._rest: list[str] = []

    def hear(self, chunks: Iterable[ChatChunk]) -> None:
        """Remember the texts of ``chunks``."""
        for chunk in chunks:
            for choice in chunk.choices or ():
                if choice.delta is None:
                    continue
                if reasoning := choice.delta.reasoning_content or choice.delta.reasoning:
                    self._reasoning.append(reasoning)
                if choice.delta.content:
                    self._rest.append(choice.delta.content)
                for call in choice.delta.tool_calls or ():
                    if call.function and isinstance(call.function.arguments, str):
                        self._rest.append(call.function.arguments)

    async def usage(self, prompt: int | None, count: CountText) -> ChatUsage | None:
        """The counted usage; ``None`` when the texts cannot be counted."""
        try:
            thought = await count("".join(self._reasoning)) if self._reasoning else 0
            rest = await count("".join(self._rest))
        except Fault:
            return None
        if thought is None or rest is None:
            return None
        details = CompletionTokensDetails(thought) if thought else None
        return ChatUsage(
            prompt_tokens=prompt,
            completion_tokens=thought + rest,
            completion_tokens_details=details,
        )


def tells_end(chunks: Iterable[ChatChunk]) -> bool:
    """Whether the upstream says there that its answer has ended."""
    return any(choice.finish_reason for chunk in chunks for choice in chunk.choices or ())
