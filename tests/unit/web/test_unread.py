"""How long a client may leave its answer unread."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from deepseek_messages.web.unread import LOOKS, UnreadWatch


class Unread:
    """A transport, as far as its unread bytes go."""

    def __init__(self) -> None:
        self.waiting = 100_000
        self.aborted = False

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
