"""The shortest way of a request for messages: from the client's bytes to the upstream's connection
and back in the event loop's own calls, without a task.

It goes as far as nothing has to be waited for. A request with a head that its connection has sent
before (``known_head``) is checked, translated and sent up at once; a whole answer that comes in
one piece is translated and sent down at once. Wherever something else happens, a task takes over
from there (``Front.carry``) and does what it does for any request: streams, answers in pieces,
failures, a stopping server. What is to be refused is not even begun here.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from msgspec.json import Encoder

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.callers import Caller
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.direct import DirectCycle, DirectExchange
from deepseek_messages.web.errors import CLIENT_CLOSED_REQUEST
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.guard import Access, Guard
from deepseek_messages.web.ids import request_id
from deepseek_messages.web.known_head import KnownHead
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.notes import notes_header
from deepseek_messages.web.paths import MESSAGES

_encode = Encoder().encode

StartTask = Callable[[Coroutine[None, None, None]], object]


class Record(Protocol):
    """What tells of requests, and carries those that take a task (``Front``)."""

    def began(self) -> None: ...

    def ended(self, exchange: Exchange) -> None: ...

    def carry(self, exchange: Exchange, work: Awaitable[None]) -> Coroutine[None, None, None]: ...


class ShortWay:
    """Begins requests that can go the short way. One per application."""

    def __init__(self, front: Record, guard: Guard, handler: MessagesHandler) -> None:
        self.front = front
        self.handler = handler
        self._guard = guard

    def begin(
        self, known: KnownHead, body: bytes, cycle: Callable[[], DirectCycle], start: StartTask
    ) -> "ShortAnswer | None":
        """Serve a request, on a ``cycle`` that is made for it. ``None``, and nothing has
        happened, when it has to go the ordinary way. ``start`` starts the server's tasks.
        """
        caller = self._admitted(known)
        if caller is None:
            return None
        record = RequestRecord(request_id())
        answer = self.handler.at_once(body, caller, record, known.headers)
        if answer is None:
            return None
        exchange = DirectExchange(cycle(), record, known.headers)
        exchange.route = MESSAGES
        exchange.caller = caller
        record.caller = caller.name
        exchange.describe()
        self.front.began()
        short = ShortAnswer(self, exchange, answer, start)
        short.send()
        return short

    def _admitted(self, known: KnownHead) -> Caller | None:
        """Whose request it is, by checks that need no second look at the same bytes as long as
        keys and settings are the same.
        """
        state = self._guard.state()
        if known.admitted != state:
            known.admitted = state
            exchange = Exchange(known.scope, _nothing, _nothing, RequestRecord(""), known.headers)
            try:
                self._guard.check_source(exchange)
                known.caller = self._guard.admit(exchange, Access.CALLER)
            except Refusal:
                known.caller = None
        return known.caller


class ShortAnswer:
    """One request on the short way, until it is answered or a task takes over."""

    def __init__(
        self, way: ShortWay, exchange: DirectExchange, answer: Answer, start: StartTask
    ) -> None:
        self._way = way
        self._exchange = exchange
        self._answer = answer
        self._start = start
        self._ended = False

    def send(self) -> None:
        """Send the request up."""
        try:
            sent = self._answer.send_now()
        except Exception as error:  # noqa: BLE001 - a fault, or a bug, told where all are
            self._give_up(error)
            return
        if not sent or self._answer.streams:
            self.hand_over()
            return
        self._exchange.when_gone(self._gone)
        self._answer.when_sent_has(self._ready)

    def hand_over(self) -> None:
        """Let a task go on, if the request has not ended."""
        if not self._ended:
            self._pass_to(self._way.handler.conclude(self._exchange, self._answer))

    def _pass_to(self, work: Awaitable[None]) -> None:
        self._leave()
        self._start(self._way.front.carry(self._exchange, work))

    def _leave(self) -> None:
        """Nothing more is done here."""
        self._ended = True
        self._answer.when_sent_has(None)
        self._exchange.when_gone(None)

    def _ready(self) -> None:
        """Something of the answer has come."""
        try:
            message = self._answer.whole_now()
            body = None if message is None else _encode(message)
            notes = notes_header(self._answer.notes.entries)
        except Exception as error:  # noqa: BLE001 - a bug, told where all are
            self._give_up(error)
            return
        if body is None:
            self.hand_over()
            return
        self._leave()
        self._answer.close_now()
        self._exchange.record.outcome = Outcome.SERVED
        self._exchange.reply_now(200, body, notes)
        self._way.front.ended(self._exchange)

    def _give_up(self, error: Exception) -> None:
        """Let a task answer the failure."""
        self._answer.close_now()
        self._pass_to(_raising(error))

    def _gone(self) -> None:
        """The client has left."""
        self._leave()
        self._answer.close_now()
        record = self._exchange.record
        record.outcome, record.status = Outcome.GONE, CLIENT_CLOSED_REQUEST
        self._way.front.ended(self._exchange)


async def _raising(error: Exception) -> None:
    raise error


async def _nothing(*_arguments: object) -> Any:
    """Stands for a connection that is not used."""
