"""The bridge from an engine thread to the event loop: bounded, in batches, cancelled from
either side.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress

from deepseek_messages.translation.faults import Fault
from deepseek_messages.wire.chat import ChatChunk

# Chunks that wait for the reader before the engine thread waits too: some seconds of the
# fastest models, a few hundred KB.
MAX_WAITING = 1024
LOOK_SECONDS = 0.1


class Feed:
    """One answer on its way. The engine's thread calls ``accept``, ``put``, ``end`` and ``fail``;
    the event loop calls ``accepted``, ``take`` and ``cancel``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._room = threading.Condition()
        self._news = asyncio.Event()
        self._told = False  # the loop was told and has not looked yet
        self._chunks: list[ChatChunk] = []
        self._begun = False
        self._over = False
        self._fault: Fault | None = None
        self._cancelled = False

    # --- the engine's thread

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the rest: the reader has gone, or the program is ending."""
        return self._cancelled or not threading.main_thread().is_alive()

    def accept(self) -> None:
        """A slot has taken the request."""
        with self._room:
            self._begun = True
            self._tell()

    def put(self, chunk: ChatChunk) -> None:
        """Hand over a chunk; waits while too many are unread, until there is room or the answer
        is cancelled.
        """
        with self._room:
            while len(self._chunks) >= MAX_WAITING and not self.cancelled:
                self._room.wait(LOOK_SECONDS)
            self._begun = True
            self._chunks.append(chunk)
            self._tell()

    def end(self) -> None:
        """The answer is whole."""
        with self._room:
            self._over = True
            self._tell()

    def fail(self, fault: Fault) -> None:
        """The answer ends here, with a fault."""
        with self._room:
            self._fault = self._fault or fault
            self._over = True
            self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop is closed: nobody listens
                self.loop.call_soon_threadsafe(self._news.set)

    # --- the event loop

    async def accepted(self) -> None:
        """Returns once a slot has taken the request. Raises the ``Fault`` that came instead."""
        while not (self._begun or self._over):
            await self._wait()
        if self._fault and not self._chunks:
            raise self._fault

    async def take(self) -> Sequence[ChatChunk]:
        """The chunks that have arrived, at least one; none when the answer is over. Raises the
        ``Fault`` that ended it, after the chunks before it.
        """
        while True:
            with self._room:
                chunks, self._chunks = self._chunks, []
                self._room.notify()
                if chunks:
                    return chunks
                if self._fault:
                    raise self._fault
                if self._over or self._cancelled:
                    return []
            await self._wait()

    async def take_all(self) -> Sequence[ChatChunk]:
        """The whole answer as one batch; none when it was taken before. Raises the ``Fault`` that
        ended it, after the chunks before it: they were paid for.
        """
        whole: list[ChatChunk] = []
        try:
            while chunks := await self.take():
                whole += chunks
        except Fault:
            if not whole:
                raise
        return whole

    def cancel(self) -> None:
        """Stop the engine at its next look; a pending ``take`` ends."""
        with self._room:
            self._cancelled = True
            self._room.notify_all()
        self._news.set()

    async def _wait(self) -> None:
        await self._news.wait()
        with self._room:
            self._news.clear()
            self._told = False
