"""How long a client may leave its answer unread."""

import asyncio
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deepseek_messages.web.unread import LOOKS, UnreadWatch


class Unread:
    """A transport, as far as its unread bytes go."""

    def __init__(self) -> None:
        self.waiting = 100_000
        self.aborted = False
        self.arrived: int | None = None  # what the system tells of it, if it does

    def get_extra_info(self, _name: str) -> "Unread":
        return self

    def getsockopt(self, _level: int, _name: int, size: int) -> bytes:
        if self.arrived is None:
            raise OSError
        return (bytes(120) + self.arrived.to_bytes(8, sys.byteorder))[:size]

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


def test_a_slow_reader_is_cut_off_only_when_it_takes_nothing() -> None:
    clocks: list[Callable[[], None]] = []
    transport = Unread()
    loop: Any = SimpleNamespace(call_later=lambda _, look: clocks.append(look))
    UnreadWatch(cast("asyncio.Transport", transport), loop, 1.0).watch()
    for waiting in (90_000, 89_999, 40_000):
        transport.waiting = waiting
        clocks.pop()()
        assert not transport.aborted
    for _ in range(LOOKS - 1):
        clocks.pop()()
        assert not transport.aborted
    clocks.pop()()
    assert transport.aborted
    assert not clocks


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_what_has_arrived_counts_while_the_answer_grows_behind_it() -> None:
    clocks: list[Callable[[], None]] = []
    transport = Unread()
    transport.arrived = 0
    loop: Any = SimpleNamespace(call_later=lambda _, look: clocks.append(look))
    UnreadWatch(cast("asyncio.Transport", transport), loop, 1.0).watch()
    for _ in range(3 * LOOKS):
        transport.waiting += 10_000
        transport.arrived += 1
        clocks.pop()()
        assert not transport.aborted
    for _ in range(LOOKS):
        assert not transport.aborted
        clocks.pop()()
    assert transport.aborted
