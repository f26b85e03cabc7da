"""Whether a client is still there while nothing is read from it.

Reading stops while a second request waits behind one that is being answered, and a connection that
is not read does not tell of its end: the system knows it, and has to be asked. It does not know
while more than it has room for is still on the way.
"""

import asyncio
import select

from uvicorn.protocols.http.flow_control import FlowControl

# Seconds between two looks: what an upstream writes in vain meanwhile is little.
LOOK_EVERY = 1.0

# The peer closed, or sent its last byte: Linux only. A loop that reads tells both alike.
_LEFT = getattr(select, "POLLRDHUP", None)


class WatchedFlow(FlowControl):
    """Of a connection: one whose client leaves while reading is paused is ended here."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(transport)
        self._loop = loop
        self._clock: asyncio.TimerHandle | None = None

    def pause_reading(self) -> None:
        """Read nothing for now."""
        super().pause_reading()
        if self._clock is None and _LEFT is not None:
            self._look_later()

    def resume_reading(self) -> None:
        """Read on, which tells of the client's leaving, too."""
        super().resume_reading()
        self.stop()

    def stop(self) -> None:
        """Look no longer."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _look_later(self) -> None:
        self._clock = self._loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._clock = None
        if self._transport.is_closing():
            return
        if _has_left(self._transport):
            self._transport.close()  # as at an end that was read
        else:
            self._look_later()


def _has_left(transport: asyncio.Transport) -> bool:
    assert _LEFT is not None
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), _LEFT)
    return bool(poll.poll(0))
