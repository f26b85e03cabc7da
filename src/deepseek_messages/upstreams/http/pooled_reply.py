"""The answer that is being read from a connection of the pool (``http_connection``)."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import (
    LINGER_TIMEOUT,
    MAX_UPSTREAM_HEAD_BYTES,
    STALE_WITHIN,
)
from deepseek_messages.upstreams.http import faults as http_faults
from deepseek_messages.upstreams.http.coding import Inflater
from deepseek_messages.upstreams.http.reply import KNOWN_CODINGS, Deadlines, read_up_to

# Bytes of a body that wait to be read before the network has to wait (as asyncio's streams have
# it). uvloop reads up to 250 KiB at a time on top of them.
HIGH_WATER = 64 * 1024

_NEVER = float("inf")


class StaleError(Exception):
    """A kept connection was already dead when the request went out."""


class Line(Protocol):
    """The connection, as its answer sees it."""

    feeding: bool
    paused_writing: bool

    def abort(self, fault: Fault | None = None) -> None: ...

    def expire_at(self, when: float) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class PooledReply:
    """An ``HttpReply`` whose bytes come from a ``Connection``."""

    __slots__ = (
        "_begun",
        "_connection",
        "_content_by",
        "_fault",
        "_head_size",
        "_inflater",
        "_kept",
        "_limits",
        "_loop",
        "_paused",
        "_pieces",
        "_settled",
        "_stale",
        "_tell",
        "_waiter",
        "ended",
        "fields",
        "has_head",
        "origin",
        "status",
        "unread",
    )

    def __init__(
        self,
        connection: Line,
        origin: str,
        limits: Deadlines,
        first_by: float,
        loop: asyncio.AbstractEventLoop,
        *,
        kept: bool,
    ) -> None:
        self.status = 0
        self.origin = origin
        self.fields: dict[bytes, bytes] = {}
        self.has_head = False
        self._connection = connection
        self._limits = limits
        self._content_by = first_by
        self._begun = False  # content has come
        self._loop = loop
        self._kept = kept  # the connection was used before
        self._stale = False
        self._head_size = 0
        self._pieces: list[bytes] = []
        self.unread = 0  # bytes that came since the reader took what there was
        self._paused = False
        self._settled = False
        self.ended = False
        self._fault: Fault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._tell: Callable[[], None] | None = None
        self._inflater: Inflater | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each field; names in lower case."""
        return {
            name.decode("latin-1"): value.decode("latin-1") for name, value in self.fields.items()
        }

    # --- for the reader ---------------------------------------------------------------------------

    async def wait_head(self) -> None:
        """Return once status and headers are there. Raises ``Fault``, ``StaleError``."""
        while not self.has_head:
            self._raise_failure()
            await self._wait()

    async def wait_room(self) -> None:
        """Return once more of the request can be sent, or the answer has begun."""
        while self._connection.paused_writing and not self.has_head:
            self._raise_failure()
            await self._wait()
        self._raise_failure()

    def begun(self) -> None:
        """Content has come: from now on only the time until there is more is limited."""
        self._begun = True
        self._content_by = self._loop.time() + self._limits.idle

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end of the body."""
        while (data := self.read_now()) is None:
            await self._wait()
        return data

    def read_now(self) -> bytes | None:
        """As ``read``; ``None`` where that would wait."""
        while True:
            if self._pieces:
                data = self._take()
                if self._inflater is not None:
                    data = self._inflated(data)
                if data:
                    return data
            elif self._inflater is not None and self._inflater.more:
                if data := self._inflated(b""):
                    return data
            elif self.ended:
                return self._last()
            else:
                self._raise_failure()
                self._connection.expire_at(self._content_by)
                return None

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """Call ``tell`` whenever ``read_now`` has something: once for all that came together."""
        self._tell = tell
        return True

    def peek(self) -> bytes:
        """What ``read_now`` would give; nothing where that may not be what was received."""
        pieces = self._pieces
        if not pieces or self._inflater is not None or self._paused:
            return b""
        if len(pieces) > 1:
            pieces[:] = [b"".join(pieces)]
        return pieces[0]

    def relay_now(self, relay: Relay) -> bytes | None:
        """What ``relay`` makes of what ``peek`` shows, which is content and is taken with it;
        ``None``, and nothing is taken, if it makes nothing of it.
        """
        if self.ended or self._fault is not None:
            return None  # it was told together with the content, and is not told again
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else self.peek()
        if not data or self._inflater is not None or self._paused:
            return None
        frames = relay.take(data)
        if frames is not None:
            pieces.clear()
            self.unread = 0
            self._begun = True
            self._content_by = self._loop.time() + self._limits.idle
            self._connection.expire_at(self._content_by)
        return frames

    async def read_all(self, limit: int) -> bytes:
        """The whole body up to ``limit`` bytes; one byte more when it is longer."""
        return await read_up_to(self, limit)

    def close(self) -> None:
        """Drop the connection at once unless the whole body was read. May be called again; nobody
        is told of it.
        """
        self._tell = None
        if not self.ended and self._fault is None:
            self._connection.abort()

    def settle(self) -> None:
        """Let the few bytes that end the body arrive in their own time."""
        if not self.ended and not self._settled:
            self._settled = True
            self._content_by = self._loop.time() + LINGER_TIMEOUT
            self._connection.expire_at(self._content_by)
            self._take()

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.unread = 0
        if self._paused:
            self._paused = False
            self._connection.resume_reading()
        return data

    def _inflated(self, data: bytes) -> bytes:
        assert self._inflater is not None
        try:
            return self._inflater.feed(data)
        except ValueError as error:
            raise self._miscoded() from error

    def _last(self) -> bytes:
        if self._inflater is not None and not self._inflater.whole:
            raise self._miscoded()
        return b""

    def _miscoded(self) -> Fault:
        return http_faults.garbage_fault(
            self.origin, "a body that does not fit its content encoding"
        )

    def _raise_failure(self) -> None:
        if self._stale:
            raise StaleError
        if self._fault is not None:
            raise self._fault

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # --- for the connection -----------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed. While the parser is at work, all it finds is told at its end."""
        if self._connection.feeding:
            return
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
        elif self._tell is not None:
            self._tell()

    def room(self) -> None:
        """The server takes more of the request: nothing for who is told of the answer."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def put(self, pieces: list[bytes]) -> None:
        """Pieces of the body."""
        if not self._settled:
            self._pieces += pieces

    def received(self, size: int, pieces: Sequence[bytes]) -> None:
        """The parser is done with ``size`` bytes, and has told what it found in them, but for these
        ``pieces`` of the body.
        """
        if pieces and not self._settled:
            self._pieces += pieces
        self._kept = False  # the connection was alive when the request went out
        self.unread += size
        if not self.has_head:
            self._head_size += size
            if self._head_size > MAX_UPSTREAM_HEAD_BYTES:
                self._connection.abort(http_faults.garbage_fault(self.origin, "endless headers"))
        if self._waiter is not None:
            self.wake()
        elif self._tell is not None and (self._pieces or self.ended or self._fault is not None):
            self._tell()
        if self.unread > HIGH_WATER and self._pieces and not self._paused and not self.ended:
            self._paused = True  # not beyond the end: the connection may be another answer's now
            self._connection.pause_reading()

    def head(self, status: int) -> None:
        """Status and headers are there."""
        self.status = status
        self.has_head = True
        coding = self.fields.get(b"content-encoding")
        if coding is not None:
            self._decode(coding.decode("latin-1").strip().lower())

    def _decode(self, coding: str) -> None:
        if coding not in KNOWN_CODINGS:
            fault = http_faults.garbage_fault(self.origin, "an unknown content encoding")
            self._connection.abort(fault)
        elif coding not in {"", "identity"}:
            self._inflater = Inflater()

    def end(self) -> None:
        """The body is whole."""
        self.ended = True
        self.wake()

    def lost(self) -> None:
        """The connection ended before the answer did."""
        asked = self._content_by - self._limits.first_byte  # as long as nothing came
        self._stale = self._kept and self._loop.time() < asked + STALE_WITHIN
        self.fail(http_faults.cut_fault(self.origin))

    def fail(self, fault: Fault) -> None:
        """The answer will not become whole."""
        self._fault = self._fault or fault
        self.wake()

    @property
    def deadline(self) -> float:
        """By when something has to come, by the loop's clock. There is none while something waits
        to be read: then it is the reader who is slow.
        """
        return _NEVER if self._pieces else self._content_by

    def overdue(self) -> Fault:
        """The deadline has passed."""
        if self._begun:
            return http_faults.idle_timeout(self.origin, self._limits.idle)
        return http_faults.first_byte_timeout(self.origin, self._limits.first_byte)
