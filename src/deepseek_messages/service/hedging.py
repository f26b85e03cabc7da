"""One request at two upstreams: whoever speaks first answers, the other one is closed at once.

Only the opening is raced, and an upstream of a pool is open when its model has spoken: nothing
has reached the client yet, and what the loser would have said is never read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from deepseek_messages.service.tasks import spawn, stop
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import ChatStream, Upstream, UpstreamCall
from deepseek_messages.upstreams.route import Route


class Asked(Protocol):
    """A request, translated for one upstream."""

    @property
    def upstream(self) -> Upstream: ...

    @property
    def call(self) -> UpstreamCall: ...


A = TypeVar("A", bound=Asked)
Opened = tuple[A, ChatStream]
# ``None``: that one could not be asked.
Opening = asyncio.Task[Opened[A] | Fault | None]


async def open_hedged(
    first: A, route: Route, translate: Callable[[Upstream], Awaitable[A | None]]
) -> Opened[A]:
    """Open ``first``; when ``route`` names a second upstream meanwhile, what ``translate`` makes
    of the request for that one, too. Gives the one that is open; raises the ``Fault`` of
    ``first`` when there is none.
    """
    opening = spawn(_open(first), "ask-upstream")
    try:
        other = await _patience(opening, route)
        if other is None:
            return _won(await opening)
        return await _race(opening, spawn(_open_second(other, translate), "ask-second"), route)
    except BaseException:
        await _give_up(opening)
        raise


async def _patience(opening: Opening[A], route: Route) -> Upstream | None:
    """Whom to ask as well, unless ``opening`` has ended before its time was up."""
    waiting = spawn(route.hedge(), "hedge")
    try:
        await asyncio.wait((opening, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await stop(waiting)
    return None if waiting.cancelled() else waiting.result()


async def _race(opening: Opening[A], second: Opening[A], route: Route) -> Opened[A]:
    try:
        pending = {opening, second}
        while pending:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task, loser in ((opening, second), (second, opening)):
                if task.done() and isinstance(opened := task.result(), tuple):
                    waits = not loser.done()
                    await _give_up(loser)
                    route.settle(opened[0].upstream, other_waits=waits)
                    return opened
    except BaseException:
        await _give_up(second)
        raise
    route.settle(route.upstream, other_waits=False)
    return _won(opening.result())


async def _open(attempt: A) -> Opened[A] | Fault:
    try:
        return attempt, await attempt.upstream.open(attempt.call)
    except Fault as fault:
        return fault


async def _open_second(
    other: Upstream, translate: Callable[[Upstream], Awaitable[A | None]]
) -> Opened[A] | Fault | None:
    attempt = await translate(other)
    return None if attempt is None else await _open(attempt)


def _won(ended: Opened[A] | Fault | None) -> Opened[A]:
    if isinstance(ended, Fault):
        raise ended
    assert ended is not None, "the first one is always asked"
    return ended


async def _give_up(opening: Opening[A]) -> None:
    """Stop it, and close what it has opened, also when the caller is cancelled meanwhile."""
    await asyncio.shield(spawn(_closed(opening), "give-up"))


async def _closed(opening: Opening[A]) -> None:
    await stop(opening)
    if opening.cancelled() or opening.exception() is not None:
        return
    if isinstance(ended := opening.result(), tuple):
        await ended[1].aclose()
