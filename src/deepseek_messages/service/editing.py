"""Context management of a request: what is cleared depends on how large its prompt is."""

import asyncio
from typing import Protocol

from deepseek_messages.prompt.counting import NotQuick, QuickCount, count_text
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.service.counting import CountResult
from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.edits import (
    NO_EDITS,
    Edits,
    needs_count,
    plan_edits,
    read_edits,
)
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.wire.messages import MessagesRequest

# Longer conversations are looked through by a thread.
MOST_MESSAGES = 2_000


class RequestCounter(Protocol):
    """What tells the size of a request's prompt."""

    async def count(
        self,
        request: MessagesRequest,
        choice: Choice,
        *,
        caller: Caller = NOBODY,
        upstream: Upstream | None = None,
    ) -> CountResult: ...


class ContextEditor:
    """Decides what of a request's history is left out. One per application."""

    def __init__(self, counter: RequestCounter) -> None:
        self._counter = counter

    def edits_now(self, request: MessagesRequest, notes: Notes) -> Edits | None:
        """As ``edits``, if that need not wait for anything; ``None`` if it has to. Raises as
        ``edits`` does; ``notes`` are to be thrown away then, and with ``None``.
        """
        wanted = read_edits(request, notes)
        if wanted is None:
            return NO_EDITS
        if len(request.messages) > MOST_MESSAGES or needs_count(wanted, request):
            return None
        try:
            return plan_edits(request, wanted, 0, QuickCount(), notes)
        except (NotQuick, UnicodeEncodeError):
            return None

    async def edits(
        self,
        request: MessagesRequest,
        choice: Choice,
        notes: Notes,
        caller: Caller,
        upstream: Upstream | None = None,
    ) -> Edits:
        """The edits of ``request`` at ``upstream``, as ``Counter.count`` has it. Costs nothing for
        a request that asks for none, and a count of its prompt where an edit depends on its size.
        Raises ``Refusal`` as a count does, and in strict mode for an edit that cannot be made.
        """
        quick = Notes(strict=notes.strict)
        if (edits := self.edits_now(request, quick)) is not None:
            notes.take(quick)
            return edits
        wanted = read_edits(request, notes) or []
        tokens = 0
        if needs_count(wanted, request):
            counted = await self._counter.count(request, choice, caller=caller, upstream=upstream)
            tokens = counted.tokens
        return await asyncio.to_thread(plan_edits, request, wanted, tokens, count_text, notes)
