import asyncio
import threading

import pytest

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.embedded import feed as module
from deepseek_messages.upstreams.embedded.feed import Feed
from deepseek_messages.wire.chat import ChatChunk
from tests.support.gates import WAIT_SECONDS

pytestmark = pytest.mark.anyio


def chunk(number):
    return ChatChunk(id=str(number))


def fault():
    return Fault(FaultKind.REPORTED, "broken")


def make():
    return Feed(asyncio.get_running_loop())


async def test_chunks_that_came_together_are_read_together():
    feed = make()
    feed.put(chunk(1))
    feed.put(chunk(2))
    assert [item.id for item in await feed.take()] == ["1", "2"]


async def test_the_end_is_an_empty_batch():
    feed = make()
    feed.put(chunk(1))
    feed.end()
    assert len(await feed.take()) == 1
    assert await feed.take() == []
    assert await feed.take() == []


async def test_a_fault_comes_after_the_chunks_before_it():
    feed = make()
    feed.put(chunk(1))
    feed.fail(fault())
    assert len(await feed.take()) == 1
    with pytest.raises(Fault, match="broken"):
        await feed.take()


async def test_a_fault_before_acceptance_is_raised_by_it():
    feed = make()
    feed.fail(fault())
    with pytest.raises(Fault):
        await feed.accepted()


async def test_acceptance_from_another_thread_wakes_the_loop():
    feed = make()
    threading.Thread(target=feed.accept).start()
    await feed.accepted()


async def test_every_chunk_of_another_thread_arrives_in_order():
    feed = make()

    def work():
        for number in range(5000):
            feed.put(chunk(number))
        feed.end()

    threading.Thread(target=work).start()
    got = [item.id for item in await feed.take_all()]
    assert got == [str(number) for number in range(5000)]


async def test_the_engine_waits_while_too_much_is_unread(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    feed = make()
    done = threading.Event()

    def work():
        for number in range(4):
            feed.put(chunk(number))
        done.set()

    threading.Thread(target=work).start()
    while len(feed._chunks) < 3:
        await asyncio.sleep(0)
    assert not done.is_set()
    assert len(await feed.take()) == 3
    assert len(await feed.take()) == 1
    assert done.wait(WAIT_SECONDS)


async def test_cancelling_frees_an_engine_that_waits(monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    feed = make()
    thread = threading.Thread(target=lambda: [feed.put(chunk(1)) for _ in range(3)])
    thread.start()
    await feed.accepted()
    feed.cancel()
    await asyncio.to_thread(thread.join)
    assert feed.cancelled


async def test_cancelling_ends_a_pending_read():
    feed = make()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(feed.take())
        await asyncio.sleep(0)
        feed.cancel()
    assert reading.result() == []


def test_a_closed_loop_does_not_trouble_the_engine():
    loop = asyncio.new_event_loop()
    feed = Feed(loop)
    loop.close()
    feed.put(chunk(1))
    feed.end()
