"""One connection to an upstream, and the answer that is being read from it.

    IDLE ──begin──▶ HEAD ──headers──▶ BODY ──end──▶ IDLE, or closed

A new one begins before it is connected: what it is given to send waits until it is. A connection
gives one answer at a time. What arrives is kept in the answer until it is read; a
reader that does not keep up stops the reading from the network. One clock per connection serves
all deadlines, one after the other: it is set anew only when a deadline comes before the hour it
is set to, and looks at its firing whether anything is due.
"""

import asyncio
import select
from collections.abc import Coroutine
from typing import Protocol, cast

import httptools

from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.http import faults as http_faults
from deepseek_messages.upstreams.http.pooled_reply import HIGH_WATER, PooledReply
from deepseek_messages.upstreams.http.reply import Deadlines

_NEVER = float("inf")

# So many bytes are read at a time even if nearly as much as may be is unread.
LEAST_READ = 4096


class Owner(Protocol):
    """Who keeps the connections. ``buffer`` is as much as is read from one at a time."""

    buffer: memoryview

    def free(self, connection: "Connection") -> None: ...

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Speaks HTTP/1.1 as a client. ``closing`` says that it takes no further request."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._body: list[bytes] = []  # pieces that the parser has found and the answer has not
        self.on_body = self._body.append  # called by the parser
        self._parser = httptools.HttpResponseParser(self)
        self._reply: PooledReply | None = None
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._unsent = b""  # what waits until it is connected
        self._until_close = False  # the body's end is the connection's
        self._answers = 0
        self._due = _NEVER
        self._clock: asyncio.TimerHandle | None = None
        self._clock_at = _NEVER
        self.feeding = False  # the parser is at work: what it finds is told once, afterwards
        self.sending = False  # the request is not out yet
        self.closing = False
        self.paused_writing = True  # until it is connected

    # --- for the pool -----------------------------------------------------------------------------

    def dial(self, connecting: Coroutine[None, None, None]) -> None:
        """Let ``connecting`` connect it; closing ends that."""
        self._dialling = self._loop.create_task(connecting, name="connect-upstream")
        self._dialling.add_done_callback(self._dialled)

    def _dialled(self, _: object) -> None:
        """It is connected, or never will be: perhaps it was closed before anything was tried. One
        that was given up while it was connected is not told of its end by every loop (uvloop).
        """
        self._dialling = None
        if self._transport is None or self.closing:
            self.connection_lost(None)

    @property
    def connected(self) -> bool:
        """Whether it is: what there was to send has gone out."""
        return self._transport is not None

    @property
    def quiet(self) -> bool:
        """Whether nothing has come that nobody has read. To be looked at before a request goes out
        on a kept one: what came before it would be taken for its answer, and its answer for that
        of the next request, which may be another caller's.
        """
        assert self._transport is not None
        return not _readable(self._transport)

    def begin(self, origin: str, limits: Deadlines, first_by: float) -> PooledReply:
        """Expect an answer. The request has to be written now."""
        reply = PooledReply(self, origin, limits, first_by, self._loop, kept=self._answers > 0)
        self._reply = reply
        self.expire_at(first_by)
        return reply

    def write(self, data: bytes | memoryview) -> None:
        """Send a piece of the request."""
        if self.closing:
            return
        if self._transport is not None:
            self._transport.write(data)
        else:
            self._unsent += data

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
        elif self._dialling is not None:
            self._dialling.cancel()

    def expire_in(self, seconds: float) -> None:
        """Close so many seconds from now, unless told otherwise before."""
        self.expire_at(self._loop.time() + seconds)

    def expire_at(self, when: float) -> None:
        """Close at ``when``, unless told otherwise before."""
        if self.closing:  # a clock would only outlive it
            return
        self._due = when
        if when < self._clock_at:
            if self._clock is not None:
                self._clock.cancel()
            self._clock_at = when
            self._clock = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._clock, self._clock_at = None, _NEVER
        now, reply = self._loop.time(), self._reply
        if now < self._due:
            self.expire_at(self._due)
        elif reply is None:
            self.abort()
        elif now < reply.deadline:
            self.expire_at(reply.deadline)
        else:
            self.abort(reply.overdue())

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
        self._dialling = None
        if self.closing:
            self._transport.abort()
            return
        self.resume_writing()
        if self._unsent:
            self._transport.write(self._unsent)
            self._unsent = b""

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next bytes go. One place serves all connections of an event loop: it is read
        before anything else happens there. Behind a reader that lags it is no more than what may
        be kept for it.
        """
        reply = self._reply
        if reply is None or not reply.unread:
            return self._owner.buffer
        return self._owner.buffer[: max(HIGH_WATER - reply.unread, LEAST_READ)]

    def buffer_updated(self, size: int) -> None:
        """Bytes have come."""
        self.data_received(self._owner.buffer[:size])

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes of an answer. The parser copies what is kept of them."""
        reply = self._reply
        if reply is None:  # nothing was asked
            self.abort()
            return
        self.feeding = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if self._reply is reply:
                reply.put(self._body)  # what came before it
            self.abort(http_faults.garbage_fault(reply.origin, "something that is not HTTP"))
        self.feeding = False
        pieces = self._body if self._reply is reply else ()
        reply.received(len(data), pieces)
        self._body.clear()

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
            self._reply.room()

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

    def on_message_complete(self) -> None:
        """The answer is whole; the connection can be used again if both sides want that."""
        reply = self._reply
        if reply is None or not reply.has_head:
            return
        self._reply = None
        self._answers += 1
        reply.put(self._body)
        self._body.clear()
        reply.end()
        unsent = self.sending or self.paused_writing
        if unsent or self.closing or not self._parser.should_keep_alive():
            self.abort()
        else:
            self._owner.free(self)


def _readable(transport: asyncio.Transport) -> bool:
    """Whether the system holds bytes, or the end, of the connection."""
    sock = transport.get_extra_info("socket")
    if hasattr(select, "poll"):  # which knows no highest descriptor
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], (), (), 0)[0])
