"""An event that threads and coroutines can both wait for."""

import asyncio
import threading
import time
from collections.abc import Callable

WAIT_SECONDS = 120.0  # only ever reached by a test that fails


class Gate(threading.Event):
    """A ``threading.Event`` that a coroutine of any loop can await without a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], None]] = []
        self._guard = threading.Lock()

    def set(self) -> None:
        with self._guard:
            super().set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    async def opened(self) -> None:
        """Return once the gate is set."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(lambda: waiting.done() or waiting.set_result(None))

        with self._guard:
            if self.is_set():
                return
            self._callbacks.append(wake)
        try:
            await waiting
        finally:
            with self._guard:
                if wake in self._callbacks:
                    self._callbacks.remove(wake)

    def require(self, what: str = "it") -> None:
        """Wait from a thread; fail the test if it never comes."""
        assert self.wait(WAIT_SECONDS), f"{what} did not happen"


def wait_until(true: Callable[[], bool]) -> None:
    """Wait in a thread for what nobody tells; fail the test if it never comes."""
    end = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
