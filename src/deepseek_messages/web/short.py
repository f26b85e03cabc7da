"""The shortest way of a request for messages: from the client's bytes to the upstream's connection
and back in the event loop's own calls, without a task.

It goes as far as nothing has to be waited for. A request is checked, translated and sent up at
once. A whole answer that comes in one piece (``short_answer``) is translated and sent down at
once, and the events of a stream (``short_stream``) as its bytes come. Wherever something else
happens, a task takes over from there (``Front.carry``) and does what it does for any request:
answers in pieces, slow upstreams, failures, a stopping server. What is to be refused is not even
begun here.
"""

from collections.abc import Callable
from typing import Any

from deepseek_messages.service.callers import Caller
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.direct import DirectCycle, DirectExchange
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.guard import Access, Guard
from deepseek_messages.web.ids import request_id
from deepseek_messages.web.known_head import KnownHead
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.paths import MESSAGES
from deepseek_messages.web.short_answer import Record, ShortAnswer, StartTask
from deepseek_messages.web.short_stream import ShortStream


class ShortWay:
    """Begins requests that can go the short way. One per application."""

    def __init__(self, front: Record, guard: Guard, handler: MessagesHandler) -> None:
        self._front = front
        self._handler = handler
        self._guard = guard

    def begin(
        self, known: KnownHead, body: bytes, cycle: Callable[[], DirectCycle], start: StartTask
    ) -> ShortAnswer | None:
        """Serve a request, on a ``cycle`` that is made for it. ``None``, and nothing has
        happened, when it has to go the ordinary way. ``start`` starts the server's tasks.
        """
        caller = self._admitted(known)
        if caller is None:
            return None
        record = RequestRecord(request_id())
        try:
            answer = self._handler.at_once(body, caller, record, known.headers)
        except Exception:  # noqa: BLE001 - a bug, which the ordinary way meets too, and tells
            return None
        if answer is None:
            return None
        exchange = DirectExchange(cycle(), record, known.headers)
        exchange.route = MESSAGES
        exchange.caller = caller
        record.caller = caller.name
        exchange.describe()
        self._front.began()
        kind = ShortStream if answer.streams else ShortAnswer
        short = kind(self._front, self._handler, exchange, answer, start)
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


async def _nothing(*_arguments: object) -> Any:
    """Stands for a connection that is not used."""
