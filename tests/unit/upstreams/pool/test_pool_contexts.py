"""Requests too long for one member of a pool."""

from typing import Any

import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.pool.breaker import Health
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.way import PoolRoute
from tests.unit.upstreams.pool.world import (
    LARGE,
    OVERFLOW,
    SMALL,
    World,
    failing,
    fake,
    pair,
    said,
    sized,
)

pytestmark = pytest.mark.anyio


async def test_a_request_too_long_for_one_goes_to_one_with_room() -> None:
    world = sized()
    await world.pool.models()
    await world.ask("word " * 2000)
    assert world.calls() == {"first": 0, "second": 1}
    await world.ask()
    assert world.calls() == {"first": 1, "second": 1}


@pytest.mark.parametrize("servers", [1, 2])
async def test_no_server_is_gone_back_to_for_a_longer_model_than_the_one_asked_for(
    servers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    fits = PoolRoute.fits

    def counted(*arguments: Any) -> bool:
        nonlocal looks
        looks += 1
        assert looks < 10
        return fits(*arguments)

    monkeypatch.setattr(PoolRoute, "fits", counted)
    both = {str(n): (fake(models=[SMALL, LARGE]), Place(priority=n)) for n in range(servers)}
    world = World(both)
    await world.pool.models()
    await world.ask("word " * 2000, model="small")
    assert sum(world.calls().values()) == 1
    assert set(world.loads().values()) == {0}


async def test_an_overflow_goes_to_one_with_room() -> None:
    world = pair(failing(OVERFLOW, models=[SMALL]), fake(models=[LARGE]))
    await world.pool.models()
    assert said(await world.ask()) == "Hello"
    assert world.pool.states()[0].health is Health.CLOSED


async def test_an_overflow_goes_to_nobody_who_has_no_more_room() -> None:
    world = pair(failing(OVERFLOW, models=[LARGE]), fake(models=[SMALL]))
    await world.pool.models()
    with pytest.raises(Fault, match="prompt is too long"):
        await world.ask()
    assert world.calls() == {"first": 1, "second": 0}


async def test_the_overflow_is_told_when_the_one_with_room_fails() -> None:
    world = pair(failing(OVERFLOW, models=[SMALL]), failing(faults.garbage("x"), models=[LARGE]))
    await world.pool.models()
    with pytest.raises(Fault, match="prompt is too long"):
        await world.ask()


async def test_the_window_of_the_settings_counts() -> None:
    places = {
        "narrow": (fake(models=[LARGE]), Place(context_window=1000)),
        "wide": (fake(models=[LARGE]), Place(priority=1)),
    }
    world = World(places)
    listed = await world.pool.models()
    assert [model.context_window for model in listed] == [100_000]
    await world.ask("word " * 2000)
    assert world.calls() == {"narrow": 0, "wide": 1}
