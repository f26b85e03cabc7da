"""What a connection keeps for a reader that does not keep up, and how long it waits for content."""

import asyncio

import pytest

from deepseek_messages.upstreams.chat.stream import HttpChatStream
from deepseek_messages.upstreams.http.connection import Connection
from deepseek_messages.upstreams.http.pooled_reply import HIGH_WATER
from deepseek_messages.upstreams.http.reply import Deadlines
from tests.faults.chat_bytes import delta

pytestmark = pytest.mark.anyio

# The most that uvloop reads at a time.
BURST = 256_000


class Owner:
    def free(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...


class Transport(asyncio.Transport):
    """Counts what came while nobody had asked it to pause."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None: ...


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
    assert "nothing for 60 s" in reply.overdue().message
    connection.data_received(delta(content="lo"))
    assert stream.read_now()
    assert stream.read_now() is None
    assert connection._due > first
    connection.connection_lost(None)
