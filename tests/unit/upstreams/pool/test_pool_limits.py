"""Limits of a pool's members, and who is asked when they are full."""

import pytest

from deepseek_messages.translation.catalogue import FLASH, PRO
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.upstreams.pool.member import Place
from tests.support.fake import FINISH, OPEN, FakeUpstream, text
from tests.unit.upstreams.pool.world import World, fake, pair, request, said

pytestmark = pytest.mark.anyio


async def test_a_full_server_is_passed_over_and_an_empty_one_is_taken_again() -> None:
    places = {
        "first": (fake(), Place(max_concurrency=1)),
        "second": (fake(), Place(priority=1)),
    }
    world = World(places)
    running = await world.answer(request())
    await running.opened()
    await world.ask()
    assert world.calls() == {"first": 1, "second": 1}
    await running.aclose()
    await world.ask()
    assert world.calls() == {"first": 2, "second": 1}


async def test_when_all_are_full_the_client_is_told_to_come_back() -> None:
    world = World({"only": (fake(), Place(max_concurrency=1))})
    running = await world.answer(request())
    with pytest.raises(Fault) as caught:
        await world.answer(request())
    assert (caught.value.status, caught.value.retry_after) == (529, 1.0)
    await running.aclose()
    await world.ask()


async def test_where_another_worker_was_faster_the_next_is_asked() -> None:
    world = pair(fake(), fake())
    first, _ = world.pool.members
    first.enter = lambda _request: False  # type: ignore[method-assign]
    assert said(await world.ask()) == "Hello"
    assert world.calls() == {"first": 0, "second": 1}


def deepseek_and_another(deepseek: FakeUpstream, limit: int = 500) -> World:
    """An account with limits by model, and a server of one's own."""
    limits = {"deepseek-v4-pro": limit, "deepseek-flash": 2500}
    places = {
        "deepseek": (deepseek, Place(model_limits=limits)),
        "other": (fake(models=[PRO]), Place(priority=1)),
    }
    return World(places)


async def test_limits_by_model_are_kept() -> None:
    world = deepseek_and_another(fake(models=[FLASH, PRO]), limit=1)
    running = await world.answer(request(model="deepseek-v4-pro"))
    await running.opened()
    await world.ask(model="deepseek-chat")
    assert world.calls() == {"deepseek": 2, "other": 0}
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"deepseek": 2, "other": 1}
    await running.aclose()
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"deepseek": 3, "other": 1}


async def test_a_full_account_costs_no_retry() -> None:
    world = deepseek_and_another(fake(models=[FLASH, PRO]), limit=1)
    while world.pool.budget.spend():
        pass
    running = await world.answer(request(model="deepseek-v4-pro"))
    await running.opened()
    assert said(await world.ask(model="deepseek-v4-pro")) == "Hello"
    assert world.loads() == {"deepseek": 1, "other": 0}
    await running.aclose()


async def test_too_many_requests_for_one_model_leave_the_others_where_they_are() -> None:
    """DeepSeek counts an account's requests by model."""
    busy = from_status(429, {}, b'{"error":{"message":"concurrency exceeded"}}')
    deepseek = FakeUpstream([busy, OPEN], [text("Hello"), FINISH], models=[FLASH, PRO])
    world = deepseek_and_another(deepseek)
    await world.ask(model="deepseek-v4-pro")
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"deepseek": 1, "other": 2}
    await world.ask(model="deepseek-chat")
    assert world.calls() == {"deepseek": 2, "other": 2}
    world.clock.now += 1
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"deepseek": 3, "other": 2}


async def test_an_overloaded_service_rests_as_a_whole() -> None:
    overloaded = from_status(503, {}, b"")
    deepseek = FakeUpstream([overloaded, OPEN], [text("Hello"), FINISH], models=[FLASH, PRO])
    world = deepseek_and_another(deepseek)
    await world.ask(model="deepseek-v4-pro")
    await world.ask(model="deepseek-chat")
    assert world.calls() == {"deepseek": 1, "other": 2}


async def test_a_model_that_rests_is_not_asked_for_before_its_time_where_it_is_the_only_one() -> (
    None
):
    busy = from_status(429, {"retry-after": "60"}, b"")
    only = FakeUpstream([busy, OPEN], models=[PRO])
    world = World({"only": (only, Place(model_limits={"deepseek-v4-pro": 500}))})
    for wait in (60, 50):
        with pytest.raises(Fault) as caught:
            await world.ask(model="deepseek-v4-pro")
        assert (caught.value.status, caught.value.retry_after) == (429, wait)
        world.clock.now += 10
    assert world.calls() == {"only": 1}
    assert world.loads() == {"only": 0}
