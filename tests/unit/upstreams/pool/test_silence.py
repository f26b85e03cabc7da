"""A server that takes requests and says nothing is told from one that is only slow."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from deepseek_messages.service.tasks import spawn, stop
from deepseek_messages.translation import faults
from deepseek_messages.upstreams.pool.breaker import BreakerLimits, Health
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import PoolOptions
from deepseek_messages.upstreams.pool.silence import Silence
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChunkChoice
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import Gate
from tests.support.raw import Reached, Wait
from tests.unit.upstreams.pool.world import Clock, World, fake, said

pytestmark = pytest.mark.anyio


# --- the rule -------------------------------------------------------------------------------------


def test_one_that_nobody_waits_for_is_not_silent() -> None:
    clock = Clock()
    silence = Silence(30, clock)
    clock.now = 1000
    assert not silence.lasts


def test_one_is_silent_once_the_longest_wait_lasts_so_long_without_a_word() -> None:
    clock = Clock()
    silence = Silence(30, clock)
    first = silence.wait()
    clock.now = 20
    silence.wait()
    clock.now = 29.9
    assert not silence.lasts
    clock.now = 30
    assert silence.lasts
    assert silence.end(first)  # the other one has waited for 10 seconds
    assert not silence.lasts
    assert not silence.end(first)


def test_a_word_to_anybody_is_a_word() -> None:
    clock = Clock()
    silence = Silence(30, clock)
    waiting = silence.wait()
    clock.now = 29
    silence.spoke = True
    assert not silence.lasts
    clock.now = 58
    assert not silence.lasts
    clock.now = 59
    assert silence.lasts
    assert silence.end(waiting)


def test_it_can_be_turned_off() -> None:
    clock = Clock()
    silence = Silence(0, clock)
    waiting = silence.wait()
    clock.now = 1e6
    assert not silence.lasts
    assert not silence.end(waiting)


# --- in a pool ------------------------------------------------------------------------------------


class Two(World):
    """Two upstreams, the first before the second; requests to the first wait in the background."""

    def __init__(self, first: FakeUpstream, **options: Any) -> None:
        places = {"first": (first, Place()), "second": (fake(), Place(priority=1))}
        super().__init__(places, PoolOptions(**({"silence_after": 30.0} | options)))
        self.waiting: list[asyncio.Task[Any]] = []

    async def wait_for_first(self, **more: Any) -> asyncio.Task[Any]:
        """A request that has arrived there."""
        before = len(self.fakes["first"].played)
        task = spawn(self.ask(**more), "ask")
        while len(self.fakes["first"].played) == before:
            await asyncio.sleep(0)
        self.waiting.append(task)
        return task

    async def leave(self) -> None:
        while self.waiting:
            await stop(self.waiting.pop())


async def test_a_server_that_answers_nobody_is_passed_over_before_any_deadline() -> None:
    world = Two(fake(OPEN, SILENCE))
    await world.wait_for_first()
    world.clock.now += 29
    await world.wait_for_first()
    world.clock.now += 1
    assert said(await world.ask()) == "Hello"
    assert world.calls() == {"first": 2, "second": 1}
    assert world.pool.states()[0].health is Health.CLOSED  # it may yet answer those
    assert world.pool.states()[0].reason == "it takes requests and says nothing"
    await world.leave()


async def test_silence_before_the_status_counts_as_well() -> None:
    world = Two(fake(SILENCE, OPEN))
    await world.wait_for_first()
    world.clock.now += 30
    await world.ask()
    assert world.calls() == {"first": 1, "second": 1}
    await world.leave()


async def test_one_that_speaks_to_others_meanwhile_is_asked_on() -> None:
    """A long prompt, or a long thought before the first word, is no silence of the server."""
    goes_on, went_on = Gate(), Gate()
    talks = [text("a"), Wait(goes_on), text("b"), Reached(went_on), SILENCE]
    world = Two(FakeUpstream(talks, [OPEN, SILENCE], [text("Hello"), FINISH]))
    await world.wait_for_first()
    await world.wait_for_first()
    world.clock.now += 29
    goes_on.set()
    await went_on.opened()
    world.clock.now += 1
    await world.ask()
    assert world.calls() == {"first": 3, "second": 0}
    await world.leave()


async def test_a_whole_answer_may_take_its_time() -> None:
    world = Two(FakeUpstream([OPEN, SILENCE], [text("Hello"), FINISH]))
    await world.wait_for_first(stream=False)
    world.clock.now += 300
    await world.ask()
    assert world.calls() == {"first": 2, "second": 0}
    await world.leave()


async def test_one_that_thinks_is_not_silent() -> None:
    thought = ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(reasoning_content="Hm"))])
    world = Two(FakeUpstream([thought, SILENCE], [text("Hello"), FINISH]))
    await world.wait_for_first()
    world.clock.now += 300
    await world.ask()
    assert world.calls() == {"first": 2, "second": 0}
    await world.leave()


async def test_the_first_word_ends_the_silence() -> None:
    gate = Gate()
    world = Two(FakeUpstream([OPEN, Wait(gate), text("Hello"), FINISH]))
    late = await world.wait_for_first()
    world.clock.now += 40
    await world.ask()
    gate.set()
    assert said(await late) == "Hello"
    await world.ask()
    assert world.calls() == {"first": 2, "second": 1}


async def test_where_there_is_nobody_else_it_is_asked_all_the_same() -> None:
    quiet = FakeUpstream([OPEN, SILENCE], [text("Hello"), FINISH])
    world = World({"only": (quiet, Place())}, PoolOptions(silence_after=30.0))
    waiting = spawn(world.ask(), "ask")
    await quiet.called.opened()
    world.clock.now += 100
    assert said(await world.ask()) == "Hello"
    await stop(waiting)


async def test_clients_that_give_up_on_it_count_as_its_failures() -> None:
    world = Two(fake(OPEN, SILENCE), breaker=BreakerLimits(failures=2))
    for _ in range(2):
        await world.wait_for_first()
    world.clock.now += 30
    await world.leave()
    assert world.pool.states()[0].health is Health.OPEN


async def test_clients_that_leave_early_say_nothing_of_it() -> None:
    world = Two(fake(OPEN, SILENCE), breaker=BreakerLimits(failures=1))
    await world.wait_for_first()
    world.clock.now += 29
    await world.leave()
    assert world.pool.states()[0].health is Health.CLOSED


async def test_a_deadline_that_has_passed_is_counted_once() -> None:
    gate = Gate()
    world = Two(fake(Wait(gate), faults.timeout("silent"), OPEN), breaker=BreakerLimits(failures=2))
    late = await world.wait_for_first()
    world.clock.now += 60
    gate.set()
    assert said(await late) == "Hello"
    assert world.attempts == [("first", "timeout"), ("second", "served")]
    assert world.pool.states()[0].health is Health.CLOSED


async def test_a_silent_one_is_probed() -> None:
    world = Two(fake(OPEN, SILENCE), probe_interval=1000.0)
    await world.pool.probe()
    await world.wait_for_first()
    world.clock.now += 30
    asked: list[str] = []

    async def readiness() -> Any:
        asked.append("asked")
        raise faults.connect("no connection")

    world.fakes["first"].readiness = readiness  # type: ignore[method-assign]
    await world.pool.probe()
    assert asked == ["asked"]
    await world.leave()


async def test_the_log_tells_of_a_silence_once_and_of_its_end() -> None:
    gate = Gate()
    world = Two(FakeUpstream([OPEN, Wait(gate), text("Hello"), FINISH]))
    with capture_logs() as log:
        late = await world.wait_for_first()
        for _ in range(3):
            world.clock.now += 20
            await world.pool.probe()
        gate.set()
        await late
        await world.pool.probe()
    told = [(each["name"], each["silent"]) for each in log if "silent" in each]
    assert told == [("first", True), ("first", False)]
