"""Whether the server lives, whether it can serve, and the small answers clients probe for."""

import msgspec

from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.guard import Guard

_encode = msgspec.json.Encoder().encode

ALIVE = _encode({"status": "ok"})
HELLO = _encode({"name": "deepseek-messages", "api": "Anthropic Messages"})


async def alive(exchange: Exchange) -> None:
    """``GET /healthz``: the process runs and answers."""
    await exchange.reply(200, ALIVE)


async def hello(exchange: Exchange) -> None:
    """``HEAD`` and ``GET`` on the base and ``/api/hello``, which Claude Code asks at its start."""
    await exchange.reply(200, HELLO)


class ReadyHandler:
    """``GET /readyz``: 200 when the upstream can be used, else 503. Why not is told to operators
    only: it names hosts and files.
    """

    def __init__(self, upstream: Upstream, guard: Guard) -> None:
        self._upstream = upstream
        self._guard = guard

    async def __call__(self, exchange: Exchange) -> None:
        """Ask the upstream."""
        readiness = await self._upstream.readiness()
        body: dict[str, object] = {"ready": readiness.ready}
        if readiness.reason and self._guard.is_operator(exchange):
            body["reason"] = readiness.reason
        await exchange.reply(200 if readiness.ready else 503, _encode(body))
