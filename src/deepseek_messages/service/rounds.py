"""An answer that may call the upstream several times. What comes next is decided by
``translation.hosted.rounds``; here it is done: calls are opened and closed, tools are run.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from deepseek_messages.prompt.estimate import estimate_prompt
from deepseek_messages.service.answer import Answer, State
from deepseek_messages.service.attempts import tokens_of
from deepseek_messages.service.cut import Spoken
from deepseek_messages.translation.answer.stages import Stream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.compacted import Compacted
from deepseek_messages.translation.hosted.rounds import Need, Rounds
from deepseek_messages.translation.plan import no_rounds
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.events import StreamEvent


class RoundsAnswer(Answer):
    """As ``Answer``, over as many calls as it takes. Whichever is open is closed with it."""

    _rounds: Rounds | Compacted | None = None

    def _new_machine(self, tokens: int | None) -> Stream:
        # Where the upstream that is asked next needs no plan, one that asks for nothing.
        plan = self._attempt.rounds or no_rounds(self._upstream.dialect, self.notes)
        chat, reply, message_id = self._call.request, self._plan, self._message_id
        notes, seal = self.notes, self._seal
        if plan.follow is not None:
            self._rounds = Compacted(
                chat, reply, plan.follow, message_id, notes=notes, prompt_tokens=tokens, seal=seal
            )
        else:
            self._rounds = Rounds(
                chat, reply, plan, message_id, notes=notes, prompt_tokens=tokens, seal=seal
            )
        return self._rounds

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
                if self._attempt.rounds is not None and self._attempt.rounds.follow is not None:
                    await self._machine_ready()  # a summary may break before it has a word
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
            events += await asyncio.to_thread(self._rounds.results, outcomes)
            self._settle()
            return
        if self._stream is None:
            await self._open_next()
        assert self._stream is not None
        await self._feed(await self._stream.read(), events)

    async def _feed(self, chunks: Sequence[ChatChunk], events: list[StreamEvent]) -> None:
        if chunks or self._machine is None:
            await super()._feed(chunks, events)
        else:  # what the call came to is checked against a schema, which may take a while
            await asyncio.to_thread(self._take_in, self._machine, chunks, events)
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
        self._spoken = Spoken() if self._rounds.reply.may_be_cut else None
        self._stream = await self._upstream.open(call)

    async def _close_call(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None

    async def _counted_in_time(self, grace: float) -> int | None:
        """The size of the present call's prompt; that of a later call is a guess."""
        if self._call is not self._attempt.call:
            return estimate_prompt(self._call.request)
        return await super()._counted_in_time(grace)

    def _tell_tokens(self) -> None:
        """With those of a summary, which the client is told of apart."""
        super()._tell_tokens()
        if isinstance(self._rounds, Compacted) and self._rounds.summary_usage is not None:
            self._record.spend(tokens_of(self._rounds.summary_usage))

    @property
    def _is_paid_for(self) -> bool:
        """A later call follows from one that was, and from what tools have done."""
        return super()._is_paid_for or self._call is not self._attempt.call

    def _forget(self) -> None:
        super()._forget()
        self._rounds = None
