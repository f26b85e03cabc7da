"""Connections to one origin, kept for the next request while they are fresh."""

import asyncio

from yarl import URL

from deepseek_messages import __version__
from deepseek_messages.upstreams.http import faults as http_faults
from deepseek_messages.upstreams.http.connection import Connection
from deepseek_messages.upstreams.http.dialer import Dialer
from deepseek_messages.upstreams.http.origin import Origin
from deepseek_messages.upstreams.http.pooled_reply import PooledReply, StaleError
from deepseek_messages.upstreams.http.reply import Deadlines

USER_AGENT = f"deepseek-messages/{__version__}"

# Bodies below this size leave in one write with the head; larger ones in pieces of this size, so
# that encrypting them does not hold the loop.
PIECE = 256 * 1024


# Bytes that are read from a connection at a time: a reader that stops has no more than that behind
# what it was given (uvloop would read 256 KiB).
READ_SIZE = 64 * 1024


class HttpPool:
    """Sends requests to one origin, each on a connection of its own. ``keepalive`` is how long an
    idle connection is kept, in seconds; the one used last is used first.
    """

    def __init__(self, origin: Origin, *, keepalive: float) -> None:
        self._dialer = Dialer(origin)
        self._label = origin.label
        self._keepalive = keepalive
        self.buffer = memoryview(bytearray(READ_SIZE))
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._lost = asyncio.Event()  # a connection ended
        self._heads: dict[tuple[str, URL, bool], bytes] = {}

    async def request(
        self, method: str, url: URL, body: bytes | None, key: str | None, limits: Deadlines
    ) -> PooledReply:
        """As ``HttpClient.send``; ``key`` is the credential that goes up."""
        head = self._head(method, url, body, key)
        first_by = asyncio.get_running_loop().time() + limits.first_byte
        if (kept := self._take()) is not None:
            try:
                return await self._ask(kept, head, body, limits, first_by)
            except StaleError:
                pass
        return await self._ask(self._dial(limits, first_by), head, body, limits, first_by)

    def request_now(
        self, method: str, url: URL, body: bytes, key: str | None, limits: Deadlines
    ) -> PooledReply | None:
        """Send a request and return at once; ``None`` when the body is one to be sent in pieces.
        What fails, as a dead connection, shows when the answer is awaited.
        """
        if len(body) >= PIECE:
            return None
        data = self._head(method, url, body, key) + body
        first_by = asyncio.get_running_loop().time() + limits.first_byte
        connection = self._take() or self._dial(limits, first_by)
        reply = connection.begin(self._label, limits, first_by)
        connection.write(data)
        return reply

    async def aclose(self) -> None:
        """Close all connections, also those in use. May be called again."""
        self._keepalive = 0.0
        while self._all:
            for connection in tuple(self._all):
                connection.abort(http_faults.cut_fault(self._label))
            self._lost.clear()
            await self._lost.wait()  # the loop tells each in one of its next rounds

    def free(self, connection: Connection) -> None:
        """A connection has delivered an answer and can take another request."""
        if self._keepalive <= 0:
            connection.abort()
            return
        self._idle.append(connection)
        connection.expire_in(self._keepalive)

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._lost.set()

    async def _ask(
        self,
        connection: Connection,
        head: bytes,
        body: bytes | None,
        limits: Deadlines,
        first_by: float,
    ) -> PooledReply:
        reply = connection.begin(self._label, limits, first_by)
        try:
            if body is None or len(body) < PIECE:
                connection.write(head + body if body else head)
                await reply.wait_head()
            else:
                await self._send_large(connection, reply, head, memoryview(body))
        except BaseException:
            connection.abort()
            raise
        return reply

    async def _send_large(
        self, connection: Connection, reply: PooledReply, head: bytes, body: memoryview
    ) -> None:
        connection.sending = True
        connection.write(head)
        for start in range(0, len(body), PIECE):
            await reply.wait_room()
            if reply.has_head:  # it answered before it had read everything
                return
            connection.write(body[start : start + PIECE])
            # A server that reads fast never makes us wait, but others and its answer shall not.
            await asyncio.sleep(0)
        connection.sending = False
        await reply.wait_head()

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.closing:
                continue
            if connection.quiet:
                return connection
            connection.abort()
        return None

    def _dial(self, limits: Deadlines, first_by: float) -> Connection:
        """A new connection; what it is given to send waits until it is there."""
        connection = Connection(self)
        self._all.add(connection)
        by = min(asyncio.get_running_loop().time() + limits.connect, first_by)
        connection.dial(self._connect(connection, by))
        return connection

    async def _connect(self, connection: Connection, by: float) -> None:
        try:
            async with asyncio.timeout_at(by):
                await self._dialer.connect(lambda: connection)
        except ConnectionResetError:  # it was connected, and is no more
            connection.abort(http_faults.cut_fault(self._label))
        except (OSError, ValueError) as error:  # also TimeoutError, what TLS raises, and no name
            connected = connection.connected  # just now: the request has gone out
            fault = http_faults.cut_fault(self._label) if connected else None
            connection.abort(fault or http_faults.connect_fault(self._label, error))
        except BaseException:
            connection.abort(http_faults.cut_fault(self._label))
            raise

    def _head(self, method: str, url: URL, body: bytes | None, key: str | None) -> bytes:
        """Everything that goes up besides the body; nothing else of a caller's ever does."""
        place = (method, url, body is not None)
        head = self._heads.get(place)
        if head is None:
            head = self._heads[place] = _fixed_head(method, url, has_body=body is not None)
        if key is not None:
            head += b"authorization: Bearer %b\r\n" % key.encode()
        if body is not None:
            head += b"content-length: %d\r\n" % len(body)
        return head + b"\r\n"


def _fixed_head(method: str, url: URL, *, has_body: bool) -> bytes:
    lines = [
        f"{method} {url.raw_path_qs} HTTP/1.1",
        f"host: {url.host_port_subcomponent}",
        "accept: application/json, text/event-stream",
        "accept-encoding: identity",
        f"user-agent: {USER_AGENT}",
    ]
    if has_body:
        lines.append("content-type: application/json")
    return "".join(f"{line}\r\n" for line in lines).encode()
