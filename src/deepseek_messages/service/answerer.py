"""Begin to answer a Messages request: admit it, choose a model, translate it for an upstream."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from functools import partial

from deepseek_messages.service.admission import Admission
from deepseek_messages.service.answer import Answer
from deepseek_messages.service.attempts import Attempt, Attempts
from deepseek_messages.service.beginning import beginning_of
from deepseek_messages.service.callers import Caller
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.service.hosting import NO_HOSTING, NO_RUN, HostedRun, Hosting
from deepseek_messages.service.prompt_size import PromptCounter
from deepseek_messages.service.rounds import RoundsAnswer
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.catalogue import Choice, Model, resolve
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.edits import Edits
from deepseek_messages.translation.request.planning import may_take_rounds
from deepseek_messages.translation.request.request import sees_images, to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import (
    Upstream,
    UpstreamCall,
    as_quick,
)
from deepseek_messages.upstreams.route import Need, chooses, route_to
from deepseek_messages.wire.messages import MessagesRequest


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
    ) -> Answer:
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
    ) -> Answer:
        named = _affinity(caller, session or _user_of(request))
        run = await self._hosting.prepare(request, caller)
        attempts = None
        try:
            need = _need(request, caller, named if session else None)
            attempts = self._attempts(request, caller, record, named, run, need=need, large=large)
            attempt = await attempts.first()
        except BaseException:
            if attempts is not None:
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
        need: Need,
        large: bool = False,
    ) -> Attempts:
        async def translate(upstream: Upstream) -> Attempt:
            return await self._attempt(
                request, caller, record, named, upstream=upstream, run=run, large=large
            )

        route = route_to(self._upstream, lambda: need)
        return Attempts(route, translate, record)

    def _made(
        self,
        attempt: Attempt,
        attempts: Attempts,
        request: MessagesRequest,
        caller: Caller,
        record: RequestRecord,
    ) -> Answer:
        # Whoever is asked next may take several calls, too.
        rounds = attempt.rounds is not None or (
            chooses(self._upstream) and may_take_rounds(request)
        )
        kind = RoundsAnswer if rounds else Answer
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
    ) -> Answer | None:
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
            need = _need(request, caller, named if session else None)
            attempts = self._attempts(request, caller, record, named, NO_RUN, need=need)
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
        """Whether nobody has to be asked and nothing read before it can be translated."""
        return (
            not chooses(self._upstream)
            and not self._hosting.may_run(request)
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
        notes = Notes(strict=self._strict)
        if (edits := self._editor.edits_now(request, notes)) is None:
            return None
        _note_request(record, request, upstream, choice.model)
        attempt = self._translate(
            request,
            caller,
            session,
            upstream=upstream,
            choice=choice,
            run=NO_RUN,
            notes=notes,
            edits=edits,
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
        edits = await self._editor.edits(request, choice, notes, caller, upstream)
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
        notes: Notes,
        edits: Edits,
    ) -> Attempt:
        """The request as ``upstream`` gets it. Raises ``Refusal``."""
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
        counter = self._counter
        return Attempt(
            upstream=upstream,
            model=choice.model,
            call=call,
            plan=translation.plan,
            rounds=translation.rounds,
            tools=run.tools,
            notes=notes,
            counter=counter,
            # That of a whole answer is told by the upstream.
            size=counter.prompt(call, choice.model, caller) if translation.chat.stream else None,
        )


def _note_request(
    record: RequestRecord, request: MessagesRequest, upstream: Upstream, model: Model | None = None
) -> None:
    record.requested_model = request.model[:100]
    record.stream = bool(request.stream)
    record.upstream = upstream.name
    if model is not None:
        record.model = model.id


def _need(request: MessagesRequest, caller: Caller, session: str | None) -> Need:
    return Need(
        model=request.model,
        caller=caller.identity if caller.credential else "",
        session=session,
        beginning=lambda: beginning_of(request, caller.name),
    )


def _user_of(request: MessagesRequest) -> str | None:
    return request.metadata.user_id if request.metadata else None


def _affinity(caller: Caller, session: str | None) -> str | None:
    """An opaque name for the conversation: the same one for the same caller's same session."""
    if not session:
        return None
    return hashlib.sha256(f"{caller.name}\0{session}".encode()).hexdigest()[:32]
