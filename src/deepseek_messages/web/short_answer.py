"""One request on the short way (``short``), until it is answered or a task takes over."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from msgspec.json import Encoder

from deepseek_messages.service.answer import Answer
from deepseek_messages.telemetry.record import Outcome
from deepseek_messages.web.direct import DirectExchange
from deepseek_messages.web.errors import CLIENT_CLOSED_REQUEST
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.notes import notes_header

_encode = Encoder().encode

StartTask = Callable[[Coroutine[None, None, None]], object]


class Record(Protocol):
    """What tells of requests, and carries those that take a task (``Front``)."""

    def began(self) -> None: ...

    def ended(self, exchange: Exchange) -> None: ...

    def carry(self, exchange: Exchange, work: Awaitable[None]) -> Coroutine[None, None, None]: ...


class ShortAnswer:
    """An answer that is sent as a whole. ``start`` starts the server's tasks."""

    def __init__(
        self,
        record: Record,
        handler: MessagesHandler,
        exchange: DirectExchange,
        answer: Answer,
        start: StartTask,
    ) -> None:
        self._record = record
        self._handler = handler
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
        if not sent:
            self.hand_over()
            return
        self._exchange.when_gone(self._gone)
        self._answer.when_sent_has(self._ready)

    def hand_over(self) -> None:
        """Let a task go on, if the request has not ended."""
        if not self._ended:
            self._pass_to(self._handler.conclude(self._exchange, self._answer))

    def _pass_to(self, work: Awaitable[None]) -> None:
        self._leave()
        self._start(self._record.carry(self._exchange, work))

    def _leave(self) -> None:
        """Nothing more is done here."""
        self._ended = True
        self._answer.tell_nobody()
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
        self._exchange.reply_now(200, body, notes)
        self._end(Outcome.SERVED)

    def _end(self, outcome: Outcome) -> None:
        """Release everything, and tell the record."""
        self._leave()
        self._answer.close_now()
        record = self._exchange.record
        record.outcome = record.outcome or outcome
        self._record.ended(self._exchange)

    def _give_up(self, error: Exception) -> None:
        """Let a task answer the failure."""
        self._answer.close_now()
        self._pass_to(_raising(error))

    def _gone(self) -> None:
        """The client has left."""
        record = self._exchange.record
        record.status = record.status or CLIENT_CLOSED_REQUEST
        self._end(Outcome.GONE)


async def _raising(error: Exception) -> None:
    raise error
