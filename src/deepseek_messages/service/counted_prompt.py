"""The size of an answer's prompt, counted while the upstream works."""

import asyncio

from deepseek_messages.service.attempts import Attempt
from deepseek_messages.service.prompt_size import PromptSize
from deepseek_messages.service.tasks import spawn
from deepseek_messages.translation.faults import Fault


class CountedPrompt:
    """In tokens; ``None`` where it is not known."""

    __slots__ = ("_attempt", "_counting", "_tokens")

    def __init__(self) -> None:
        self._attempt: Attempt | None = None  # whose prompt it is
        self._tokens: int | None = None  # if it is known without counting
        self._counting: asyncio.Task[int | None] | None = None

    def count(self, attempt: Attempt) -> None:
        """Begin to count the prompt of ``attempt``, unless that was begun."""
        if self._attempt is attempt:
            return
        self.stop()
        self._attempt, self._tokens, self._counting = attempt, None, None
        if attempt.size is None:
            return
        self._tokens = attempt.size.known()
        if self._tokens is None:
            self._counting = spawn(_quietly(attempt.size), "count-prompt")

    def stop(self) -> None:
        """Count no longer."""
        if self._counting is not None:
            self._counting.cancel()

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will be known."""
        return self._counting is None or self._counting.done()

    @property
    def so_far(self) -> int | None:
        """What is known by now."""
        counting = self._counting
        if counting is None:
            return self._tokens
        return counting.result() if counting.done() and not counting.cancelled() else None

    async def within(self, seconds: float) -> int | None:
        """What is known after so long, or earlier if nothing more will be."""
        if self._counting is not None and not self._counting.done():
            await asyncio.wait((self._counting,), timeout=seconds)
        return self.so_far


async def _quietly(size: PromptSize) -> int | None:
    """A count that fails is no reason to fail the answer: the upstream's own comes later."""
    try:
        return await size.count()
    except Fault:
        return None
