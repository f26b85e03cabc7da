"""The short way of a request for messages: from uvicorn's protocol to the application and back
without ASGI's messages between them. The same application, the same checks; what differs is how
a body is had, how the client's leaving is told, and how bytes go out.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.web.errors import envelope
from deepseek_messages.web.exchange import JSON, Exchange, Header
from deepseek_messages.web.ids import request_id
from deepseek_messages.wire.errors import ErrorDetail

CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Told:
    """As an ``asyncio.Event``, at a tenth of its memory as long as nobody waits for it."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Whether it was told."""
        return self._is_set

    def set(self) -> None:
        """Tell whoever waits."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        """Forget it."""
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> bool:
        """Return once it was told."""
        if not self._is_set:
            self._event = self._event or asyncio.Event()
            await self._event.wait()
        return True


class DirectCycle(RequestResponseCycle):
    """One request on one connection. ``flow`` and ``transport`` are the connection's."""

    flow: FlowControl
    gone: Callable[[], None] | None = None  # to be called when the client leaves

    def client_gone(self) -> None:
        """The connection is lost."""
        if self.gone is not None:
            self.gone()


class DirectExchange(Exchange):
    """An exchange that writes to the connection itself. The head waits for the first piece of
    the body, to leave in one packet with it, but not beyond the loop's next round.
    """

    __slots__ = ("_chunked", "_cycle", "_head")

    def __init__(
        self, cycle: DirectCycle, record: RequestRecord, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(cycle.scope, cycle.receive, cycle.send, record, headers)  # type: ignore[arg-type]
        self._cycle = cycle
        self._head = b""
        self._chunked = True

    def whole_body(self) -> bytes | None:
        """The request's body, if all of it is here."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        cycle.flow.resume_reading()  # or a client that leaves would go unnoticed
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def when_gone(self, tell: Callable[[], None] | None) -> bool:
        """Ask to be told when the client leaves."""
        self._cycle.gone = tell
        if tell is not None and self._cycle.disconnected:
            tell()
        return True

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send the status and the headers of an answer in pieces."""
        self.start_now(status, headers)
        asyncio.get_running_loop().call_soon(self.flush)

    def start_now(self, status: int, headers: Iterable[Header]) -> None:
        """As ``start``; what was not sent with a piece of the body is for ``flush``."""
        self._chunked = self.scope["http_version"] != "1.0"  # there the connection's end is its end
        self._begin(status, headers, CHUNKED if self._chunked else b"")

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body; waits while the client does not read."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        self.write_now(data, last=last)

    @property
    def has_room(self) -> bool:
        """Whether the client reads what it is sent."""
        return not self._cycle.flow.write_paused

    def write_now(self, data: bytes, *, last: bool = False) -> None:
        """As ``write``, without waiting. Nothing goes out behind the last piece: a ping whose turn
        comes after it would stand before the connection's next answer.
        """
        if self.finished:
            return
        cycle = self._cycle
        self.finished = last
        if cycle.disconnected:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if last:
                data += LAST_CHUNK
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            cycle.transport.write(data)
        if last:
            self._end()

    async def reply(
        self,
        status: int,
        body: bytes,
        headers: Iterable[Header] = (),
        content_type: bytes = JSON,
    ) -> None:
        """Send a whole answer."""
        if self._cycle.flow.write_paused and not self._cycle.disconnected:
            await self._cycle.flow.drain()
        self.reply_now(status, body, headers, content_type)

    def reply_now(
        self,
        status: int,
        body: bytes,
        headers: Iterable[Header] = (),
        content_type: bytes = JSON,
    ) -> None:
        """As ``reply``, without waiting."""
        self._chunked = False
        length = b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body))
        self._begin(status, headers, length)
        self.write_now(body, last=True)

    def _begin(self, status: int, headers: Iterable[Header], framing: bytes) -> None:
        self.started = self._cycle.response_started = True
        self.record.status = status
        cycle = self._cycle
        lines = b"".join([_line(*header) for header in (*headers, *self.extra_headers)])
        if CLOSE in lines:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            lines += CLOSE
        self._head = b"%b%brequest-id: %b\r\n%b%b\r\n" % (
            STATUS_LINE[status],
            _default_lines(*cycle.default_headers),
            self.record.request_id.encode(),
            framing,
            lines,
        )

    def flush(self) -> None:
        """Send the head, if it has not gone out yet."""
        if self._head and not self._cycle.disconnected:
            head, self._head = self._head, b""
            self._cycle.transport.write(head)

    def _end(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def last_answer(status: int, detail: ErrorDetail) -> bytes:
    """An error that no application tells, whole, behind which the connection ends."""
    name = request_id()
    body = envelope(detail, name)
    head = (
        b"content-type: application/json\r\n"
        b"content-length: %d\r\nrequest-id: %s\r\nconnection: close\r\n\r\n"
    ) % (len(body), name.encode())
    return STATUS_LINE[status] + head + body


@lru_cache(maxsize=8)
def _default_lines(*headers: Header) -> bytes:
    """The lines that every answer has: its date, which changes once a second."""
    return b"".join([_line(name, value) for name, value in headers])


@lru_cache(maxsize=1024)
def _line(name: bytes, value: bytes) -> bytes:
    """A header's line. Raises ``ValueError`` for what could end it early."""
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise ValueError("invalid header")
    return name + b": " + value + b"\r\n"
