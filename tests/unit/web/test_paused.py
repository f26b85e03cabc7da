"""A connection that is not read is asked whether its client is still there."""

import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deepseek_messages.web.paused import WatchedFlow

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


class Line:
    """A transport on a real connection, and its loop."""

    def __init__(self) -> None:
        self.ours, self.peer = socket.socketpair()
        self.clocks: list[Callable[[], None]] = []
        self.closed = 0
        self.flow = WatchedFlow(self, self)  # type: ignore[arg-type]

    def call_later(self, _seconds: float, look: Callable[[], None]) -> Any:
        self.clocks.append(look)
        return self

    def cancel(self) -> None:
        self.clocks.clear()

    def look(self) -> None:
        self.clocks.pop()()

    def get_extra_info(self, _name: str) -> socket.socket:
        return self.ours

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed += 1

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    with made.ours, made.peer:
        yield made


def test_a_client_that_is_there_is_looked_at_again_and_again(line: Line) -> None:
    line.flow.pause_reading()
    line.flow.pause_reading()
    line.peer.sendall(b"GET / HTTP/1.1\r\n")
    for _ in range(3):
        assert len(line.clocks) == 1
        line.look()
    assert not line.closed


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n"], ids=["nothing", "unread bytes"])
def test_one_that_left_ends_the_connection(line: Line, sent: bytes) -> None:
    line.flow.pause_reading()
    line.peer.sendall(sent)
    line.peer.close()
    line.look()
    assert line.closed == 1
    assert line.clocks == []


def test_nobody_looks_once_it_is_read_again_or_closes(line: Line) -> None:
    line.flow.pause_reading()
    line.flow.resume_reading()
    assert line.clocks == []
    line.flow.pause_reading()
    line.close()
    line.look()
    assert line.closed == 1
    assert line.clocks == []
