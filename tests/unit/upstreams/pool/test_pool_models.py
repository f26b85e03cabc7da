"""The models that a pool lists."""

import asyncio
from typing import Any

import pytest

from deepseek_messages.service.tasks import spawn
from deepseek_messages.translation.catalogue import describe
from deepseek_messages.translation.faults import Fault
from tests.support.fake import FakeUpstream
from tests.support.gates import Gate
from tests.unit.upstreams.pool.world import (
    BOOM,
    LARGE,
    SMALL,
    fake,
    pair,
)

pytestmark = pytest.mark.anyio


async def test_the_models_of_all_are_listed_once_with_the_longest_context() -> None:
    world = pair(
        fake(models=[describe("a", context_window=10), SMALL]),
        fake(models=[describe("a", context_window=20)]),
    )
    listed = {model.id: model.context_window for model in await world.pool.models()}
    assert listed == {"a": 20, "small": 1000}


async def test_models_fail_only_when_nobody_can_say() -> None:
    world = pair(FakeUpstream(models=BOOM), fake(models=[LARGE]))
    assert [model.id for model in await world.pool.models()] == ["large"]
    world = pair(FakeUpstream(models=BOOM), FakeUpstream(models=BOOM))
    with pytest.raises(Fault):
        await world.pool.models()


class Unlisting(FakeUpstream):
    """Lists its models once, and then says nothing when it is asked."""

    def __init__(self, *models: Any) -> None:
        super().__init__(models=models)
        self.let_go = asyncio.Event()
        self.lists = len(models) > 0

    async def models(self) -> Any:
        if self.lists:
            self.lists = False
            return await super().models()
        try:
            await asyncio.Event().wait()
        finally:
            self.let_go.set()


async def test_a_list_does_not_wait_for_a_member_whose_models_are_known() -> None:
    silent = Unlisting(LARGE)
    world = pair(fake(models=[SMALL]), silent)
    for _ in range(2):
        assert {model.id for model in await world.pool.models()} == {"small", "large"}
    assert silent.let_go.is_set()


async def test_a_list_does_not_wait_again_for_a_member_that_was_asked_in_vain() -> None:
    silent = Unlisting()
    world = pair(fake(models=[SMALL]), silent)
    world.pool.members[1].failed(BOOM)
    assert [model.id for model in await world.pool.models()] == ["small"]
    assert silent.let_go.is_set()


async def test_the_first_list_waits_for_everybody() -> None:
    gate = Gate()

    class Late(FakeUpstream):
        async def models(self) -> Any:
            await gate.opened()
            return await super().models()

    world = pair(fake(models=[SMALL]), Late(models=[LARGE]))
    listing = spawn(world.pool.models(), "list")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not listing.done()
    gate.set()
    assert {model.id for model in await listing} == {"small", "large"}


async def test_a_list_tells_what_a_member_serves_now() -> None:
    first = fake(models=[SMALL])
    world = pair(first, fake())
    await world.pool.models()
    first._models = [LARGE]
    assert "large" in {model.id for model in await world.pool.models()}
