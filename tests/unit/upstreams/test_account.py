"""The limits of an account, and of an upstream that stands alone."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from deepseek_messages.service.answerer import Answerer
from deepseek_messages.service.callers import Caller
from deepseek_messages.settings import AuthSettings, Secret, Settings, UpstreamSettings
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH, PRO, describe
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.account import DEEPSEEK_LIMITS, Account, Limited
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.upstreams.places import Board, OwnPlaces, Places, SharedPlaces
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import Pool
from deepseek_messages.upstreams.route import Need
from deepseek_messages.upstreams.switch import Switch
from deepseek_messages.web.upstreams import Shelf, make_upstream
from tests.support.answering import answerer_on
from tests.support.fake import OPEN, FakeUpstream
from tests.unit.upstreams.pool.world import fake, request

pytestmark = pytest.mark.anyio

OLD = [describe(name) for name in ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-flash")]


# --- an account -----------------------------------------------------------------------------------


def test_models_are_counted_apart_and_old_names_with_the_model_they_mean() -> None:
    account = Account("a", {FLASH.id: 3, PRO.id: 1}, OwnPlaces())
    for model in OLD:
        account.enter(model.id)
    with pytest.raises(Fault) as caught:
        account.enter(FLASH.id)
    told = caught.value
    assert (told.status, told.error_type, told.retry_after) == (429, "rate_limit_error", 1.0)
    assert "3 concurrent requests to deepseek-flash" in told.message
    pro = account.enter(PRO.id)
    with pytest.raises(Fault):
        account.enter(PRO.id)
    account.leave(pro)
    account.enter(PRO.id)


def test_what_is_not_limited_takes_no_place() -> None:
    account = Account("a", DEEPSEEK_LIMITS, OwnPlaces())
    assert account.enter("a-model-to-come") is None
    account.leave(None)


def test_the_same_account_is_one_wherever_it_is_used() -> None:
    places = OwnPlaces()
    one, same, other = (Account(name, {PRO.id: 1}, places) for name in ("a", "a", "b"))
    one.enter(PRO.id)
    other.enter(PRO.id)
    with pytest.raises(Fault):
        same.enter(PRO.id)


# --- one upstream alone ---------------------------------------------------------------------------


@dataclass
class Alone:
    """An upstream with limits, as the application uses it."""

    upstream: FakeUpstream
    limits: dict[str, int] = field(default_factory=dict)
    most: int | None = None
    account: str = "ours"
    places: Places = field(default_factory=OwnPlaces)

    def __post_init__(self) -> None:
        account = Account(self.account, self.limits, self.places)
        self.switch = Switch(Limited(self.upstream, account, self.places, self.most))
        self.answerer: Answerer = answerer_on(self.switch)

    async def open(self, caller: Caller = Caller("key-1"), **more: Any) -> Any:  # noqa: B008
        answer = await self.answerer.answer(request(**more), caller, RequestRecord("req_1"))
        try:
            await answer.opened()
        except BaseException:
            await answer.aclose()
            raise
        return answer


async def test_the_request_above_the_accounts_limit_is_refused_before_it_is_sent() -> None:
    alone = Alone(fake(models=[FLASH, PRO]), {PRO.id: 1})
    running = await alone.open(model=PRO.id)
    with pytest.raises(Fault) as caught:
        await alone.open(model=PRO.id)
    assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
    assert len(alone.upstream.played) == 1
    await (await alone.open(model=FLASH.id)).aclose()
    await running.aclose()
    await (await alone.open(model=PRO.id)).aclose()


async def test_the_operators_own_limit_is_an_overload() -> None:
    alone = Alone(fake(), most=1)
    running = await alone.open()
    with pytest.raises(Fault) as caught:
        await alone.open()
    assert (caught.value.status, caught.value.error_type) == (529, "overloaded_error")
    await running.aclose()
    await (await alone.open()).aclose()


async def test_whoever_is_refused_by_one_limit_takes_no_place_of_the_other() -> None:
    alone = Alone(fake(models=[PRO, FLASH]), {PRO.id: 1}, most=2)
    running = await alone.open(model=PRO.id)
    for _ in range(3):
        with pytest.raises(Fault, match="account"):
            await alone.open(model=PRO.id)
    await (await alone.open(model=FLASH.id)).aclose()
    await running.aclose()
    assert alone.places.held("upstream fake") == 0


async def test_a_failure_gives_the_place_back() -> None:
    alone = Alone(FakeUpstream([faults.connect("no connection"), OPEN]), {FLASH.id: 1}, most=1)
    for _ in range(3):
        with pytest.raises(Fault, match="no connection"):
            await alone.open()


async def test_callers_with_keys_of_their_own_have_accounts_of_their_own() -> None:
    alone = Alone(fake(), {FLASH.id: 1}, account="")
    callers = [Caller(n, credential=f"sk-{n}", identity=n) for n in ("a", "b")]
    running = [await alone.open(caller) for caller in callers]
    with pytest.raises(Fault):
        await alone.open(callers[0])
    for answer in running:
        await answer.aclose()


async def test_two_workers_keep_one_limit() -> None:
    board = Board(2, 16)
    first, second = (Alone(fake(), {FLASH.id: 2}, 2, "a", SharedPlaces(board, n)) for n in (0, 1))
    running = [await first.open(), await second.open()]
    for each in (first, second):
        with pytest.raises(Fault):
            await each.open()
    await running[0].aclose()
    running[0] = await second.open()
    for answer in running:
        await answer.aclose()


async def test_a_reload_forgets_no_request_that_runs() -> None:
    alone = Alone(fake(), {FLASH.id: 1})
    running = await alone.open()
    account = Account("ours", {FLASH.id: 1}, alone.places)
    await alone.switch.replace(Limited(fake(), account, alone.places, None))
    with pytest.raises(Fault):
        await alone.open()
    await running.aclose()
    await (await alone.open()).aclose()


async def test_it_passes_everything_else_on() -> None:
    one = fake(tokens=3)
    limited = Limited(one, Account("a", {}, OwnPlaces()), OwnPlaces(), 1)
    assert (limited.name, limited.dialect) == (one.name, one.dialect)
    assert limited.route(Need(model="m")).upstream is one  # also the short way goes there
    await limited.start()
    assert one.started.is_set()
    await limited.aclose()
    assert one.closed.is_set()


# --- several --------------------------------------------------------------------------------------


async def test_pools_of_two_workers_keep_one_limit() -> None:
    board = Board(2, 16)
    place = Place(max_concurrency=1)
    pools = [Pool([("m", fake(), place)], places=SharedPlaces(board, n)) for n in (0, 1)]
    route = pools[0].route(Need(model="m"))
    with pytest.raises(Fault, match="busy"):
        pools[1].route(Need(model="m"))
    route.close()
    pools[1].route(Need(model="m")).close()


async def test_members_with_one_key_share_its_account() -> None:
    places = OwnPlaces()
    place = Place(model_limits={FLASH.id: 1}, account="ours")
    pool = Pool([("one", fake(), place), ("two", fake(), place)], places=places)
    answerer = answerer_on(pool)
    pool.sleep = lambda _seconds: _nothing()
    running = await answerer.answer(request(), Caller("k"), RequestRecord("r"))
    await running.opened()
    second = await answerer.answer(request(), Caller("k"), RequestRecord("r"))
    with pytest.raises(Fault) as caught:
        await second.opened()
    assert caught.value.status == 429
    await second.aclose()
    await running.aclose()


async def _nothing() -> None:
    pass


# --- from the settings ----------------------------------------------------------------------------


def settings(auth: str = "keys", **upstream: Any) -> Settings:
    given = {"kind": "chat", "api_key": Secret("sk-ours")} | upstream
    return Settings(upstream=UpstreamSettings(**given), auth=AuthSettings(mode=auth))  # type: ignore[arg-type]


async def full_at(made: Any, model: Any, caller: str = "") -> int:
    """How many requests fit."""
    routes = []
    try:
        for _ in range(3000):
            routes.append(made.route(Need(model=model.id, caller=caller)))
            routes[-1].fits(model, lambda: 1)
    except Fault:
        return len(routes) - 1
    finally:
        for route in routes:
            route.close()
    raise AssertionError("no limit")


async def test_deepseek_alone_is_limited_as_its_accounts_are() -> None:
    made = make_upstream(settings())
    assert await full_at(made, FLASH) == 2500
    assert await full_at(made, PRO) == 500
    await made.aclose()


async def test_an_enlarged_account_is_told_by_the_settings() -> None:
    made = make_upstream(settings(max_concurrency=7))
    assert await full_at(made, PRO) == 7
    await made.aclose()


async def test_passed_on_keys_are_counted_each() -> None:
    shelf = Shelf()
    made = make_upstream(settings("pass-through", api_key=None), shelf)
    assert await full_at(made, PRO, "a") == 500
    for _ in range(500):
        assert shelf.places.take("account a deepseek-v4-pro", 500)
    assert await full_at(made, PRO, "b") == 500
    assert await full_at(made, PRO, "a") == 0
    await made.aclose()


async def test_other_servers_have_no_limits() -> None:
    made = make_upstream(settings(base_url="http://vllm.example:8000/v1"))
    assert isinstance(made, ChatHttpUpstream)
    await made.aclose()
