"""How long a client may leave its answer unread.

Of what a slow client takes the transport hears late: the system asks for more only when it has room
for some ten thousand bytes, and meanwhile the answer goes on. How much has arrived, it says itself.
"""

import asyncio
import socket
import struct
import sys

# How often a client that does not read is looked at within the time it is given.
LOOKS = 4

# Bytes that the peer's system has taken: ``tcpi_bytes_acked`` of Linux' ``struct tcp_info``.
_ARRIVED = struct.Struct("=120xQ")


class UnreadWatch:
    """Cuts a client off that took nothing at all for ``patience`` seconds; a slow one may go on.
    Its clock runs only while something waits for the client.
    """

    __slots__ = ("_arrived", "_clock", "_looks", "_loop", "_patience", "_transport", "_unread")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, patience: float
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._patience = patience
        self._clock: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes that waited when it was last looked
        self._arrived = 0  # bytes that had been taken then
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
        self._arrived = _arrived(self._transport)
        self._looks = 0
        self._look_again()

    def _look_again(self) -> None:
        self._clock = self._loop.call_later(self._patience / LOOKS, self._look)

    def _look(self) -> None:
        self._clock = None
        unread = self._transport.get_write_buffer_size()
        if not unread:
            return
        if unread < self._unread or _arrived(self._transport) > self._arrived:
            self._begin(unread)
            return
        self._looks += 1
        if self._looks < LOOKS:
            self._look_again()
        else:
            self._transport.abort()


def _arrived(transport: asyncio.Transport) -> int:
    """Bytes of the connection that the peer has taken so far; 0 where the system does not tell."""
    if sys.platform != "linux" or (sock := transport.get_extra_info("socket")) is None:
        return 0
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ARRIVED.size)
    except OSError:  # no TCP
        return 0
    return int(_ARRIVED.unpack(told)[0]) if len(told) == _ARRIVED.size else 0  # a kernel before 4.1
