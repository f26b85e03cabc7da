"""What of a race between two upstreams shows only from close by; the pool's tests have the rest."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from deepseek_messages.service.hedging import open_hedged
from deepseek_messages.service.tasks import spawn
from tests.support.gates import WAIT_SECONDS

pytestmark = pytest.mark.anyio


class Stream:
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def aclose(self) -> None:
        self.closed.set()


class Stubborn:
    """Opens all the same when it is told to stop, but not at once."""

    def __init__(self) -> None:
        self.stream = Stream()
        self.told, self.go_on = asyncio.Event(), asyncio.Event()

    async def open(self, _: Any) -> Stream:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.told.set()
        await self.go_on.wait()
        return self.stream


class Route:
    """Names no second upstream."""

    async def hedge(self) -> None:
        return None


async def nobody(_: Any) -> None:
    raise AssertionError("nobody is asked as well")


async def test_what_opens_after_its_caller_is_gone_is_closed() -> None:
    upstream = Stubborn()
    attempt = SimpleNamespace(upstream=upstream, call=None)
    asking = spawn(open_hedged(attempt, Route(), nobody), "ask")  # type: ignore[arg-type]
    await asyncio.sleep(0)
    asking.cancel()
    await upstream.told.wait()
    asking.cancel()  # while it waits for the other to stop
    await asyncio.wait((asking,))
    assert asking.cancelled()
    upstream.go_on.set()
    async with asyncio.timeout(WAIT_SECONDS):
        await upstream.stream.closed.wait()
