"""What a connection keeps for a reader that does not keep up, and how long it waits for content."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.limits import STALE_WITHIN
from deepseek_messages.upstreams.chat.stream import HttpChatStream
from deepseek_messages.upstreams.http.connection import LEAST_READ, Connection
from deepseek_messages.upstreams.http.pool import READ_SIZE
from deepseek_messages.upstreams.http.pooled_reply import HIGH_WATER, PooledReply, StaleError
from deepseek_messages.upstreams.http.reply import Deadlines
from tests.faults.chat_bytes import delta

pytestmark = pytest.mark.anyio

# The most that uvloop reads at a time.
BURST = 256_000


class Owner:
    kept = 0
    buffer = memoryview(bytearray(READ_SIZE))

    def free(self, connection: Connection) -> None:
        self.kept += 1

    def lost(self, connection: Connection) -> None: ...


class Transport(asyncio.Transport):
    """Counts what came while nobody had asked it to pause."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False
        self.aborted = False

    def write(self, data: Any) -> None: ...

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True


LONG = Deadlines(connect=60, first_byte=600, idle=60)
ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n"


class Hours:
    """A loop whose time is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: set[asyncio.TimerHandle] = set()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        made = asyncio.TimerHandle(when, call, (), asyncio.get_running_loop())
        self.timers.add(made)
        return made

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    @property
    def waiting(self) -> list[asyncio.TimerHandle]:
        return [each for each in self.timers if not each.cancelled()]

    def passes(self, seconds: float) -> None:
        self.now += seconds
        while due := [each for each in self.waiting if each.when() <= self.now]:
            self.timers.discard(due[0])
            due[0]._run()


class Line:
    """A connection that is there, on a loop whose time is the test's."""

    def __init__(self) -> None:
        self.owner, self.transport, self.hours = Owner(), Transport(), Hours()
        self.connection = Connection(self.owner)
        self.connection._loop = self.hours  # type: ignore[assignment]
        self.connection.connection_made(self.transport)

    def begin(self) -> PooledReply:
        return self.connection.begin("origin", LONG, self.hours.now + LONG.first_byte)

    def says(self, data: bytes) -> None:
        self.connection.data_received(data)


async def test_it_keeps_little() -> None:
    connection, transport = Connection(Owner()), Transport()
    connection.connection_made(transport)
    limits = Deadlines(connect=60, first_byte=60, idle=60)
    reply = connection.begin("origin", limits, asyncio.get_running_loop().time() + 60)
    length = 10 * BURST
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length)
    sent = got = 0
    while got < length:
        while not transport.paused and sent < length:
            connection.data_received(b"x" * min(BURST, length - sent))
            sent += min(BURST, length - sent)
        assert sent - got <= HIGH_WATER + BURST
        piece = await reply.read()
        assert piece
        got += len(piece)
    assert await reply.read() == b""
    connection.connection_lost(None)


@pytest.mark.parametrize("unread", [0, 1, 60_000, HIGH_WATER])
async def test_a_reader_that_lags_has_no_whole_read_more_behind_it(unread: int) -> None:
    line = Line()
    line.begin()
    line.says(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n")
    line.connection._reply.unread = 0  # type: ignore[union-attr] - the head is no content
    line.says(b"x" * unread)
    while not line.transport.paused:
        room = line.connection.get_buffer(-1)
        assert len(room) == READ_SIZE or unread
        unread += len(room)
        line.connection.buffer_updated(len(room))
    assert unread <= HIGH_WATER + LEAST_READ


async def test_only_content_ends_a_silence() -> None:
    connection = Connection(Owner())
    connection.connection_made(Transport())
    limits = Deadlines(connect=60, first_byte=600, idle=60)
    start = connection.now()
    reply = connection.begin("origin", limits, start + limits.first_byte)
    stream = HttpChatStream(reply)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n: keep-alive\n\n")
    assert stream.read_now() is None
    assert connection._due == start + limits.first_byte
    connection.data_received(delta(content="Hel"))
    assert stream.read_now()
    assert stream.read_now() is None
    first = connection._due
    assert start + limits.idle <= first < start + limits.first_byte
    connection.data_received(b": keep-alive\n\n")
    assert stream.read_now() is None
    assert connection._due == first
    assert "stalled for 60 s" in reply.overdue().message
    connection.data_received(delta(content="lo"))
    assert stream.read_now()
    assert stream.read_now() is None
    assert connection._due > first
    connection.connection_lost(None)


# --- whose time is up -----------------------------------------------------------------------------


async def test_a_reader_that_is_slow_is_no_silence_of_the_server() -> None:
    line = Line()
    stream = HttpChatStream(line.begin())
    line.says(ENDLESS + delta(content="Hel"))
    assert stream.read_now()
    assert stream.read_now() is None
    line.says(delta(content="lo"))
    line.hours.passes(10 * LONG.idle)
    assert not line.transport.aborted
    assert stream.read_now()
    assert stream.read_now() is None
    line.hours.passes(LONG.idle - 1)
    assert not line.transport.aborted
    line.hours.passes(1)
    assert line.transport.aborted
    with pytest.raises(Fault, match="stalled for 60 s"):
        stream.read_now()


async def test_content_that_came_just_before_the_deadline_is_content() -> None:
    line = Line()
    stream = HttpChatStream(line.begin())
    line.says(ENDLESS)
    assert stream.read_now() is None
    line.hours.passes(LONG.first_byte - 1)
    line.says(delta(content="Hel"))
    assert await stream.read()
    line.hours.passes(2)
    assert not line.transport.aborted
    line.hours.passes(LONG.idle)
    assert line.transport.aborted


@pytest.mark.parametrize("content", [b"", delta(content="Hel")])
async def test_a_connection_that_has_ended_has_no_clock(content: bytes) -> None:
    line = Line()
    reply = line.begin()
    line.says(ENDLESS + content)
    line.connection.connection_lost(None)
    await reply.read() if content else None
    reply.settle()
    assert not line.hours.waiting


@pytest.mark.parametrize("late", [False, True])
async def test_only_what_ends_soon_was_closed_before(late: bool) -> None:
    line = Line()
    line.begin()
    line.says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    line.hours.passes(1000)
    reply = line.begin()
    line.hours.passes(STALE_WITHIN if late else STALE_WITHIN - 0.1)
    line.connection.connection_lost(None)
    with pytest.raises(Fault if late else StaleError):
        await reply.wait_head()


# --- when it can be used again --------------------------------------------------------------------


async def test_the_next_answer_does_not_wait_for_the_reader_of_the_one_before() -> None:
    line = Line()
    reply = line.begin()
    line.says(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (HIGH_WATER + 100))
    line.says(b"x" * (HIGH_WATER - 100))
    assert not line.transport.paused
    line.says(b"x" * 200)
    assert line.owner.kept == 1
    assert not line.transport.paused
    assert len(await reply.read()) == HIGH_WATER + 100


async def test_an_answer_before_the_request_has_gone_out_ends_the_connection() -> None:
    line = Line()
    reply = line.begin()
    line.connection.pause_writing()
    line.says(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    assert await reply.read() == b"no"
    assert line.transport.aborted
    assert line.owner.kept == 0


@pytest.mark.parametrize("apart", [False, True])
async def test_what_came_before_something_that_is_not_http_is_given(apart: bool) -> None:
    line = Line()
    reply = line.begin()
    good = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    for data in [good, b"not a size\r\n"] if apart else [good + b"not a size\r\n"]:
        line.says(data)
    assert await reply.read() == b"ok"
    with pytest.raises(Fault) as caught:
        await reply.read()
    assert caught.value.kind is FaultKind.GARBAGE
