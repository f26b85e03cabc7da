"""A pool through whatever happens: servers that fail in every way, clients that leave at any time.

Whatever the order, limits hold all the time, and in the end nothing is held: no place, no trial, no
task, no answer of a server's. A server that is well again gets requests again.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from deepseek_messages.service.tasks import running, spawn
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH, PRO, describe
from deepseek_messages.translation.faults import Fault, FaultKind, from_status
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.base import Readiness
from deepseek_messages.upstreams.places import OwnPlaces
from deepseek_messages.upstreams.pool.breaker import Health
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import PoolOptions
from tests.support.answering import events_of
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, finish, text
from tests.unit.upstreams.pool.world import World, request

pytestmark = pytest.mark.anyio

OVERFLOW = Fault(FaultKind.REFUSED, "prompt is too long: 20 tokens > 10 maximum", status=400,
                 upstream_status=400, transient=False)  # fmt: skip
FAULTS: Sequence[Fault] = (
    faults.connect("no connection"),
    faults.cut(),
    faults.timeout("silent"),
    faults.garbage("html"),
    OVERFLOW,
    *(from_status(status, {}, b"") for status in (400, 401, 404, 429, 500, 503)),
    from_status(429, {"retry-after": "3"}, b""),
    from_status(429, {"retry-after": "30"}, b""),
)
MODELS = (FLASH, PRO, describe("small", context_window=1000), describe("large"))
HELLO = [text("Hel"), text("lo"), FINISH]
SEEDS = 30
STEPS = 60


class Moody(FakeUpstream):
    """Answers every call by chance, until it is well."""

    def __init__(self, chance: Random) -> None:
        super().__init__(models=chance.sample(MODELS, chance.randint(1, 3)))
        self.chance = chance
        self.well = False

    async def open(self, call: Any) -> Any:
        self.scripts = [HELLO if self.well else self._script()]
        for _ in range(0 if self.well else self.chance.choice([0, 0, 1, 3])):
            await asyncio.sleep(0)
        return await super().open(call)

    async def readiness(self) -> Readiness:
        return Readiness(ready=self.well or self.chance.random() < 0.7)

    def _script(self) -> list[Any]:
        fault = self.chance.choice(FAULTS)
        return self.chance.choice(
            [HELLO, HELLO, [fault, OPEN], [fault, OPEN], [OPEN, fault], [text("Hel"), fault],
             [*HELLO, fault], [text("Hel"), finish("insufficient_system_resource")], [text("Hel")],
             [SILENCE, OPEN], [OPEN, SILENCE], [text("Hel"), SILENCE]]
        )  # fmt: skip


class Chaos(World):
    """A pool of such servers, under whatever limits."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        places = {
            name: (
                Moody(chance),
                Place(
                    priority=chance.choice([0, 0, 1]),
                    weight=chance.choice([1.0, 3.0]),
                    max_concurrency=chance.choice([None, 1, 2]),
                    model_limits=chance.choice([{}, {FLASH.id: 1}, {PRO.id: 2, FLASH.id: 2}]),
                    account=chance.choice(["", "", "shared"]),
                ),
            )
            for name in ("one", "two", "three")
        }
        hedged = chance.choice([0.0, 0.0, 2.0])
        super().__init__(places, PoolOptions(attempts=4, hedge_after=hedged, silence_after=20))
        self.pool.draw = chance.random
        for member in self.pool.members:
            member.breaker._draw = chance.random
        self.pool.sleep = self._sleep

    async def _sleep(self, seconds: float) -> None:
        for _ in range(self.chance.choice([1, 2, 5])):
            await asyncio.sleep(0)
        self.clock.now += seconds

    async def try_one(self, session: str) -> None:
        model = self.chance.choice(["deepseek-chat", "small", "large", PRO.id])
        words = self.chance.choice(["Hello", "word " * 2000])
        with suppress(Fault, Refusal):
            if self.chance.random() < 0.3:
                await self.whole(request(words, model=model, stream=False))
            else:
                await events_of(await self.answer(request(words, model=model), session))

    def check(self) -> None:
        assert self.pool.budget._saved >= 0
        for member in self.pool.members:
            most = member.place.max_concurrency
            assert member.load >= 0
            assert most is None or member.load <= most
            if member.breaker._trying:
                assert member.load > 0, "a trial that nobody makes"
        places = self.pool.members[0]._places
        assert isinstance(places, OwnPlaces)
        for member in self.pool.members:
            for model, limit in member.place.model_limits.items():
                shared = max(
                    each.place.model_limits.get(model, 0)
                    for each in self.pool.members
                    if each.account._name == member.account._name
                )
                assert places.held(f"account {member.account._name} {model}") <= max(limit, shared)

    def check_nothing_is_held(self) -> None:
        places = self.pool.members[0]._places
        assert isinstance(places, OwnPlaces)
        assert not places._held
        assert set(self.loads().values()) == {0}
        assert not any(member.breaker._trying for member in self.pool.members)
        assert not any(member.silence._waiting for member in self.pool.members)
        assert running() == 0
        for server in self.fakes.values():
            assert all(played.closed.is_set() for played in server.played)


async def rounds(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_limits_hold_and_nothing_is_left(seed: int) -> None:
    chance = Random(seed)
    world = Chaos(chance)
    asked: list[asyncio.Task[None]] = []
    for _ in range(STEPS):
        match chance.choice(["ask", "ask", "ask", "leave", "wait", "probe"]):
            case "ask":
                asked.append(spawn(world.try_one(chance.choice("abcdefgh")), "ask"))
            case "leave" if asked:
                chance.choice(asked).cancel()
            case "wait":
                world.clock.now += chance.choice([0.1, 1, 6, 40])
            case "probe":
                await world.pool.probe()
        await rounds(chance.choice([0, 1, 3, 10]))
        world.check()
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await rounds(5)
    assert not [t for t in asked if not t.cancelled() and t.exception()]
    world.check_nothing_is_held()
    await _all_come_back(world)


async def _all_come_back(world: Chaos) -> None:
    for server in world.fakes.values():
        assert isinstance(server, Moody)
        server.well = True
    world.clock.now += 1000
    await world.pool.probe()
    before = world.calls()
    first = min(member.place.priority for member in world.pool.members)
    for number in range(60):
        await events_of(await world.answer(request(str(number)), str(number)))
        world.clock.now += 5
    await rounds(5)
    world.check_nothing_is_held()
    assert {member.breaker.state(world.clock.now) for member in world.pool.members} <= {
        Health.CLOSED,
        Health.TRIAL,
    }
    for member in world.pool.members:
        if member.place.priority == first:
            assert world.calls()[member.name] > before[member.name], "one that is never asked"
