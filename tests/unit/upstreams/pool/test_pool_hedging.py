"""Hedging: a second upstream is asked while the first keeps silent; one of them answers."""

import asyncio
from typing import Any

import pytest

from deepseek_messages.service.tasks import running, spawn
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH, describe
from deepseek_messages.translation.dialects import VLLM
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.upstreams.pool.breaker import Health
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import PoolOptions
from deepseek_messages.wire.events import MessageStart
from tests.support.answering import events_of
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import Gate
from tests.support.raw import Reached, Wait
from tests.unit.upstreams.pool.world import World, fake, request, said

pytestmark = pytest.mark.anyio

BOOM = faults.connect("no connection")
SMALL = describe("small", context_window=5)
SLOW, QUICK = "slow", "quick"
EQUAL = Place()


class Hedging(World):
    """Two equals; the first one is asked first. ``patience`` ends when the test says so."""

    def __init__(
        self, first: FakeUpstream, second: FakeUpstream, second_place: Place = EQUAL, **more: Any
    ) -> None:
        # The heavier one has the conversation, whatever its name hashes to.
        places = {SLOW: (first, Place(weight=1e9)), QUICK: (second, second_place)}
        super().__init__(places, PoolOptions(**({"hedge_after": 2.0} | more)))
        self.patience = asyncio.Event()
        self.waits: list[float] = []
        self.pool.sleep = self._sleep

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await self.patience.wait()

    async def ask_slowly(self, **more: Any) -> list[Any]:
        """An answer for which the first upstream's time runs out at once."""
        self.patience.set()
        return await self.ask(**more)


async def rounds() -> None:
    """Let everything happen that waits for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
async def nothing_left() -> Any:
    yield
    await rounds()
    assert running() == 0


async def test_off_by_default() -> None:
    world = World({SLOW: (fake(), Place(weight=1e9)), QUICK: (fake(), Place())})
    await world.ask()
    assert world.calls() == {SLOW: 1, QUICK: 0}
    assert world.clock.slept == []


async def test_a_hedge_that_finds_no_place_costs_nothing() -> None:
    world = Hedging(fake(SILENCE), fake())
    second = next(member for member in world.pool.members if member.name == QUICK)
    second.enter = lambda _request: False  # type: ignore[method-assign]
    before = world.pool.budget._saved
    asking = spawn(world.ask_slowly(), "ask")
    await rounds()
    asking.cancel()
    await asyncio.wait((asking,))
    assert world.pool.budget._saved == before + 0.2


async def test_one_that_speaks_in_time_is_alone() -> None:
    world = Hedging(fake(), fake())
    assert said(await world.ask()) == "Hello"
    assert world.waits == [2.0]
    assert world.attempts == [(SLOW, "served")]
    assert world.calls() == {SLOW: 1, QUICK: 0}


async def test_the_second_answers_when_it_speaks_first() -> None:
    world = Hedging(fake(OPEN, SILENCE), fake(text("quick"), FINISH))
    events = await world.ask_slowly()
    assert said(events) == "quick"
    assert [type(event) for event in events].count(MessageStart) == 1
    assert world.fakes[SLOW].played[0].closed.is_set()
    assert sorted(world.attempts) == [(QUICK, "served"), (SLOW, "hedged")]
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_the_first_answers_when_it_speaks_after_all() -> None:
    asked = Gate()
    slow = fake(OPEN, Wait(asked), text("slow"), FINISH)
    world = Hedging(slow, fake(Reached(asked), SILENCE, OPEN))
    assert said(await world.ask_slowly()) == "slow"
    assert world.fakes[QUICK].played[0].closed.is_set()
    assert sorted(world.attempts) == [(QUICK, "hedged"), (SLOW, "served")]
    assert (world.record.upstream, world.record.model) == (SLOW, FLASH.id)
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_when_both_speak_at_once_one_answers_and_the_other_is_closed() -> None:
    go = Gate()
    slow = fake(OPEN, Wait(go), text("slow"), FINISH)
    quick = fake(OPEN, Wait(go), text("quick"), FINISH)
    world = Hedging(slow, quick)
    asking = spawn(world.ask_slowly(), "ask")
    await quick.called.opened()
    await rounds()
    go.set()
    await asyncio.wait((asking,))
    assert said(asking.result()) == "slow"
    assert quick.played[0].closed.is_set()
    assert sorted(world.attempts) == [(QUICK, "served"), (SLOW, "served")]
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_the_record_names_who_answered_and_counts_once() -> None:
    second = describe("another", context_window=100_000)
    world = Hedging(fake(OPEN, SILENCE), fake(models=[second], dialect=VLLM))
    await world.ask_slowly()
    assert (world.record.upstream, world.record.model) == (QUICK, "another")
    assert world.record.tokens is not None
    assert (world.record.tokens.input, world.record.tokens.output) == (7, 3)


async def test_each_gets_the_request_in_its_own_form() -> None:
    world = Hedging(fake(OPEN, SILENCE), fake(dialect=VLLM))
    await world.ask_slowly()
    calls = [world.fakes[name].played[0].call for name in (SLOW, QUICK)]
    assert [call.upstream for call in calls] == [SLOW, QUICK]
    assert calls[0].request.thinking is not None  # DeepSeek's field
    assert calls[1].request.chat_template_kwargs is not None  # vLLM's


async def test_message_start_that_went_out_early_is_not_repeated() -> None:
    world = Hedging(fake(OPEN, SILENCE), fake())
    answer = await world.answer(request())
    opening = spawn(answer.opened(), "open")
    early = await answer.start()
    world.patience.set()
    await opening
    events = await events_of(answer)
    assert [type(event) for event in early] == [MessageStart]
    assert not [event for event in events if isinstance(event, MessageStart)]
    assert said(events) == "Hello"


async def test_a_first_that_fails_early_is_followed_by_the_usual_failover() -> None:
    world = Hedging(fake(BOOM, OPEN), fake())
    assert said(await world.ask()) == "Hello"
    assert world.attempts == [(SLOW, "connect"), (QUICK, "served")]


async def test_a_first_that_fails_late_leaves_the_second_to_answer() -> None:
    asked, failed = Gate(), Gate()
    slow = fake(OPEN, Wait(asked), Reached(failed), BOOM)
    world = Hedging(slow, fake(Reached(asked), Wait(failed), OPEN, text("quick"), FINISH))
    assert said(await world.ask_slowly()) == "quick"
    assert sorted(world.attempts) == [(QUICK, "served"), (SLOW, "connect")]


async def test_a_second_that_fails_changes_nothing() -> None:
    failed = Gate()
    world = Hedging(
        fake(OPEN, Wait(failed), text("slow"), FINISH), fake(Reached(failed), BOOM, OPEN)
    )
    assert said(await world.ask_slowly()) == "slow"
    assert sorted(world.attempts) == [(QUICK, "connect"), (SLOW, "served")]
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_when_both_fail_the_first_ones_fault_is_told() -> None:
    asked = Gate()
    bad = from_status(400, {}, b'{"error":{"message":"bad tool"}}')
    world = Hedging(fake(Wait(asked), bad, OPEN), fake(Reached(asked), BOOM, OPEN))
    with pytest.raises(Fault) as caught:
        await world.ask_slowly()
    assert caught.value is bad
    assert world.record.upstream == SLOW
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_a_whole_answer_is_not_hedged() -> None:
    """Its first word comes with its last: silence says nothing there."""
    world = Hedging(fake(), fake())
    assert said(await world.ask_slowly(stream=False)) == "Hello"
    assert world.waits == []


@pytest.mark.parametrize(
    ("place", "models", "options"),
    [
        (Place(priority=1), [FLASH], {}),
        (Place(), [SMALL], {}),
        (Place(), BOOM, {}),
        (Place(), [FLASH], {"attempts": 1}),
    ],
    ids=["a mere fallback", "one with too little room", "one that is down", "no tries left"],
)
async def test_who_is_not_asked_as_well(place: Place, models: Any, options: Any) -> None:
    begun, go = Gate(), Gate()
    slow = fake(OPEN, Reached(begun), Wait(go), text("slow"), FINISH)
    world = Hedging(slow, fake(models=models), place, **options)
    asking = spawn(world.ask_slowly(), "ask")
    await begun.opened()
    await rounds()
    go.set()
    assert said(await asking) == "slow"
    assert world.calls() == {SLOW: 1, QUICK: 0}
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_limits_are_kept() -> None:
    held = Gate()
    world = Hedging(
        fake(OPEN, Wait(held), text("slow"), FINISH),
        fake(OPEN, Wait(held), text("quick"), FINISH),
        Place(max_concurrency=1),
    )
    world.patience.set()
    asked = [spawn(world.ask(), "ask") for _ in range(3)]
    await world.fakes[QUICK].called.opened()
    await rounds()
    assert world.loads() == {SLOW: 3, QUICK: 1}
    held.set()
    await asyncio.gather(*asked)
    assert world.loads() == {SLOW: 0, QUICK: 0}


async def test_one_that_is_left_out_is_not_asked() -> None:
    go = Gate()
    world = Hedging(fake(OPEN, Wait(go), text("slow"), FINISH), fake())
    for _ in range(3):
        world.pool.members[1].failed(BOOM)
    assert world.pool.states()[1].health is Health.OPEN
    asking = spawn(world.ask_slowly(), "ask")
    await world.fakes[SLOW].called.opened()
    await rounds()
    go.set()
    await asking
    assert world.calls() == {SLOW: 1, QUICK: 0}


async def test_hedges_are_paid_for_from_the_budget_of_retries() -> None:
    world = Hedging(fake(OPEN, SILENCE), fake())
    while world.pool.budget.spend():
        pass
    asking = spawn(world.ask_slowly(), "ask")
    await world.fakes[SLOW].called.opened()
    await rounds()
    assert world.calls() == {SLOW: 1, QUICK: 0}
    asking.cancel()
    await asyncio.wait((asking,))


async def test_a_client_that_leaves_ends_both() -> None:
    world = Hedging(fake(OPEN, SILENCE), fake(OPEN, SILENCE))
    asking = spawn(world.ask_slowly(), "ask")
    await world.fakes[QUICK].called.opened()
    asking.cancel()
    await asyncio.wait((asking,))
    for name in (SLOW, QUICK):
        assert world.fakes[name].played[0].closed.is_set()
    assert world.loads() == {SLOW: 0, QUICK: 0}
    assert world.attempts == []
