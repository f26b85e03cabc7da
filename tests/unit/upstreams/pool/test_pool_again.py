"""The same server asked again after a while."""

import asyncio

import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.upstreams.pool.member import Place
from tests.support.fake import FINISH, OPEN, FakeUpstream, text
from tests.unit.upstreams.pool.world import BOOM, World, failing, said

pytestmark = pytest.mark.anyio


async def test_the_only_server_is_tried_again_after_a_while() -> None:
    flaky = FakeUpstream([BOOM, OPEN], [BOOM, OPEN], [text("Hello"), FINISH])
    world = World({"only": (flaky, Place())})
    assert said(await world.ask()) == "Hello"
    assert world.clock.slept == [0.5, 1.0]


async def test_retry_after_is_waited_for() -> None:
    busy = from_status(429, {"retry-after": "4"}, b"")
    world = World({"only": (FakeUpstream([busy, OPEN], [text("Hello"), FINISH]), Place())})
    assert said(await world.ask()) == "Hello"
    assert world.clock.slept == [4.0]


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize("early", [0.0, 0.0009])  # as timers that count in milliseconds fire
async def test_a_busy_server_is_tried_again_after_its_rest(status: int, early: float) -> None:
    busy = from_status(status, {}, b"")
    world = World({"only": (FakeUpstream([busy, OPEN], [text("Hello"), FINISH]), Place())})

    async def sleep(seconds: float) -> None:
        world.clock.now += seconds - early

    world.pool.sleep = sleep
    assert said(await world.ask()) == "Hello"


async def test_a_long_retry_after_goes_to_the_client() -> None:
    busy = from_status(429, {"retry-after": "60"}, b"")
    world = World({"only": (failing(busy), Place())})
    with pytest.raises(Fault) as caught:
        await world.ask()
    assert caught.value.retry_after == 60
    assert world.clock.slept == []


async def test_silence_is_not_waited_for_twice() -> None:
    world = World({"only": (failing(faults.timeout("silent")), Place())})
    with pytest.raises(Fault):
        await world.ask()
    assert world.calls() == {"only": 1}


async def test_a_client_that_leaves_during_the_wait_ends_it() -> None:
    world = World({"only": (failing(BOOM), Place())})
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    world.pool.sleep = sleep
    task = asyncio.get_running_loop().create_task(world.ask())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.loads() == {"only": 0}
