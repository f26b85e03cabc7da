"""From a path to its handler. Every route says who may use it; there is no default."""

from collections.abc import Sequence

from msgspec import Struct
from starlette.routing import Route, Router
from starlette.types import Lifespan

from deepseek_messages.web.exchange import Exchange, Handler, Receive, Scope, Send
from deepseek_messages.web.guard import Access, Guard


class Endpoint(Struct, frozen=True):
    """A row of the table of routes. ``GET`` includes ``HEAD``."""

    methods: tuple[str, ...]
    path: str
    access: Access
    handler: Handler


class Door:
    """Lets a caller through to one handler, or not."""

    def __init__(self, endpoint: Endpoint, guard: Guard) -> None:
        self._endpoint = endpoint
        self._guard = guard

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        exchange: Exchange = scope["exchange"]
        exchange.route = self._endpoint.path
        exchange.caller = self._guard.admit(exchange, self._endpoint.access)
        exchange.record.caller = exchange.caller.name
        await self._endpoint.handler(exchange)


def router(endpoints: Sequence[Endpoint], guard: Guard, lifespan: Lifespan[object]) -> Router:
    """The router. It raises Starlette's ``HTTPException`` for 404 and 405."""
    return Router(
        [
            Route(endpoint.path, Door(endpoint, guard), methods=list(endpoint.methods))
            for endpoint in endpoints
        ],
        redirect_slashes=False,
        lifespan=lifespan,
    )
