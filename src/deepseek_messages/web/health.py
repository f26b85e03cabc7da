"""Whether the server lives, whether it can serve, and the small answers clients probe for."""

import msgspec

from deepseek_messages.upstreams.base import Readiness
from deepseek_messages.upstreams.switch import Switch
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

    def __init__(self, upstream: Switch, guard: Guard) -> None:
        self._upstream = upstream
        self._guard = guard

    async def __call__(self, exchange: Exchange) -> None:
        """Ask the upstream."""
        readiness = await self._upstream.readiness()
        body: dict[str, object] = {"ready": readiness.ready}
        if self._guard.is_operator(exchange):
            body |= self._for_operators(readiness)
        await exchange.reply(200 if readiness.ready else 503, _encode(body))

    def _for_operators(self, readiness: Readiness) -> dict[str, object]:
        said: dict[str, object] = {"reason": readiness.reason} if readiness.reason else {}
        members = [
            {"name": each.name, "health": each.health.value, "open": each.load, "why": each.reason}
            for each in self._upstream.states()
        ]
        return said | ({"upstreams": members} if members else {})
