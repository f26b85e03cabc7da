"""The outermost layer: one exchange and one record per request, and an answer whatever happens."""

import asyncio
from collections.abc import Awaitable

from starlette.types import ASGIApp

from deepseek_messages.telemetry.logs import log_request
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.web.direct import DirectExchange
from deepseek_messages.web.errors import (
    CLIENT_CLOSED_REQUEST,
    STOPPING,
    answer_error,
    envelope,
)
from deepseek_messages.web.exchange import ClientGoneError, Exchange, Receive, Scope, Send
from deepseek_messages.web.guard import Guard
from deepseek_messages.web.ids import request_id
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.paths import normalise
from deepseek_messages.web.short import ShortWay


class Front:
    """The ASGI application."""

    def __init__(
        self,
        router: ASGIApp,
        guard: Guard,
        metrics: Metrics,
        messages: ASGIApp | None = None,
        handler: MessagesHandler | None = None,
    ) -> None:
        self._router = router
        self._messages = messages or router  # where the router would lead a direct request
        self._guard = guard
        self._metrics = metrics
        self.short = ShortWay(self, guard, handler) if handler is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of an ASGI server."""
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "lifespan":
                await self._router(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1000, "reason": ""})
            case other:
                raise ValueError(f"unknown ASGI scope {other!r}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = RequestRecord(request_id())
        exchange: Exchange
        if (cycle := scope.get("direct")) is not None:
            exchange = DirectExchange(cycle, record)
        else:
            exchange = Exchange(scope, receive, send, record)
            scope["app"] = self  # makes the router raise its 404 and 405 instead of answering them
            scope["path"] = normalise(scope["path"])
        scope["exchange"] = exchange
        exchange.describe()
        self.began()
        await self.carry(exchange, self._route(exchange))

    def began(self) -> None:
        """A request has begun; ``ended`` follows."""
        self._metrics.open_requests += 1

    def ended(self, exchange: Exchange) -> None:
        """Tell a request's record."""
        record = exchange.record
        record.mark_ended()
        self._metrics.open_requests -= 1
        self._metrics.observe(record, exchange.route)
        log_request(record)

    async def carry(self, exchange: Exchange, work: Awaitable[None]) -> None:
        """Do the ``work`` of a request that has begun, answer its failure, and end it."""
        try:
            await self._answer(exchange, work)
        finally:
            self.ended(exchange)

    async def _route(self, exchange: Exchange) -> None:
        self._guard.check_source(exchange)
        if self._guard.is_preflight(exchange):
            await _allow(exchange)
        else:
            app = self._messages if "direct" in exchange.scope else self._router
            await app(exchange.scope, exchange.receive, exchange.send)

    async def _answer(self, exchange: Exchange, work: Awaitable[None]) -> None:
        record = exchange.record
        try:
            await work
            record.outcome = record.outcome or Outcome.SERVED
        except ClientGoneError:
            record.outcome = Outcome.GONE
            record.status = record.status or CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:
            # The server stops and has waited long enough. The task ends here anyway.
            record.outcome, record.error_type = Outcome.STOPPED, STOPPING.type
            if not exchange.started:
                await exchange.reply(529, envelope(STOPPING, record.request_id))
        except Exception as error:
            if exchange.started:
                record.outcome = Outcome.BUG
                raise
            await answer_error(exchange, error)


async def _allow(exchange: Exchange) -> None:
    """Answer a browser's question whether it may call. Its origin was found allowed."""
    exchange.route = "preflight"
    wanted = exchange.headers.get("access-control-request-headers", "*")
    await exchange.start(
        204,
        [
            (b"access-control-allow-methods", b"GET, POST"),
            (b"access-control-allow-headers", wanted.encode("latin-1")),
            (b"access-control-max-age", b"600"),
        ],
    )
    await exchange.write(b"", last=True)
