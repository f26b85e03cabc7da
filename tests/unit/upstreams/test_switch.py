"""Replacing an upstream while answers run."""

import asyncio
from typing import Any

import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import Pool
from deepseek_messages.upstreams.route import Need
from deepseek_messages.upstreams.switch import Shared, Switch
from deepseek_messages.wire.chat import ChatRequest
from tests.support.fake import FakeUpstream

NEED = Need(model="deepseek-chat")
CALL = UpstreamCall(request=ChatRequest(model="m", messages=[]))

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_running_request_keeps_its_upstream_and_new_ones_get_the_new() -> None:
    old, new = FakeUpstream(), FakeUpstream()
    switch = Switch(old)
    route = switch.route(NEED)
    await switch.replace(new)
    assert new.started.is_set()
    assert route.upstream is old
    later = switch.route(NEED)
    assert later.upstream is new
    await settle()
    assert not old.closed.is_set()
    route.close()
    route.close()
    await settle()
    assert old.closed.is_set()
    assert not new.closed.is_set()
    assert switch.retiring == 0
    later.close()


async def test_an_upstream_without_requests_is_closed_at_once() -> None:
    old = FakeUpstream()
    switch = Switch(old)
    await switch.replace(FakeUpstream())
    await settle()
    assert old.closed.is_set()


@pytest.mark.parametrize("question", ["models", "count_tokens", "readiness"])
async def test_what_is_asked_is_answered_before_the_asked_one_is_closed(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, go_on = FakeUpstream(tokens=3), asyncio.Event()
    answer = getattr(old, question)

    async def slow(*given: Any) -> Any:
        await go_on.wait()
        assert not old.closed.is_set()
        return await answer(*given)

    monkeypatch.setattr(old, question, slow)
    switch = Switch(old)
    given = (CALL,) if question == "count_tokens" else ()
    asked = asyncio.get_running_loop().create_task(getattr(switch, question)(*given))
    await settle()
    await switch.replace(FakeUpstream())
    await settle()
    go_on.set()
    await asked
    await settle()
    assert old.closed.is_set()


async def test_closing_closes_those_that_retire_too() -> None:
    first, second = FakeUpstream(), FakeUpstream()
    switch = Switch(first)
    route = switch.route(NEED)
    await switch.replace(second)
    await switch.aclose()
    assert first.closed.is_set()
    assert second.closed.is_set()
    route.close()


async def test_it_answers_for_the_one_in_use() -> None:
    one: Any = FakeUpstream(tokens=3)
    for upstream in (Switch(one), Shared(one).lend()):
        assert (upstream.name, upstream.dialect) == (one.name, one.dialect)
        assert await upstream.models() == (FLASH,)
        assert await upstream.count_tokens(CALL) == 3
        assert (await upstream.readiness()).ready
        await upstream.start()
        await (await upstream.open(CALL)).aclose()
    assert Switch(one).states() == ()
    assert len(one.played) == 2


async def test_a_pool_behind_it_chooses_and_tells_its_states() -> None:
    pool = Pool([("a", FakeUpstream(), Place(max_concurrency=1))])
    switch = Switch(pool)
    route = switch.route(NEED)
    assert [state.load for state in switch.states()] == [1]
    assert route.fits(FLASH, lambda: 10)
    assert not await route.again(faults.timeout("silent"))
    with pytest.raises(Fault):
        switch.route(NEED)
    route.close()
    assert [state.load for state in switch.states()] == [0]


async def test_a_shared_upstream_is_closed_by_its_last_user() -> None:
    inner = FakeUpstream()
    shared = Shared(inner)
    first, second = shared.lend(), shared.lend()
    await first.aclose()
    assert not inner.closed.is_set()
    assert shared.in_use
    await second.aclose()
    assert inner.closed.is_set()
