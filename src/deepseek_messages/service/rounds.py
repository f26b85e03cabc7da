"""An answer that may call the upstream several times. What comes next is decided by
``translation.rounds``; here it is done: calls are opened and closed, tools are run.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from deepseek_messages.service.answer import Answer, State
from deepseek_messages.service.cut import Spoken
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import RoundPlan
from deepseek_messages.translation.rounds import Need, Rounds
from deepseek_messages.translation.stages import Stream
from deepseek_messages.translation.tools import ToolBook
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.events import StreamEvent


class RoundsAnswer(Answer):
    """As ``Answer``, over as many calls as it takes. Whichever is open is closed with it."""

    _rounds: Rounds | None = None

    def _new_machine(self, tokens: int | None) -> Stream:
        self._rounds = Rounds(
            self._call.request,
            self._plan,
            self._plan_of_rounds(),
            self._message_id,
            notes=self.notes,
            prompt_tokens=tokens,
            seal=self._seal,
        )
        return self._rounds

    def _plan_of_rounds(self) -> RoundPlan:
        """The plan; one that asks for nothing where the upstream asked next needs none."""
        plan = self._attempt.rounds
        if plan is None:
            dialect = self._upstream.dialect
            plan = RoundPlan(
                dialect=dialect, book=ToolBook(dialect, self.notes, updates_in_place=False)
            )
        return plan

    def when_ready(self, _tell: Callable[[], None] | None) -> bool:
        """Never: between calls something has to be awaited."""
        return False

    async def read(self) -> list[StreamEvent]:
        """As ``Answer.read``."""
        while self.state is State.OPEN:
            events: list[StreamEvent] = []
            try:
                await self._step(events)
            except Fault as fault:
                if self._rounds is None or not self._rounds.retry(fault):
                    return events + await self.fail(fault)
                await self._close_call()
            if events:
                self._look_at(events)
                return events
        return []

    async def _step(self, events: list[StreamEvent]) -> None:
        if self._rounds is not None and self._rounds.need is Need.TOOLS:
            outcomes = await self._attempt.tools.run(self._rounds.waiting)
            events += self._rounds.results(outcomes)
            self._settle()
            return
        if self._stream is None:
            await self._open_next()
        assert self._stream is not None
        await self._feed(await self._stream.read(), events)

    async def _feed(self, chunks: Sequence[ChatChunk], events: list[StreamEvent]) -> None:
        await super()._feed(chunks, events)
        if self._cut_short:
            await self._finish_cut(events)
        if self.state is State.ENDED:  # the call has
            self.state = State.OPEN
            await self._close_call()
            self._settle()

    def _settle(self) -> None:
        if self._rounds is not None and self._rounds.need is Need.ENDED:
            self.state = State.ENDED

    async def _open_next(self) -> None:
        assert self._rounds is not None
        call = self._call = replace(self._call, request=self._rounds.chat)
        self._told_end = False
        self._spoken = Spoken() if self._plan.may_be_cut else None
        self._stream = await self._upstream.open(call)

    async def _close_call(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None

    async def aclose(self) -> None:
        """As ``Answer.aclose``."""
        try:
            await super().aclose()
        finally:
            await self._attempt.tools.aclose()
