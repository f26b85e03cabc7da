"""How long a client may leave its answer unread."""

import asyncio

# How often a client that does not read is looked at within the time it is given.
LOOKS = 4


class UnreadWatch:
    """Cuts a client off that took nothing at all for ``patience`` seconds; a slow one may go on.
    Its clock runs only while something waits for the client.
    """

    __slots__ = ("_clock", "_looks", "_loop", "_patience", "_transport", "_unread")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._patience = patience
        self._clock: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes that waited when it was last looked
        self._looks = 0  # how often nothing had been taken

    def watch(self) -> None:
        """See that what waits for the client is taken."""
        if self._clock is None and (unread := self._transport.get_write_buffer_size()):
            self._begin(unread)

    def stop(self) -> None:
        """Look no longer."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _begin(self, unread: int) -> None:
        self._unread = unread
        self._looks = 0
        self._look_again()

    def _look_again(self) -> None:
        self._clock = self._loop.call_later(self._patience / LOOKS, self._look)

    def _look(self) -> None:
        self._clock = None
        unread = self._transport.get_write_buffer_size()
        if not unread:
            return
        if unread < self._unread:
            self._begin(unread)
            return
        self._looks += 1
        if self._looks < LOOKS:
            self._look_again()
        else:
            self._transport.abort()
