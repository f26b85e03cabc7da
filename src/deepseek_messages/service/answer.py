"""One answer in the making: from an upstream's chunks to events, pulled or pushed, or whole.

Nobody below knows a caller or a key of ours; nobody above knows the chat protocol.
"""

from collections.abc import Callable, Sequence
from enum import Enum

from deepseek_messages.service.attempts import Attempt, Attempts, tokens_of
from deepseek_messages.service.counted_prompt import CountedPrompt
from deepseek_messages.service.cut import COUNT_AT_CUT, Spoken, tells_end
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.stages import Stream
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.answer.whole import whole_message
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.notes import Action
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import (
    ChatStream,
    PushingStream,
    SentCall,
    as_pushing,
    as_quick,
)
from deepseek_messages.wire.chat import ChatChunk, ChatUsage
from deepseek_messages.wire.events import MessageDelta, MessageStart, StreamEvent
from deepseek_messages.wire.messages import Message, Usage


class State(Enum):
    """Where an answer is. It only goes forward, unless a whole one is asked for anew."""

    NEW = "new"  # nothing was sent upstream
    OPEN = "open"  # the upstream accepted
    ENDED = "ended"  # the last event was given
    CLOSED = "closed"  # everything is released


class Answer:
    """One answer in the making. Call ``opened``, then ``read`` until it gives nothing, or
    ``whole``; and ``aclose`` in the end, whatever happened before.
    """

    def __init__(
        self,
        *,
        attempt: Attempt,
        attempts: Attempts,
        message_id: str,
        seal: Seal,
        leave: Callable[[], None],
        record: RequestRecord,
        streams: bool = False,
    ) -> None:
        self.streams = streams  # whether the client wants events
        self._sent: SentCall | None = None  # the call, if it went out before anybody waited
        self.fault: Fault | Refusal | None = None  # why the events ended in an error
        self._attempts = attempts
        self._message_id = message_id
        self._seal = seal
        self._size = CountedPrompt()
        self._stream: ChatStream | None = None
        self._pushing: PushingStream | None = None  # the same, while it pushes
        self._machine: Stream | None = None
        self._record = record
        self._usage: Usage | None = None
        self._usage_is_final = False
        self._told_end = False  # the upstream gave its finish reason
        self._relay: Relay | None = None  # what passes bytes on from here
        self._cut_short = False  # it is to be closed in the middle of its answer
        self._leave = leave
        self.state = State.NEW
        self._take(attempt)

    def _take(self, attempt: Attempt) -> None:
        """From now on this is what is asked, and of whom. Nothing of an answer has come yet."""
        self.notes = attempt.notes
        self.model = attempt.plan.model
        self._attempt = attempt
        self._upstream = attempt.upstream
        self._call = attempt.call
        self._plan = attempt.plan
        # Only an answer that may be cut here is listened to.
        self._spoken = Spoken() if self._plan.may_be_cut else None
        if self._machine is not None:  # its message_start has gone out, and it will do
            self._machine = self._new_machine(None)
            self._machine.start()

    async def opened(self) -> None:
        """Return once an upstream accepted the request. Raises ``Fault``, and ``Refusal`` when the
        one that is asked next cannot be asked this.
        """
        while self.state is State.NEW:
            self._size.count(self._attempt)
            sent, self._sent = self._sent, None
            try:
                if sent is not None:
                    attempt, self._stream = self._attempt, await sent.stream()
                else:
                    attempt, self._stream = await self._attempts.open(self._attempt)
                self.state = State.OPEN
                if attempt is not self._attempt:  # a second upstream was faster
                    self._take(attempt)
                    self._size.count(self._attempt)
            except Fault as fault:
                self._take(await self._attempts.next(fault))

    def send_now(self) -> bool:
        """Send the request up, if that can be done without waiting; ``opened`` goes on from there.
        False if not. Raises ``Fault``.
        """
        if (quick := as_quick(self._upstream)) is not None:
            self._sent = quick.send_now(self._call)
        if self._sent is not None:
            self._size.count(self._attempt)
        return self._sent is not None

    def when_sent_has(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` when there is something of what ``send_now`` sent."""
        if self._sent is not None:
            self._sent.when_ready(tell)

    def tell_nobody(self) -> None:
        """Nobody is called any longer when something comes."""
        told = self._sent or self._pushing
        if told is not None:
            told.when_ready(None)

    def stream_now(self, tell: Callable[[], None]) -> bool:
        """Go on from ``send_now`` as ``opened`` does, and push as ``when_ready`` does. False, and
        nothing has happened, if that has to wait for the upstream or for the prompt's size.
        """
        if self._sent is None or not self._size.is_settled:
            return False
        if self._attempt.rounds is not None or (stream := self._sent.stream_now()) is None:
            return False
        self._sent, self._stream, self.state = None, stream, State.OPEN
        self._machine = self._new_machine(self._size.so_far)
        return self.when_ready(tell)

    def whole_now(self) -> Message | None:
        """The answer to what ``send_now`` sent, if it has come as a whole and is one of those that
        ``whole_message`` makes; ``None``, and nothing has happened, if not.
        """
        answer = self._sent.answer_now() if self._sent is not None else None
        if answer is None or self._attempt.rounds is not None:
            return None
        message = whole_message(answer, self._plan, self._message_id, seal=self._seal)
        if message is not None:
            self._usage, self._usage_is_final = message.usage, True
            self._record.mark_first_event()
        return message

    def close_now(self) -> None:
        """As ``aclose``, for an answer that nobody awaits."""
        if self.state is not State.CLOSED:
            self._end()
        if self._sent is not None:
            self._sent.close()
        if self._pushing is not None:
            self._pushing.close()

    async def start(self) -> list[StreamEvent]:
        """``message_start``, if it was not given yet: for an upstream that is slow to speak."""
        machine = await self._machine_ready()
        if self.state not in (State.NEW, State.OPEN):
            return []
        events = machine.start()
        for event in events:
            if isinstance(event, MessageStart):
                self._usage = event.message.usage
        return events

    async def read(self) -> list[StreamEvent]:
        """The next events, at least one; an empty list after the end. An upstream that breaks
        gives a last ``error`` event, and ``fault`` says why.
        """
        while self.state is State.OPEN:
            assert self._stream is not None
            events: list[StreamEvent] = []
            try:
                if not self._cut_short:
                    await self._feed(await self._stream.read(), events)
                if self._cut_short:
                    await self._finish_cut(events)
            except Fault as fault:
                if events:
                    self._look_at(events)
                return events + await self.fail(fault)
            if events:
                self._look_at(events)
                return events
        return []

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """From now on call ``tell`` whenever ``read_now`` has something (``None``: no longer).
        False where only ``read`` can go on: something has to be awaited.
        """
        if tell is not None and (
            self.state is not State.OPEN or self._machine is None or self._cut_short
        ):
            return False
        self._relay = None
        self._pushing = as_pushing(self._stream) if self._stream is not None else None
        return self._pushing is not None and self._pushing.when_ready(tell)

    def read_now(self) -> list[StreamEvent]:
        """As ``read``, all that can be had now; an empty list where that would wait. To be called
        only when told, or ``when_ready`` was true.
        """
        machine, stream = self._machine, self._pushing
        assert machine is not None
        assert stream is not None
        events: list[StreamEvent] = []
        self._relay = None
        try:
            while not self.must_wait and (chunks := stream.read_now()) is not None:
                self._take_in(machine, chunks, events)
        except Fault as fault:
            if events:
                self._look_at(events)
            return events + self._fail(machine, fault)
        if events:
            self._look_at(events)
        self._relay = self._next_relay(machine, stream)
        return events

    def relay_now(self) -> bytes | None:
        """What there is, as encoded events, if it is more of the open block and nothing else.
        ``None`` if that is for ``read_now`` to see.
        """
        if self._relay is None or self._pushing is None:
            return None
        return self._pushing.relay_now(self._relay)

    def _next_relay(self, machine: Stream, stream: PushingStream) -> Relay | None:
        """What can pass bytes on from here."""
        pattern = None if self.must_wait else stream.pattern
        if pattern is None or not isinstance(machine, MessageStream):
            return None
        return machine.relay(pattern)

    @property
    def must_wait(self) -> bool:
        """Whether only ``read`` can go on, or nothing is left."""
        return self._cut_short or self.state is not State.OPEN

    async def _feed(self, chunks: Sequence[ChatChunk], events: list[StreamEvent]) -> None:
        """Add what ``chunks`` come to. Raises ``Fault``; what came before it is in ``events``."""
        self._take_in(self._machine or await self._machine_ready(), chunks, events)

    def _take_in(
        self, machine: Stream, chunks: Sequence[ChatChunk], events: list[StreamEvent]
    ) -> None:
        for chunk in chunks:
            events += machine.feed(chunk)
        if self._spoken is not None:
            self._spoken.hear(chunks)
        if not chunks:
            events += machine.finish()
            self.state = State.ENDED
        elif machine.complete and not self._told_end:
            self._told_end = tells_end(chunks)
            # Complete without the upstream's word: a stop sequence was found here. What the
            # upstream would still write is not wanted.
            self._cut_short = not self._told_end

    async def _finish_cut(self, events: list[StreamEvent]) -> None:
        """End an answer whose upstream is closed in the middle of it."""
        machine = await self._machine_ready()
        events += machine.finish(await self._cut())
        self._cut_short = False
        self.state = State.ENDED

    async def _cut(self) -> ChatUsage | None:
        """Close the upstream in the middle of its answer; the usage that it would have told."""
        if self._stream is not None:
            await self._stream.aclose()
        if self._spoken is None:
            return None
        self.notes.add(Action.ESTIMATED, "usage", "stop_sequences")
        prompt = await self._counted_in_time(COUNT_AT_CUT)
        return await self._spoken.usage(prompt, self._count_output)

    async def _count_output(self, text: str) -> int | None:
        return await self._attempt.counter.count_output(text, self._attempt.model)

    async def whole(self) -> Message:
        """The answer as one message; one that breaks is asked for again where there is another try.
        Raises as ``opened``, and if it does not become whole.
        """
        while True:
            events: list[StreamEvent] = []
            while batch := await self.read():
                events += batch
            if self.fault is None:
                return fold(events)
            await self._open_again(self.fault)

    async def _open_again(self, fault: Fault | Refusal) -> None:
        """Open the next try, if there is one. Raises ``fault`` if not: also where the model came to
        its end, or made nonsense of it, since that is billed as a whole answer.
        """
        if isinstance(fault, Refusal) or fault.kind is FaultKind.GARBAGE or self._is_paid_for:
            raise fault
        if self._stream is not None:
            await self._stream.aclose()
        self._tell_tokens()
        self._forget()
        self._take(await self._attempts.next(fault))
        await self.opened()

    @property
    def _is_paid_for(self) -> bool:
        """Whether the model came to its end, whatever broke then."""
        return self._told_end

    def _forget(self) -> None:
        """It is as if nothing had been asked; what that has cost is told."""
        self.state, self.fault = State.NEW, None
        self._stream = self._pushing = self._machine = self._usage = None
        self._usage_is_final = self._told_end = self._cut_short = False
        self._record.first_event = None

    async def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        """End the answer: what closes the open block, and one ``error`` event."""
        self.fault = fault
        self.state = State.ENDED
        return self._fail(await self._machine_ready(), fault)

    def _fail(self, machine: Stream, fault: Fault | Refusal) -> list[StreamEvent]:
        self.fault = fault
        self.state = State.ENDED
        events = machine.fail(fault)
        self._look_at(events)
        return events

    async def aclose(self) -> None:
        """Stop the upstream's work, release everything, tell the record. May be called twice."""
        self.close_now()
        try:
            if self._stream is not None:
                await self._stream.aclose()
        finally:
            await self._attempt.tools.aclose()

    def _end(self) -> None:
        """Release the place, and tell the record."""
        self.state = State.CLOSED
        self._leave()
        self._attempts.route.close()
        self._size.stop()
        if self.notes.entries:
            self._record.notes = tuple(str(note) for note in self.notes.entries)
        self._tell_tokens()

    def _tell_tokens(self) -> None:
        """Of an answer that broke off, what was written until then: the upstream bills it."""
        usage = self._usage
        if self._machine is not None and not self._usage_is_final:
            usage = self._machine.so_far()
        if usage is not None:
            self._record.spend(tokens_of(usage))

    @property
    def ended(self) -> bool:
        """Whether the last event was given."""
        return self.state is not State.OPEN

    async def _machine_ready(self) -> Stream:
        if self._machine is not None:
            return self._machine
        tokens = await self._counted_in_time(self._attempt.counter.grace)
        if self._machine is None:  # nobody was first meanwhile
            self._machine = self._new_machine(tokens)
        return self._machine

    def _new_machine(self, tokens: int | None) -> Stream:
        return reply_stream(self._plan, self._message_id, prompt_tokens=tokens, seal=self._seal)

    async def _counted_in_time(self, grace: float) -> int | None:
        return await self._size.within(grace)

    def _look_at(self, events: list[StreamEvent]) -> None:
        """Remember the usage and how the answer ended."""
        if self.fault is None:  # an error is no word of the model
            self._record.mark_first_event()
        for event in events:
            if isinstance(event, MessageDelta):
                self._usage = event.usage
                self._usage_is_final = True
            elif isinstance(event, MessageStart):
                self._usage = event.message.usage
        if self.state is State.ENDED and self.fault is None:
            self._record.outcome = Outcome.SERVED
