"""Answer one Messages request: choose a model, translate, ask the upstream, give events.

Nobody below knows a caller or a key of ours; nobody above knows the chat protocol.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Protocol

from msgspec import UNSET
from msgspec.json import encode

from deepseek_messages.service.admission import Admission
from deepseek_messages.service.attempts import Attempt, Attempts
from deepseek_messages.service.callers import Caller
from deepseek_messages.service.cut import Spoken
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.service.hosting import NO_HOSTING, NO_RUN, HostedRun, Hosting
from deepseek_messages.service.tasks import spawn
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens
from deepseek_messages.translation.catalogue import Choice, Model, resolve
from deepseek_messages.translation.edits import NO_EDITS, Edits
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.relay import Relay
from deepseek_messages.translation.reply import reply_stream
from deepseek_messages.translation.request import sees_images, to_chat
from deepseek_messages.translation.response import fold
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.stages import Stream
from deepseek_messages.translation.stream import MessageStream
from deepseek_messages.translation.whole import whole_message
from deepseek_messages.upstreams.base import (
    ChatStream,
    PushingStream,
    SentCall,
    Upstream,
    UpstreamCall,
    as_pushing,
    as_quick,
)
from deepseek_messages.upstreams.route import Need, route_to
from deepseek_messages.wire.chat import ChatChunk, ChatUsage
from deepseek_messages.wire.events import MessageDelta, MessageStart, StreamEvent
from deepseek_messages.wire.messages import Message, MessagesRequest, Usage

# Seconds that the last event waits for it when the upstream was closed before it told its figures.
COUNT_AT_CUT = 5.0


class PromptCounter(Protocol):
    """What tells the size of a translated prompt."""

    async def count_chat(self, call: UpstreamCall, model: Model) -> int | None:
        """Tokens, or ``None`` when nothing better than a guess is known. Never on the loop."""
        ...

    async def count_output(self, text: str, model: Model) -> int | None:
        """Tokens of what a model wrote, or ``None``. Never on the loop."""
        ...

    @property
    def grace(self) -> float:
        """Seconds that an answer waits for its prompt's size."""
        ...


class State(Enum):
    """Where an answer is. It only goes forward."""

    NEW = "new"  # nothing was sent upstream
    OPEN = "open"  # the upstream accepted
    ENDED = "ended"  # the last event was given
    CLOSED = "closed"  # everything is released


class Answerer:
    """Makes answers. One per application."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        seal: Seal,
        counter: PromptCounter,
        documents: DocumentReader,
        editor: ContextEditor,
        admission: Admission,
        message_id: Callable[[], str],
        default_model: str,
        aliases: Mapping[str, str] | None = None,
        strict: bool = False,
        hosting: Hosting = NO_HOSTING,
    ) -> None:
        self._upstream = upstream
        self._seal = seal
        self._counter = counter
        self._documents = documents
        self._editor = editor
        self._admission = admission
        self._message_id = message_id
        self._default_model = default_model
        self._aliases = aliases or {}
        self._strict = strict
        self._hosting = hosting

    async def answer(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        session: str | None = None,
        *,
        large: bool = False,
    ) -> "Answer":
        """An answer that is ready to be opened. The caller of this method closes it, whatever
        happens. A ``large`` request is translated by a thread.

        Raises ``Refusal`` for a request that cannot be served, ``Fault`` when the upstream cannot
        say what it serves.
        """
        _note_request(record, request, self._upstream)
        self._admission.enter(caller.identity)
        try:
            return await self._translated(request, caller, record, session, large=large)
        except BaseException:
            self._admission.leave(caller.identity)
            raise

    async def _translated(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        session: str | None,
        *,
        large: bool,
    ) -> "Answer":
        named = _affinity(caller, session or _user_of(request))
        run = await self._hosting.prepare(request, caller)
        attempts = self._attempts(request, caller, record, named, run, large=large)
        try:
            attempt = await attempts.first()
        except BaseException:
            attempts.route.close()
            await run.tools.aclose()
            raise
        return self._made(attempt, attempts, request, caller, record)

    def _attempts(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        named: str | None,
        run: HostedRun,
        *,
        large: bool = False,
    ) -> Attempts:
        async def translate(upstream: Upstream) -> Attempt:
            return await self._attempt(
                request, caller, record, named, upstream=upstream, run=run, large=large
            )

        route = route_to(self._upstream, lambda: _need(request, named))
        return Attempts(route, translate, record)

    def _made(
        self,
        attempt: Attempt,
        attempts: Attempts,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
    ) -> "Answer":
        kind = Answer if attempt.rounds is None else _rounds_answer()
        return kind(
            attempt=attempt,
            attempts=attempts,
            message_id=self._message_id(),
            seal=self._seal.of(caller.identity),
            leave=lambda: self._admission.leave(caller.identity),
            record=record,
            streams=bool(request.stream),
        )

    def answer_now(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        session: str | None = None,
    ) -> "Answer | None":
        """As ``answer``, for a request whose translation need not wait for anything; ``None``, and
        nothing has happened, for any other, also for one that is to be refused.
        """
        if not self._is_quick(request):
            return None
        named = _affinity(caller, session or _user_of(request))
        attempts = None
        try:
            self._admission.enter(caller.identity)
        except Refusal:
            return None
        try:
            attempts = self._attempts(request, caller, record, named, NO_RUN)
            if (attempt := self._attempt_now(request, caller, record, named, attempts)) is not None:
                return self._made(attempt, attempts, request, caller, record)
        except (Refusal, Fault):
            pass
        except BaseException:
            self._let_go(caller, attempts)
            raise
        self._let_go(caller, attempts)
        return None

    def _let_go(self, caller: Caller, attempts: Attempts | None) -> None:
        self._admission.leave(caller.identity)
        if attempts is not None:
            attempts.route.close()

    def _is_quick(self, request: MessagesRequest) -> bool:
        """Whether nothing has to be asked, read or counted before it can be translated."""
        return (
            request.context_management is UNSET
            and request.mcp_servers is UNSET
            and (self._hosting is NO_HOSTING or not request.tools)
            and not self._documents.reads(request)
        )

    def _attempt_now(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        session: str | None,
        attempts: Attempts,
    ) -> Attempt | None:
        upstream = attempts.route.upstream
        quick = as_quick(upstream)
        served = quick.known_models() if quick is not None else None
        if served is None:
            return None
        choice = resolve(request.model, served, self._default_model, self._aliases)
        _note_request(record, request, upstream, choice.model)
        attempt = self._translate(
            request, caller, session, upstream=upstream, choice=choice, run=NO_RUN
        )
        return attempt if attempts.route.fits(attempt.model, attempt.tokens) else None

    async def _attempt(
        self,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
        session: str | None,
        *,
        upstream: Upstream,
        run: HostedRun,
        large: bool,
    ) -> Attempt:
        record.upstream = upstream.name
        served = await upstream.models()
        choice = resolve(request.model, served, self._default_model, self._aliases)
        record.model = choice.model.id
        sees = sees_images(choice.model, upstream.dialect)
        request = await self._documents.prepare(request, sees=sees)
        notes = Notes(strict=self._strict)
        edits = await self._editor.edits(request, choice, notes, caller)
        translate = partial(
            self._translate,
            request,
            caller,
            session,
            upstream=upstream,
            choice=choice,
            run=run,
            notes=notes,
            edits=edits,
        )
        return await asyncio.to_thread(translate) if large else translate()

    def _translate(
        self,
        request: MessagesRequest,
        caller: Caller,
        session: str | None,
        *,
        upstream: Upstream,
        choice: Choice,
        run: HostedRun,
        notes: Notes | None = None,
        edits: Edits = NO_EDITS,
    ) -> Attempt:
        """The request as ``upstream`` gets it. Raises ``Refusal``."""
        notes = notes if notes is not None else Notes(strict=self._strict)
        translation = to_chat(
            request,
            choice,
            upstream.dialect,
            notes,
            self._seal.of(caller.identity),
            edits=edits,
            hosted=run.hosted,
        )
        call = UpstreamCall(
            request=translation.chat,
            credential=caller.credential,
            session=session,
            upstream=upstream.name,
        )
        return Attempt(
            upstream=upstream,
            model=choice.model,
            call=call,
            plan=translation.plan,
            rounds=translation.rounds,
            tools=run.tools,
            notes=notes,
            count=(lambda: self._counter.count_chat(call, choice.model))
            if translation.chat.stream
            else None,
            count_output=lambda text: self._counter.count_output(text, choice.model),
            grace=lambda: self._counter.grace,
        )


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
        self.fault: Fault | None = None  # why the events ended in an error
        self._attempts = attempts
        self._message_id = message_id
        self._seal = seal
        self._counting: asyncio.Task[int | None] | None = None
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
        self._count = attempt.count
        self._count_output = attempt.count_output
        # Only an answer that may be cut here is listened to.
        self._spoken = Spoken() if self._plan.may_be_cut else None
        if self._machine is not None:  # its message_start has gone out, and it will do
            self._machine = self._new_machine(None)
            self._machine.start()

    async def opened(self) -> None:
        """Return once an upstream accepted the request. Raises ``Fault``."""
        while self.state is State.NEW:
            self._begin_count()
            sent, self._sent = self._sent, None
            try:
                if sent is not None:
                    attempt, self._stream = self._attempt, await sent.stream()
                else:
                    attempt, self._stream = await self._attempts.open(self._attempt)
                self.state = State.OPEN
                if attempt is not self._attempt:  # a second upstream was faster
                    self._take(attempt)
                    self._begin_count()
            except Fault as fault:
                self._take(await self._attempts.next(fault))

    def send_now(self) -> bool:
        """Send the request up, if that can be done without waiting; ``opened`` goes on from there.
        False if not. Raises ``Fault``.
        """
        if (quick := as_quick(self._upstream)) is not None:
            self._sent = quick.send_now(self._call)
        return self._sent is not None

    def when_sent_has(self, tell: Callable[[], None] | None) -> None:
        """Call ``tell`` when there is something of what ``send_now`` sent (``None``: no longer)."""
        if self._sent is not None:
            self._sent.when_ready(tell)

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
        """As ``aclose``, for an answer that nobody has opened."""
        if self.state is not State.CLOSED:
            self._end()
        if self._sent is not None:
            self._sent.close()

    def _begin_count(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
        if self._count is not None:
            self._counting = spawn(self._counted(self._count), "count-prompt")

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
            self._told_end = any(map(_tells_end, chunks))
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

    async def whole(self) -> Message:
        """The answer as one message. Raises ``Fault`` if it does not become whole."""
        events: list[StreamEvent] = []
        while batch := await self.read():
            events += batch
        if self.fault is not None:
            raise self.fault
        return fold(events)

    async def fail(self, fault: Fault) -> list[StreamEvent]:
        """End the answer: what closes the open block, and one ``error`` event."""
        self.fault = fault
        self.state = State.ENDED
        return self._fail(await self._machine_ready(), fault)

    def _fail(self, machine: Stream, fault: Fault) -> list[StreamEvent]:
        self.fault = fault
        self.state = State.ENDED
        events = machine.fail(fault)
        self._look_at(events)
        return events

    async def aclose(self) -> None:
        """Stop the upstream's work, release everything, tell the record. May be called twice."""
        self.close_now()
        if self._stream is not None:
            await self._stream.aclose()

    def _end(self) -> None:
        """Release the place, and tell the record."""
        self.state = State.CLOSED
        self._leave()
        self._attempts.route.close()
        if self._counting is not None:
            self._counting.cancel()
        if self.notes.entries:
            self._record.notes = tuple(str(note) for note in self.notes.entries)
        self._tell_tokens()

    def _tell_tokens(self) -> None:
        """Of an answer that broke off, what was written until then: the upstream bills it."""
        usage = self._usage
        if self._machine is not None and not self._usage_is_final:
            usage = self._machine.so_far()
        if usage is not None:
            self._record.tokens = _tokens(usage)

    @property
    def ended(self) -> bool:
        """Whether the last event was given."""
        return self.state is not State.OPEN

    async def _machine_ready(self) -> Stream:
        if self._machine is not None:
            return self._machine
        tokens = await self._counted_in_time(self._attempt.grace())
        if self._machine is None:  # nobody was first meanwhile
            self._machine = self._new_machine(tokens)
        return self._machine

    def _new_machine(self, tokens: int | None) -> Stream:
        return reply_stream(self._plan, self._message_id, prompt_tokens=tokens, seal=self._seal)

    async def _counted_in_time(self, grace: float) -> int | None:
        counting = self._counting
        if counting is None:
            return None
        if not counting.done():
            await asyncio.wait((counting,), timeout=grace)
        return counting.result() if counting.done() and not counting.cancelled() else None

    async def _counted(self, count: Callable[[], Awaitable[int | None]]) -> int | None:
        """A count that fails is no reason to fail the answer: the upstream's own comes later."""
        try:
            return await count()
        except Fault:
            return None

    def _look_at(self, events: list[StreamEvent]) -> None:
        """Remember the usage and how the answer ended."""
        self._record.mark_first_event()
        for event in events:
            if isinstance(event, MessageDelta):
                self._usage = event.usage
                self._usage_is_final = True
            elif isinstance(event, MessageStart):
                self._usage = event.message.usage
        if self.state is State.ENDED and self.fault is None:
            self._record.outcome = Outcome.SERVED


def _rounds_answer() -> type[Answer]:
    """The answer over several calls, which builds on this file."""
    from deepseek_messages.service.rounds import RoundsAnswer  # noqa: PLC0415

    return RoundsAnswer


def _note_request(
    record: RequestRecord, request: MessagesRequest, upstream: Upstream, model: Model | None = None
) -> None:
    record.requested_model = request.model[:100]
    record.stream = bool(request.stream)
    record.upstream = upstream.name
    if model is not None:
        record.model = model.id


def _tells_end(chunk: ChatChunk) -> bool:
    return any(choice.finish_reason for choice in chunk.choices or ())


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        input=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_creation=usage.cache_creation_input_tokens,
        output=usage.output_tokens,
    )


def _need(request: MessagesRequest, session: str | None) -> Need:
    def beginning() -> bytes:
        """The system prompt and the first message: what later turns repeat."""
        return encode([request.system, request.messages[:1]])

    return Need(model=request.model, session=session, beginning=beginning)


def _user_of(request: MessagesRequest) -> str | None:
    return request.metadata.user_id if request.metadata else None


def _affinity(caller: Caller, session: str | None) -> str | None:
    """An opaque name for the conversation: the same one for the same caller's same session."""
    if not session:
        return None
    return hashlib.sha256(f"{caller.name}\0{session}".encode()).hexdigest()[:32]
