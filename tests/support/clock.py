"""A loop whose clock a test can move on: silence ends at once, and nothing else is ever late.

    with raw_upstream(script, on_silence=loop.on_silence) as server:
        async with connected(server.url, idle_timeout=20.0) as upstream: ...

Deadlines can be long then, so that a slow machine breaks none, and yet nobody waits for them.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, NamedTuple

import uvloop

from tests.support.gates import Gate

# For ``serve_app`` and uvicorn.
SKIPPING = "tests.support.clock:SkippingLoop"

# Rounds of the loop in which everything that has arrived is read, and what follows from it done.
ROUNDS = 100


# Seconds that tests jump where the peer says nothing any more: longer than their deadlines.
PAST_DEADLINES = 30.0


class Skip:
    """A jump of the clock that is asked for. ``cancel`` it from any thread."""

    def __init__(self) -> None:
        self.cancelled = False
        self.done = Gate()

    def cancel(self) -> None:
        self.cancelled = True


class _Timer(NamedTuple):
    due: float
    fire: Callable[[], None]
    context: Context


class SkippingLoop(uvloop.Loop):
    """The server's own kind of loop, with timers that ``skip`` makes due."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped = 0.0
        self._timers: dict[asyncio.TimerHandle, _Timer] = {}

    def time(self) -> float:
        return super().time() + self._skipped

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        for cancelled in [each for each in self._timers if each.cancelled()]:
            del self._timers[cancelled]

        def fire() -> None:
            if self._timers.pop(handle, None) is not None:
                callback(*args)

        context = context or copy_context()
        handle = super().call_later(delay, fire, context=context)
        self._timers[handle] = _Timer(self.time() + delay, fire, context)
        return handle

    def skip(self, seconds: float) -> Skip:
        """Move the clock on by ``seconds`` once all is done that there is to do. Any thread may
        call it.
        """
        asked = Skip()
        self.call_soon_threadsafe(self._rest, asked, seconds, ROUNDS)
        return asked

    def on_silence(self, seconds: float = PAST_DEADLINES) -> Skip:
        """As ``skip``: what a peer calls that says nothing for so long."""
        return self.skip(seconds)

    def _rest(self, asked: Skip, seconds: float, rounds: int) -> None:
        if asked.cancelled:
            return
        if rounds:
            self.call_soon(self._rest, asked, seconds, rounds - 1)
            return
        self._skipped += seconds
        due = [each for each in self._timers.items() if each[1].due <= self.time()]
        for handle, timer in sorted(due, key=lambda each: each[1].due):
            if not handle.cancelled():
                handle.cancel()
                timer.context.run(timer.fire)
        asked.done.set()
