"""A scripted TCP server: exactly these bytes, then exactly this ending.

Each connection plays one script, a list of steps: ``bytes`` are sent as they are; the other
steps are the small classes below. The server reads all the time, whatever the script does, so
it sees at once when the peer goes away.
"""

import asyncio
import fcntl
import itertools
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from tests.support.clock import Skip
from tests.support.gates import WAIT_SECONDS, Gate


@dataclass(frozen=True)
class ReadRequest:
    """Wait for one whole HTTP request (head and body)."""


@dataclass(frozen=True)
class Wait:
    """Wait until the test sets the gate."""

    gate: Gate


@dataclass(frozen=True)
class Reached:
    """Tell the test that the script got here."""

    gate: Gate


@dataclass(frozen=True)
class Stall:
    """Stay silent with the connection open until the peer closes it or the server stops. A peer
    with a clock that can be moved on hears of it (``on_silence``).
    """


@dataclass(frozen=True)
class Trickle:
    """Send ``data`` again and again, each after a silence of ``seconds``, until the peer closes.
    Needs a peer with a clock that can be moved on.
    """

    data: bytes
    seconds: float = 5.0


@dataclass(frozen=True)
class HalfClose:
    """Send FIN, but keep reading."""


@dataclass(frozen=True)
class Cut:
    """Close the connection (FIN). Also what happens at a script's end."""


@dataclass(frozen=True)
class Reset:
    """Close the connection with RST, as a crashed peer or a middlebox does."""


Step = bytes | ReadRequest | Wait | Reached | Stall | Trickle | HalfClose | Cut | Reset


# Moves the peer's clock past every deadline, or on by so many seconds.
OnSilence = Callable[..., Skip]


@dataclass(frozen=True)
class RawRequest:
    """One HTTP request as its bytes said it. Header names are lower case, in order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name, or ``None``."""
        return next((value for key, value in self.headers if key == name.lower()), None)


@dataclass(eq=False)
class Connection:
    """What one connection brought, and how it ended."""

    received: bytearray = field(default_factory=bytearray)
    requests: list[RawRequest] = field(default_factory=list)
    request_came: Gate = field(default_factory=Gate)
    peer_closed: Gate = field(default_factory=Gate)  # by FIN or RST
    peer_reset: bool = False
    done: Gate = field(default_factory=Gate)  # the script ran to its end
    _parsed: int = 0

    def next_request(self) -> RawRequest | None:
        """Take one whole request off the received bytes, if there is one."""
        found = parse_request(bytes(self.received[self._parsed :]))
        if found is None:
            return None
        request, length = found
        self._parsed += length
        self.requests.append(request)
        self.request_came.set()
        return request


def parse_request(data: bytes) -> tuple[RawRequest, int] | None:
    """The first whole HTTP/1.1 request in ``data`` and its length, or ``None``."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = [
        (name.strip().lower(), value.strip())
        for name, value in (line.split(":", 1) for line in lines)
    ]
    found = dict(headers)
    if "chunked" in found.get("transfer-encoding", ""):
        body = _chunked_body(rest)
    else:
        length = int(found.get("content-length", "0"))
        body = (rest[:length], length) if len(rest) >= length else None
    if body is None:
        return None
    return RawRequest(method, target, headers, body[0]), len(head) + 4 + body[1]


def _chunked_body(data: bytes) -> tuple[bytes, int] | None:
    body, position = bytearray(), 0
    while (end := data.find(b"\r\n", position)) >= 0:
        size = int(data[position:end].split(b";")[0], 16)
        position = end + 2 + size + 2
        if len(data) < position:
            return None
        if size == 0:
            return bytes(body), position
        body += data[end + 2 : end + 2 + size]
    return None


def pieces(data: bytes, size: int = 1) -> list[Step]:
    """``data`` as steps of ``size`` bytes each."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def split(data: bytes, *at: int) -> list[Step]:
    """``data`` as steps, cut at these offsets."""
    edges = [0, *at, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


class RawUpstream:
    """The server: the n-th connection plays the n-th script, later ones play the last."""

    def __init__(
        self, scripts: Sequence[Sequence[Step]], on_silence: OnSilence | None = None
    ) -> None:
        self.scripts = [list(script) for script in scripts]
        self.on_silence = on_silence
        self.connections: list[Connection] = []
        self.port = 0
        self.problems: list[BaseException] = []
        self._changed = threading.Condition()
        self._playing: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def connection(self, number: int = 0) -> Connection:
        """The n-th connection; waits until it was made."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.connections) > number, WAIT_SECONDS)
        assert came, f"connection {number} was never made"
        return self.connections[number]

    def request(self, number: int = 0, connection: int = 0) -> RawRequest:
        """The n-th request of a connection; waits for the first one."""
        found = self.connection(connection)
        found.request_came.require("a request")
        return found.requests[number]

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play one connection's script."""
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection()
        with self._changed:
            script = self.scripts[min(len(self.connections), len(self.scripts) - 1)]
            self.connections.append(connection)
            self._changed.notify_all()
        player = _Player(connection, reader, writer, self.on_silence)
        try:
            await player.play(script)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the peer is gone, or the server stops
        except Exception as error:  # noqa: BLE001 - shown when the server stops
            self.problems.append(error)
        finally:
            await player.close()

    async def stop(self) -> None:
        """End all connections."""
        for task in list(self._playing):
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)


class _Player:
    def __init__(
        self,
        connection: Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_silence: OnSilence | None,
    ) -> None:
        self.connection = connection
        self.on_silence = on_silence
        self.reader = reader
        self.writer = writer
        self.arrived = asyncio.Event()
        self.listening = asyncio.get_running_loop().create_task(self.listen())

    async def listen(self) -> None:
        try:
            while data := await self.reader.read(65536):
                self.connection.received += data
                self.arrived.set()
        except ConnectionError:
            self.connection.peer_reset = True
        self.connection.peer_closed.set()
        self.arrived.set()

    async def play(self, script: Sequence[Step]) -> None:
        for step in script:
            match step:
                case bytes():
                    self.writer.write(step)
                    await self.writer.drain()
                    await asyncio.sleep(0)
                case ReadRequest():
                    await self.read_request()
                case Wait(gate):
                    await gate.opened()
                case Reached(gate):
                    gate.set()
                case Stall():
                    await self.stay_silent()
                case Trickle(data, seconds):
                    await self.trickle(data, seconds)
                case HalfClose():
                    self.writer.write_eof()
                case Cut():
                    return
                case Reset():
                    self.reset()
                    return
        self.connection.done.set()

    async def read_request(self) -> None:
        while self.connection.next_request() is None:
            if self.connection.peer_closed.is_set():
                raise ConnectionResetError("the peer closed before its request was whole")
            self.arrived.clear()
            await self.arrived.wait()

    async def stay_silent(self) -> None:
        closed, skip = self.connection.peer_closed, None
        if self.on_silence is not None:
            while not closed.is_set() and self._on_its_way():
                await asyncio.sleep(0.001)
            skip = self.on_silence()
        await closed.opened()
        if skip is not None:
            skip.cancel()

    async def trickle(self, data: bytes, seconds: float) -> None:
        closed = self.connection.peer_closed
        assert self.on_silence is not None
        while not closed.is_set():
            while not closed.is_set() and self._on_its_way():
                await asyncio.sleep(0.001)
            skip = self.on_silence(seconds)
            while not (closed.is_set() or skip.done.is_set()):
                await asyncio.sleep(0.001)
            skip.cancel()
            self.writer.write(data)
            await self.writer.drain()

    def _on_its_way(self) -> bool:
        """Whether something that was sent has not reached the peer's side yet."""
        if self.writer.transport.is_closing():
            return False
        raw = self.writer.get_extra_info("socket")
        unsent = self.writer.transport.get_write_buffer_size()
        return bool(unsent or any(fcntl.ioctl(raw, termios.TIOCOUTQ, bytes(4))))

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def close(self) -> None:
        self.listening.cancel()
        with suppress(asyncio.CancelledError):
            await self.listening
        self.writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await self.writer.wait_closed()
        self.connection.done.set()


@contextmanager
def raw_upstream(
    *scripts: Sequence[Step], on_silence: OnSilence | None = None
) -> Iterator[RawUpstream]:
    """Run a ``RawUpstream`` with these scripts (one per connection) until the block ends."""
    upstream = RawUpstream(scripts, on_silence)
    ready, stop = threading.Event(), Gate()

    async def serve() -> None:
        server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0)
        upstream.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.opened()
        server.close()
        await upstream.stop()

    thread = threading.Thread(target=partial(asyncio.run, serve()), name="raw_upstream")
    thread.start()
    try:
        assert ready.wait(WAIT_SECONDS), "the raw upstream did not start"
        yield upstream
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive(), "the raw upstream did not stop"
    assert not upstream.problems, upstream.problems
