"""One connection to an upstream, and the answer that is being read from it.

    IDLE ──begin──▶ HEAD ──headers──▶ BODY ──end──▶ IDLE, or closed

A connection gives one answer at a time. What arrives is kept in the answer until it is read; a
reader that does not keep up stops the reading from the network. One clock per connection serves
all deadlines, one after the other: it is set anew only when a deadline comes before the hour it
is set to, and looks at its firing whether anything is due.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import httptools

from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import LINGER_TIMEOUT, MAX_UPSTREAM_HEAD_BYTES
from deepseek_messages.upstreams import http_faults
from deepseek_messages.upstreams.http_coding import Inflater
from deepseek_messages.upstreams.http_reply import KNOWN_CODINGS, Deadlines, read_up_to

# Bytes of a body that wait to be read before the network has to wait.
HIGH_WATER = 256 * 1024

_NEVER = float("inf")


class StaleError(Exception):
    """A kept connection was already dead when the request went out."""


class Owner(Protocol):
    """Who keeps the connections."""

    def free(self, connection: "Connection") -> None: ...

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 as a client. ``closing`` says that it takes no further request."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._reply: PooledReply | None = None
        self._transport: asyncio.Transport | None = None
        self._until_close = False  # the body's end is the connection's
        self._answers = 0
        self._due = _NEVER
        self._clock: asyncio.TimerHandle | None = None
        self._clock_at = _NEVER
        self.feeding = False  # the parser is at work: what it finds is told once, afterwards
        self.sending = False  # the request is not out yet
        self.closing = False
        self.paused_writing = False

    # --- for the pool -----------------------------------------------------------------------------

    def begin(self, origin: str, limits: Deadlines, first_by: float) -> "PooledReply":
        """Expect an answer. The request has to be written now."""
        reply = PooledReply(self, origin, limits, first_by, self._loop, kept=self._answers > 0)
        self._reply = reply
        self.expire_at(first_by)
        return reply

    def write(self, data: bytes | memoryview) -> None:
        """Send a piece of the request."""
        if self._transport is not None and not self.closing:
            self._transport.write(data)

    def abort(self, fault: Fault | None = None) -> None:
        """Close without waiting for unsent bytes or a TLS farewell; ``fault`` goes to the reader
        of the answer.
        """
        self.closing = True
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.fail(fault or http_faults.cut_fault(reply.origin))
        if self._transport is not None:
            self._transport.abort()

    def expire_in(self, seconds: float) -> None:
        """Close so many seconds from now, unless told otherwise before."""
        self.expire_at(self._loop.time() + seconds)

    def expire_at(self, when: float) -> None:
        """Close at ``when``, unless told otherwise before."""
        self._due = when
        if when < self._clock_at:
            if self._clock is not None:
                self._clock.cancel()
            self._clock_at = when
            self._clock = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._clock, self._clock_at = None, _NEVER
        if self._loop.time() < self._due:
            self.expire_at(self._due)
        else:
            self.abort(self._reply.overdue() if self._reply is not None else None)

    def pause_reading(self) -> None:
        """Take nothing more from the network for now."""
        if self._transport is not None and not self.closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take on."""
        if self._transport is not None and not self.closing:
            self._transport.resume_reading()

    # --- the event loop's calls -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, and past the TLS handshake."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        reply = self._reply
        if reply is None:  # nothing was asked
            self.abort()
            return
        reply.heard(len(data))
        self.feeding = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort(http_faults.garbage_fault(reply.origin, "something that is not HTTP"))
        finally:
            self.feeding = False
        if reply.head_too_large:
            self.abort(http_faults.garbage_fault(reply.origin, "headers without end"))
        reply.tell()

    def eof_received(self) -> None:
        """The server will send nothing more; the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self.closing = True
        if self._clock is not None:
            self._clock.cancel()
        reply, self._reply = self._reply, None
        if reply is not None:
            if self._until_close and exc is None:
                reply.end()
            else:
                reply.lost()
        self._transport = None
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """The server takes no more of the request for now."""
        self.paused_writing = True

    def resume_writing(self) -> None:
        """It takes on."""
        self.paused_writing = False
        if self._reply is not None:
            self._reply.wake()

    # --- the parser's calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of an answer."""
        if self._reply is None:
            self.abort()  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header field, or a trailer field, which nobody wants."""
        reply = self._reply
        if reply is not None and not reply.has_head:
            reply.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Status and headers are there."""
        reply = self._reply
        if reply is None:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            reply.fields.clear()
            return
        fields = reply.fields
        self._until_close = (
            b"content-length" not in fields
            and b"chunked" not in fields.get(b"transfer-encoding", b"").lower()
            and status not in {204, 304}
        )
        reply.head(status)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._reply is not None:
            self._reply.put(body)

    def on_message_complete(self) -> None:
        """The answer is whole; the connection can be used again if both sides want that."""
        reply = self._reply
        if reply is None or not reply.has_head:
            return
        self._reply = None
        self._answers += 1
        reply.end()
        if self.sending or self.closing or not self._parser.should_keep_alive():
            self.abort()
        else:
            self._owner.free(self)


class PooledReply:
    """An ``HttpReply`` whose bytes come from a ``Connection``."""

    __slots__ = (
        "_connection",
        "_ended",
        "_fault",
        "_first_by",
        "_head_size",
        "_inflater",
        "_kept",
        "_limits",
        "_loop",
        "_paused",
        "_pieces",
        "_settled",
        "_size",
        "_stale",
        "_tell",
        "_waiter",
        "fields",
        "has_head",
        "origin",
        "status",
    )

    def __init__(
        self,
        connection: Connection,
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
        self._first_by = first_by  # 0 once content has come
        self._loop = loop
        self._kept = kept  # the connection was used before
        self._stale = False
        self._head_size = 0
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._settled = False
        self._ended = False
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
        """Content has come: from now on only silence between two reads is limited."""
        self._first_by = 0.0

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
            elif self._ended:
                return self._last()
            else:
                self._raise_failure()
                self._connection.expire_at(self._first_by or self._loop.time() + self._limits.idle)
                return None

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """Call ``tell`` whenever ``read_now`` has something: once for all that came together."""
        self._tell = tell
        return True

    async def read_all(self, limit: int) -> bytes:
        """The whole body up to ``limit`` bytes; one byte more when it is longer."""
        return await read_up_to(self, limit)

    def close(self) -> None:
        """Drop the connection at once unless the whole body was read. May be called again."""
        if not self._ended and self._fault is None:
            self._connection.abort()

    def settle(self) -> None:
        """Let the few bytes that end the body arrive in their own time."""
        if not self._ended and not self._settled:
            self._settled = True
            self._connection.expire_in(LINGER_TIMEOUT)
            self._take()

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
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
        """Something has changed."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self._tell is not None and not self._connection.feeding:
            self._tell()

    def tell(self) -> None:
        """The parser is done with what came."""
        if self._tell is not None and (self._pieces or self._ended or self._fault is not None):
            self._tell()

    def heard(self, size: int) -> None:
        """Bytes have come; the connection was alive when the request went out."""
        self._kept = False
        if not self.has_head:
            self._head_size += size

    @property
    def head_too_large(self) -> bool:
        """Whether the headers have no end in sight."""
        return not self.has_head and self._head_size > MAX_UPSTREAM_HEAD_BYTES

    def head(self, status: int) -> None:
        """Status and headers are there."""
        self.status = status
        self.has_head = True
        coding = self.fields.get(b"content-encoding")
        if coding is not None:
            self._decode(coding.decode("latin-1").strip().lower())
        self.wake()

    def _decode(self, coding: str) -> None:
        if coding not in KNOWN_CODINGS:
            fault = http_faults.garbage_fault(self.origin, "an unknown content encoding")
            self._connection.abort(fault)
        elif coding not in {"", "identity"}:
            self._inflater = Inflater()

    def put(self, data: bytes) -> None:
        """A piece of the body."""
        if self._settled:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.pause_reading()
        if self._waiter is not None:
            self.wake()

    def end(self) -> None:
        """The body is whole."""
        self._ended = True
        self.wake()

    def lost(self) -> None:
        """The connection ended before the answer did."""
        self._stale = self._kept
        self.fail(http_faults.cut_fault(self.origin))

    def fail(self, fault: Fault) -> None:
        """The answer will not become whole."""
        self._fault = self._fault or fault
        self.wake()

    def overdue(self) -> Fault:
        """The deadline has passed."""
        if self._first_by:
            return http_faults.first_byte_timeout(self.origin, self._limits.first_byte)
        return http_faults.idle_timeout(self.origin, self._limits.idle)
