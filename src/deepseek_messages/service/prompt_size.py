"""What tells the sizes of prompts, and of what models wrote."""

from typing import Protocol

from deepseek_messages.service.callers import Caller
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.upstreams.base import UpstreamCall


class PromptSize(Protocol):
    """What tells the size of one translated prompt."""

    def known(self) -> int | None:
        """Tokens, if that is quickly told."""
        ...

    async def count(self) -> int | None:
        """Tokens, or ``None`` when nothing better than a guess is known; by a thread."""
        ...


class PromptCounter(Protocol):
    """What tells the sizes of translated prompts."""

    def prompt(self, call: UpstreamCall, model: Model, caller: Caller) -> PromptSize:
        """The size of the prompt of ``call``, to be found."""
        ...

    async def count_output(self, text: str, model: Model) -> int | None:
        """Tokens of what a model wrote, or ``None``. Never on the loop."""
        ...

    @property
    def grace(self) -> float:
        """Seconds that an answer waits for its prompt's size."""
        ...
