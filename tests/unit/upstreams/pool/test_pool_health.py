"""Who is left out of a pool, and comes back."""

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from deepseek_messages.service.callers import Caller
from deepseek_messages.service.tasks import spawn
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import PRO
from deepseek_messages.translation.faults import Fault, FaultKind, from_status
from deepseek_messages.upstreams.base import Readiness, UpstreamCall
from deepseek_messages.upstreams.pool.breaker import BreakerLimits, Health
from deepseek_messages.upstreams.pool.member import MemberState, Place
from deepseek_messages.upstreams.pool.pool import PoolOptions
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatRequest,
    ChunkChoice,
)
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import Gate
from tests.support.raw import Wait
from tests.unit.upstreams.pool.world import (
    BOOM,
    World,
    failing,
    fake,
    pair,
    request,
    said,
    sized,
)

pytestmark = pytest.mark.anyio


async def test_one_that_keeps_failing_is_left_out_and_comes_back() -> None:
    flaky = FakeUpstream(*[[BOOM, OPEN]] * 3, [text("Hello"), FINISH])
    world = pair(flaky, fake())
    for _ in range(5):
        await world.ask()
    assert world.calls() == {"first": 3, "second": 5}
    assert world.pool.states()[0].health is Health.OPEN
    assert world.pool.states()[0].reason == "no connection"
    world.clock.now += 10
    await world.ask()
    assert world.calls() == {"first": 4, "second": 5}
    assert world.pool.states()[0].health is Health.CLOSED


async def test_one_that_may_be_back_gets_one_request_whatever_else_ends_there() -> None:
    fails, hangs, answers = [BOOM, OPEN], [SILENCE, OPEN], [text("Hello"), FINISH]
    first = FakeUpstream([text("Hel"), SILENCE], fails, fails, fails, hangs, answers)
    world = pair(first, fake())
    earlier = await world.answer(request())
    await earlier.opened()
    for _ in range(3):
        await world.ask()
    world.clock.now += 10
    trial = await world.answer(request())
    opening = asyncio.get_running_loop().create_task(trial.opened())
    await asyncio.sleep(0)
    await earlier.aclose()
    await world.ask()
    assert world.calls() == {"first": 5, "second": 4}
    opening.cancel()
    await asyncio.wait((opening,))
    await trial.aclose()
    await world.ask()  # the trial told nothing: the next one tries
    assert world.calls() == {"first": 6, "second": 4}


@pytest.mark.parametrize("ends", [BOOM, FINISH], ids=["fails", "answers"])
async def test_only_the_trial_decides_whatever_ends_meanwhile(ends: Any) -> None:
    fails, gate, trial_gate = [BOOM, OPEN], Gate(), Gate()
    late = [text("Hello"), ends] if ends is FINISH else [ends, OPEN]
    answers = [Wait(trial_gate), OPEN, text("Hello"), FINISH]
    first = FakeUpstream([Wait(gate), *late], fails, fails, fails, answers)
    world = pair(first, fake(), attempts=2)
    earlier = spawn(world.ask(), "earlier")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for _ in range(3):
        await world.ask()
    world.clock.now += 10
    trial = spawn(world.ask(), "trial")
    while world.calls()["first"] < 5:
        await asyncio.sleep(0)
    gate.set()
    await earlier
    assert world.pool.states()[0].health is Health.TRIAL
    trial_gate.set()
    await trial
    assert world.pool.states()[0].health is Health.CLOSED


@pytest.mark.parametrize("said", [[text("Hel")], [text("Hel"), FINISH]], ids=["", "at its end"])
async def test_one_whose_answers_all_break_is_left_out(said: list[Any]) -> None:
    world = pair(fake(*said, faults.cut()), fake())
    for _ in range(4):
        await world.ask()
    assert world.calls() == {"first": 3, "second": 1}


@pytest.mark.parametrize(
    "good", [[text("Hello"), FINISH], [text("one END two"), SILENCE]], ids=["whole", "cut here"]
)
async def test_an_answer_that_is_whole_in_between_begins_the_row_anew(good: list[Any]) -> None:
    breaks = [text("Hel"), faults.cut()]
    first = FakeUpstream(breaks, breaks, good, breaks, breaks, good)
    world = pair(first, fake())
    for _ in range(6):
        await world.ask(stop_sequences=["END"])
    assert world.calls() == {"first": 6, "second": 0}
    assert world.pool.states()[0].health is Health.CLOSED


async def test_a_long_rest_of_a_model_is_not_shortened_by_another_word() -> None:
    """Two requests at a time: the first is told to wait for a minute, the second no time."""
    long = from_status(429, {"retry-after": "60"}, b"")
    short = from_status(429, {}, b"")
    world = World({"only": (fake(models=[PRO]), Place(model_limits={PRO.id: 500}))})
    (member,) = world.pool.members
    member.failed(long, PRO.id)
    member.failed(short, PRO.id)
    world.clock.now += 30
    assert not member.takes(PRO.id)


async def test_a_refused_key_is_left_out_at_once() -> None:
    world = pair(failing(from_status(401, {}, b"", own_credential=True)), fake())
    await world.ask()
    await world.ask()
    assert world.calls() == {"first": 1, "second": 2}


async def test_when_all_seem_down_they_are_tried_all_the_same() -> None:
    flaky = FakeUpstream(*[[BOOM, OPEN]] * 3, [text("Hello"), FINISH])
    world = World({"only": (flaky, Place())}, PoolOptions(attempts=1))
    for _ in range(3):
        with pytest.raises(Fault):
            await world.ask()
    assert world.pool.states()[0].health is Health.OPEN
    assert said(await world.ask()) == "Hello"


ABORTED = ChatChunk(choices=[ChunkChoice(finish_reason="aborted")])
OVERLOADED = ChatChunk(error=msgspec.Raw(b'{"message": "overloaded"}'))


@pytest.mark.parametrize(
    ("end", "told"),
    [([faults.cut()], "cut"), ([], "cut"), ([OVERLOADED], "reported"), ([ABORTED], "reported")],
    ids=["cut", "an end without a reason", "an error inside the stream", "a reason that is none"],
)
async def test_a_break_in_mid_answer_counts_too(end: list[Any], told: str) -> None:
    world = pair(fake(text("Hel"), *end), fake(), breaker=BreakerLimits(failures=2))
    await world.ask()
    assert world.pool.states()[0].health is Health.CLOSED
    assert world.attempts == [("first", "served"), ("first", told)]


async def test_a_probe_finds_out_who_is_down_and_who_is_back() -> None:
    first = fake(ready=Readiness(ready=False, reason="loading"))
    world = pair(first, fake())
    for _ in range(3):
        await world.pool.probe()
        world.clock.now += 10
    # It opened at the third probe; half a minute later it would be tried anyway.
    assert world.pool.states()[0].reason == "loading"
    first._ready = Readiness(ready=True)
    await world.pool.probe()
    assert world.pool.states()[0].health is Health.TRIAL


async def test_probes_learn_what_is_served() -> None:
    world = sized()
    await world.pool.probe()
    assert [member.window for member in world.pool.members] == [1000, 100_000]


async def test_busy_servers_need_no_probe() -> None:
    asked: list[str] = []

    class Asked(FakeUpstream):
        async def readiness(self) -> Readiness:
            asked.append("asked")
            return Readiness(ready=True)

    world = World({"only": (Asked(), Place())})
    await world.pool.probe()
    await world.ask()
    await world.pool.probe()
    assert len(asked) == 1


async def test_the_pool_is_ready_when_one_member_is() -> None:
    world = pair(fake(ready=Readiness(ready=False, reason="loading")), fake())
    assert await world.pool.readiness() == Readiness(ready=True, reason="first: loading")


async def test_a_member_that_says_nothing_does_not_hold_up_one_that_is_ready() -> None:
    silent = Silent()
    world = World({"good": (fake(), Place()), "silent": (silent, Place())})
    assert await world.pool.readiness() == Readiness(ready=True)
    assert silent.let_go.is_set()


async def test_a_member_that_says_nothing_is_told_of_by_what_is_known() -> None:
    world = World({"good": (fake(), Place()), "silent": (Silent(), Place())})
    world.pool.members[1].failed(BOOM)
    assert (await world.pool.readiness()).reason == "silent: no connection"


class Silent(FakeUpstream):
    """Never says how it is."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def readiness(self) -> Readiness:
        try:
            await asyncio.Event().wait()
        finally:
            self.let_go.set()
        raise AssertionError


async def test_a_good_probe_ends_the_reason_of_one_that_is_in_use() -> None:
    world = pair(failing(BOOM), fake(), probe_interval=10.0)
    await world.pool.probe()
    await world.ask()
    assert world.pool.states()[0].reason == "no connection"
    world.clock.now += 10
    await world.pool.probe()
    assert world.pool.states()[0].reason == ""


async def test_a_good_probe_leaves_the_reason_of_one_that_is_left_out() -> None:
    world = pair(failing(BOOM), fake(), breaker=BreakerLimits(failures=1))
    await world.ask()
    await world.pool.probe()
    assert world.pool.states()[0] == MemberState(
        name="first", health=Health.TRIAL, load=0, reason="no connection"
    )


async def test_a_good_probe_leaves_the_reason_of_one_that_rests() -> None:
    world = pair(failing(faults.limited("enough", retry_after=60.0)), fake())
    await world.ask()
    world.clock.now += 10
    await world.pool.probe()
    assert world.pool.states()[0].reason == "enough"


async def test_the_log_tells_who_is_left_out_by_requests_and_who_is_back() -> None:
    down = [BOOM, OPEN]
    first = FakeUpstream(down, down, [text("Hello"), FINISH])
    world = pair(first, fake(), breaker=BreakerLimits(failures=2, cooldown=5.0))
    with capture_logs() as log:
        for _ in range(2):
            await world.ask()
        assert world.pool.states()[0].health is Health.OPEN
        world.clock.now += 5
        await world.ask()
    told = [(e["log_level"], e["name"], e["health"], e["why"]) for e in log if "health" in e]
    assert told == [
        ("warning", "first", "open", "no connection"),
        ("info", "first", "closed", ""),
    ]


async def test_the_log_tells_of_a_long_outage_once() -> None:
    world = pair(failing(BOOM), fake(), breaker=BreakerLimits(failures=1, cooldown=5.0))
    with capture_logs() as log:
        for _ in range(5):
            await world.ask()
            world.clock.now += 100
    assert [each["health"] for each in log if "health" in each] == ["open"]


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [
        (FaultKind.REFUSED, 500, "HTTP 500"),
        (FaultKind.REPORTED, 502, "HTTP 502"),
        (FaultKind.REPORTED, None, "an error in its answer"),
    ],
)
async def test_the_log_repeats_no_words_of_an_upstream_which_may_be_a_prompts(
    kind: FaultKind, status: int | None, why: str
) -> None:
    fault = Fault(kind, "no room for 'my dear diary'", status=500, upstream_status=status)
    world = pair(failing(fault), fake(), breaker=BreakerLimits(failures=1, cooldown=5.0))
    with capture_logs() as log:
        await world.ask()
    assert "diary" not in str(log)
    assert [each["why"] for each in log if "health" in each] == [why]
    assert world.pool.states()[0].reason == "no room for 'my dear diary'"  # operators may ask


async def test_the_record_tells_who_was_tried_before() -> None:
    world = pair(failing(BOOM), fake())
    await world.ask()
    assert (world.record.upstream, world.record.tried) == ("second", ("first=connect",))


async def test_counting_asks_the_one_the_request_was_made_for() -> None:
    world = pair(fake(tokens=1), fake(tokens=2))
    call = UpstreamCall(request=chat(), upstream="second")
    assert await world.pool.count_tokens(call) == 2
    assert await world.pool.count_tokens(UpstreamCall(request=chat())) == 1


def chat() -> Any:
    return ChatRequest(model="m", messages=[])


async def test_start_and_close_reach_every_member() -> None:
    world = pair(fake(), fake())
    forever = world.clock.sleep

    async def sleep(seconds: float) -> None:
        await forever(seconds)
        await asyncio.Event().wait()

    world.pool.sleep = sleep
    await world.pool.start()
    await world.pool.aclose()
    for each in world.fakes.values():
        assert each.started.is_set()
        assert each.closed.is_set()


async def test_a_probe_that_fails_is_a_failure_of_its_server() -> None:
    class Broken(FakeUpstream):
        async def readiness(self) -> Readiness:
            raise BOOM

    world = pair(Broken(), fake())
    await world.pool.probe()
    assert world.pool.states()[0].reason == "no connection"


async def test_a_way_that_is_not_gone_earns_no_retries() -> None:
    """The shortest way (``Answerer.answer_now``) is none through a pool; asking must not count."""
    world = pair(fake(), fake())
    for _ in range(100):
        assert world.answerer.answer_now(request(), Caller("key-1"), world.record) is None
    assert sum(world.pool.budget.spend() for _ in range(100)) == 10
