"""Several upstreams as one: choice, failover, retries, limits, health. Time and chance are ours."""

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.callers import Caller
from deepseek_messages.service.tasks import spawn
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH, PRO, describe
from deepseek_messages.translation.dialects import DEEPSEEK, VLLM
from deepseek_messages.translation.faults import Fault, FaultKind, from_status
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.upstreams.base import Readiness, UpstreamCall
from deepseek_messages.upstreams.pool.breaker import BreakerLimits, Health
from deepseek_messages.upstreams.pool.member import MemberState, Place
from deepseek_messages.upstreams.pool.pool import Pool, PoolOptions
from deepseek_messages.upstreams.pool.way import PoolRoute
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from deepseek_messages.wire.events import ErrorEvent, MessageStart, MessageStop
from deepseek_messages.wire.messages import InputMessage, MessagesRequest, Metadata
from tests.support.answering import answerer_on, events_of
from tests.support.fake import FINISH, OPEN, SILENCE, Batch, FakeUpstream, finish, text
from tests.support.gates import Gate
from tests.support.raw import Wait

BOOM = faults.connect("no connection")
OVERFLOW = Fault(faults.FaultKind.REFUSED, "prompt is too long: 20 tokens > 10 maximum", status=400,
                 upstream_status=400, transient=False)  # fmt: skip
BAD = from_status(400, {}, b'{"error":{"message":"bad tool"}}')
SMALL = describe("small", context_window=1000)
LARGE = describe("large", context_window=100_000)


DEFAULTS = PoolOptions()


class Clock:
    """Seconds that pass only when somebody sleeps or the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class World:
    """A pool of fakes, and what a request came to."""

    def __init__(
        self, places: dict[str, tuple[FakeUpstream, Place]], options: PoolOptions = DEFAULTS
    ) -> None:
        self.clock = Clock()
        self.attempts: list[tuple[str, str]] = []
        self.fakes = {name: fake for name, (fake, _) in places.items()}
        members = [(name, fake, place) for name, (fake, place) in places.items()]
        self.pool = Pool(
            members, options, clock=self.clock, sleep=self.clock.sleep, draw=lambda: 0.0
        )
        self.answerer = answerer_on(self.pool)
        self.pool.on_attempt = lambda who, outcome: self.attempts.append((who, outcome))
        self.record = RequestRecord("req_1")

    async def answer(self, asked: MessagesRequest, session: str | None = None) -> Answer:
        return await self.answerer.answer(asked, Caller("key-1"), self.record, session)

    async def ask(
        self, words: str = "Hello", *, session: str | None = None, **more: Any
    ) -> list[Any]:
        return await events_of(await self.answer(request(words, **more), session))

    async def whole(self, asked: MessagesRequest | None = None) -> Any:
        """The message of a request that is not streamed."""
        answer = await self.answer(asked or request(stream=False))
        try:
            await answer.opened()
            return await answer.whole()
        finally:
            await answer.aclose()

    def calls(self) -> dict[str, int]:
        return {name: len(fake.played) for name, fake in self.fakes.items()}

    def loads(self) -> dict[str, int]:
        return {state.name: state.load for state in self.pool.states()}


def request(words: str = "Hello", **more: Any) -> MessagesRequest:
    given = {"model": "deepseek-chat", "max_tokens": 10, "stream": True} | more
    return MessagesRequest(messages=[InputMessage(role="user", content=words)], **given)


def fake(*steps: Any, **more: Any) -> FakeUpstream:
    return FakeUpstream(list(steps) or [text("Hello"), FINISH], **more)


def failing(fault: Fault, **more: Any) -> FakeUpstream:
    return FakeUpstream([fault, OPEN], **more)


def pair(first: FakeUpstream, second: FakeUpstream, **options: Any) -> World:
    """Two upstreams, the first before the second."""
    places = {"first": (first, Place()), "second": (second, Place(priority=1))}
    return World(places, PoolOptions(**options))


HELLO = [text("Hello"), FINISH]


def said(events: list[Any]) -> str:
    return "".join(e.delta.text for e in events if getattr(getattr(e, "delta", None), "text", None))


pytestmark = pytest.mark.anyio


# --- failover -------------------------------------------------------------------------------------


async def test_the_lower_priority_number_is_asked() -> None:
    world = pair(fake(), fake())
    assert said(await world.ask()) == "Hello"
    assert world.calls() == {"first": 1, "second": 0}
    assert world.record.upstream == "first"


@pytest.mark.parametrize(
    "fault",
    [
        BOOM,
        faults.cut(),
        faults.timeout("silent"),
        faults.garbage("html"),
        faults.busy("full"),
        *(from_status(status, {}, b"") for status in (401, 402, 403, 408, 429, 500, 502, 503, 529)),
        from_status(404, {}, b'{"error":{"message":"no such model"}}'),
    ],
    ids=str,
)
async def test_a_fault_before_the_answer_goes_to_the_next(fault: Fault) -> None:
    world = pair(failing(fault), fake())
    assert said(await world.ask()) == "Hello"
    assert world.calls() == {"first": 1, "second": 1}
    assert world.clock.slept == []
    assert world.record.upstream == "second"
    assert world.loads() == {"first": 0, "second": 0}


async def test_a_fault_of_the_request_goes_nowhere_else() -> None:
    world = pair(failing(BAD), fake())
    with pytest.raises(Fault, match="bad tool"):
        await world.ask()
    assert world.calls() == {"first": 1, "second": 0}
    assert world.pool.states()[0].health is Health.CLOSED


@pytest.mark.parametrize(
    "steps",
    [
        [ChatChunk(choices=[]), faults.cut()],
        [faults.cut()],
        [],
        [ChatChunk(choices=[ChunkChoice(finish_reason="insufficient_system_resource")])],
    ],
    ids=["role", "at once", "empty", "out of resources"],
)
async def test_an_upstream_that_says_yes_and_breaks_before_it_speaks_is_replaced(
    steps: list[Any],
) -> None:
    world = pair(FakeUpstream(steps), fake())
    events = await world.ask()
    assert said(events) == "Hello"
    assert sum(isinstance(event, MessageStart) for event in events) == 1
    assert world.fakes["first"].played[0].closed.is_set()


async def test_an_error_object_before_the_first_word_goes_to_the_next() -> None:
    error = ChatChunk(error=msgspec.Raw(b'{"message":"boom","code":500}'))
    world = pair(FakeUpstream([error]), fake())
    assert said(await world.ask()) == "Hello"


@pytest.mark.parametrize("nothing", [b"null", b"{}", b'""', b"false"])
async def test_an_error_that_is_none_is_none_here_too(nothing: bytes) -> None:
    """Some servers give every chunk one."""
    piece, end = (msgspec.structs.replace(each, error=msgspec.Raw(nothing)) for each in HELLO)
    world = pair(FakeUpstream([piece, end]), fake())
    assert said(await world.ask()) == "Hello"
    assert world.attempts == [("first", "served")]
    assert world.calls() == {"first": 1, "second": 0}


async def test_another_choice_is_no_word_of_the_answer() -> None:
    delta = ChatDelta(content="Bonjour")
    other = ChatChunk(choices=[ChunkChoice(index=1, delta=delta, finish_reason="stop")])
    world = pair(FakeUpstream([other, faults.cut()]), fake())
    assert said(await world.ask()) == "Hello"
    world = pair(FakeUpstream([text("Hel"), other]), fake())
    await world.ask()
    assert world.attempts == [("first", "served"), ("first", "cut")]


async def test_chunks_that_say_nothing_are_not_kept() -> None:
    usage = ChatUsage(prompt_tokens=7, completion_tokens=0)
    nothing = [ChatChunk(choices=[]), ChatChunk(choices=[ChunkChoice(delta=ChatDelta())])]
    told = ChatChunk(choices=[], usage=usage)
    world = pair(FakeUpstream([*nothing * 500, told, told, *HELLO]), fake())
    answer = await world.answer(request())
    await answer.opened()
    stream = answer._stream
    assert stream is not None
    assert list(await stream.read()) == [told, HELLO[0]]
    await answer.aclose()


async def test_once_a_word_came_nobody_else_is_asked() -> None:
    world = pair(fake(text("Hel"), faults.cut()), fake())
    events = await world.ask()
    assert said(events) == "Hel"
    assert isinstance(events[-1], ErrorEvent)
    assert world.calls() == {"first": 1, "second": 0}


async def test_the_request_is_translated_for_whoever_gets_it() -> None:
    world = pair(
        failing(BOOM, dialect=DEEPSEEK, models=[FLASH]),
        fake(dialect=VLLM, models=[describe("my-flash", owned_by="vllm")]),
    )
    await world.ask(metadata=Metadata(user_id="u"))
    sent = {name: each.played[0].call.request for name, each in world.fakes.items()}
    assert (sent["first"].model, sent["second"].model) == ("deepseek-flash", "my-flash")
    assert sent["first"].user_id
    assert sent["second"].user_id is None
    assert sent["second"].chat_template_kwargs is not None
    assert world.record.model == "my-flash"


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
# DeepSeek takes no prefill beside tools, so there the text is all the model's and can be checked.
PREFILLED = {
    "model": "deepseek-chat",
    "max_tokens": 10,
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}],
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}


@pytest.mark.parametrize(
    ("steps", "stream"),
    [([BOOM, OPEN], True), ([BOOM, OPEN], False), ([OPEN, SILENCE], True)],
    ids=["stream", "whole", "hedged"],
)
async def test_an_answer_is_checked_as_by_whoever_gives_it(steps: list[Any], stream: bool) -> None:
    """vLLM goes on from the prefill, where nothing is checked."""
    second = FakeUpstream([text('{"n": "x"}'), FINISH], [text('{"n": 1}'), FINISH])
    places = {
        "first": (FakeUpstream(steps, dialect=VLLM), Place(weight=1e9)),
        "second": (second, Place()),
    }
    world = World(places, PoolOptions(hedge_after=3.0))
    asked = parse_request(msgspec.json.encode(PREFILLED | {"stream": stream}))
    events = await events_of(await world.answer(asked))
    assert said(events) == '{"n": 1}'
    assert isinstance(events[-1], MessageStop)
    assert world.calls() == {"first": 1, "second": 2}


async def test_a_summary_comes_first_where_the_prompt_is_long_enough_for_one() -> None:
    """By the count of whoever answers; the one before it counted fewer tokens."""
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 1000}}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}],
            "stream": True, "context_management": {"edits": [edit]}}  # fmt: skip
    second = FakeUpstream([text("Sum"), FINISH], [text("Hello"), FINISH], dialect=VLLM, tokens=2000)
    world = pair(failing(BOOM, dialect=VLLM, tokens=10), second)
    events = await events_of(await world.answer(parse_request(msgspec.json.encode(body))))
    assert said(events) == "Hello"
    assert world.calls() == {"first": 1, "second": 2}


async def test_message_start_that_went_out_early_is_not_repeated() -> None:
    world = pair(failing(BOOM), fake())
    answer = await world.answer(request())
    early = await answer.start()
    later = await events_of(answer)
    assert [type(event) for event in early] == [MessageStart]
    assert not [event for event in later if isinstance(event, MessageStart)]
    assert said(later) == "Hello"


async def test_a_model_list_that_cannot_be_had_is_a_fault_like_others() -> None:
    world = pair(FakeUpstream(models=BOOM), fake())
    assert said(await world.ask()) == "Hello"
    assert world.calls() == {"first": 0, "second": 1}


async def test_when_all_fail_the_last_fault_is_told() -> None:
    world = pair(failing(BOOM), failing(faults.timeout("silent")))
    with pytest.raises(Fault, match="silent"):
        await world.ask()
    assert world.loads() == {"first": 0, "second": 0}


async def test_no_more_tries_than_the_options_allow() -> None:
    places = {f"m{n}": (failing(BOOM), Place(priority=n)) for n in range(5)}
    world = World(places, PoolOptions(attempts=3))
    with pytest.raises(Fault):
        await world.ask()
    assert list(world.calls().values()) == [1, 1, 1, 0, 0]


async def test_retries_stop_when_the_budget_is_spent() -> None:
    world = pair(failing(BOOM), fake(), breaker=BreakerLimits(failures=1000))
    while world.pool.budget.spend():
        pass
    with pytest.raises(Fault):
        await world.ask()
    assert world.calls() == {"first": 1, "second": 0}


# --- whole answers: nothing reaches the client before the end -------------------------------------

BROKEN: dict[str, list[Any]] = {
    "cut": [text("Hel"), faults.cut()],
    "silent": [text("Hel"), faults.timeout("silent")],
    "no reason": [text("Hel")],
    "error": [text("Hel"), ChatChunk(error=msgspec.Raw(b'{"message":"boom","code":500}'))],
    "out of resources": [text("Hel"), finish("insufficient_system_resource", output=40)],
}


@pytest.mark.parametrize("steps", BROKEN.values(), ids=BROKEN)
async def test_a_whole_answer_that_breaks_goes_to_the_next(steps: list[Any]) -> None:
    world = pair(FakeUpstream(steps), fake())
    message = await world.whole()
    assert message.content[0].text == "Hello"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert world.calls() == {"first": 1, "second": 1}
    assert world.record.upstream == "second"
    assert [each.partition("=")[0] for each in world.record.tried] == ["first"]
    assert world.fakes["first"].played[0].closed.is_set()
    assert world.loads() == {"first": 0, "second": 0}
    assert world.record.outcome is Outcome.SERVED


@pytest.mark.parametrize("together", [True, False])
async def test_what_a_broken_whole_answer_cost_is_recorded_with_the_next(together: bool) -> None:
    """Together: as a chat server tells all of it in one piece."""
    broken = finish("insufficient_system_resource", output=40)
    steps = [text("Hel"), broken]
    if together:
        (choice,) = broken.choices or ()
        said = msgspec.structs.replace(choice, delta=ChatDelta(content="Hel"))
        steps = [Batch([ChatChunk(choices=[said]), ChatChunk(choices=[], usage=broken.usage)])]
    world = pair(FakeUpstream(steps), fake())
    message = await world.whole()
    assert message.usage.output_tokens == 3
    assert world.record.tokens == Tokens(input=14, output=43)


async def test_what_two_broken_whole_answers_cost_is_recorded() -> None:
    steps = [text("Hel"), finish("insufficient_system_resource", output=40), faults.cut()]
    world = pair(FakeUpstream(steps), FakeUpstream(steps), attempts=2)
    with pytest.raises(Fault):
        await world.whole()
    assert world.record.tokens == Tokens(input=14, output=80)
    assert world.loads() == {"first": 0, "second": 0}


async def test_a_whole_answer_of_nonsense_is_paid_for_and_not_asked_for_again() -> None:
    call = ToolCallDelta(0, "id", FunctionDelta("f", "{"))
    wrong = ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(tool_calls=[call]))])
    world = pair(fake(wrong, finish("tool_calls")), fake())
    with pytest.raises(Fault):
        await world.whole()
    assert world.calls() == {"first": 1, "second": 0}


async def test_a_whole_answer_that_breaks_is_tried_again_within_the_limits() -> None:
    world = pair(FakeUpstream(BROKEN["cut"]), FakeUpstream(BROKEN["cut"]), attempts=2)
    with pytest.raises(Fault, match="ended before it was whole"):
        await world.whole()
    assert world.calls() == {"first": 1, "second": 1}
    world = pair(FakeUpstream(BROKEN["cut"]), fake(), breaker=BreakerLimits(failures=1000))
    while world.pool.budget.spend():
        pass
    with pytest.raises(Fault):
        await world.whole()
    assert world.calls() == {"first": 1, "second": 0}


async def test_a_whole_answer_of_several_calls_is_not_begun_again_after_the_first() -> None:
    """What was called by then may have been done."""
    wrong = [text('{"n": "x"}'), FINISH]
    world = pair(FakeUpstream(wrong, BROKEN["cut"]), fake())
    asked = parse_request(msgspec.json.encode(PREFILLED | {"messages": [
        {"role": "user", "content": "Hi"}]}))  # fmt: skip
    with pytest.raises(Fault, match="ended before it was whole"):
        await world.whole(asked)
    assert world.calls() == {"first": 2, "second": 0}


async def test_a_whole_answer_whose_first_call_breaks_goes_to_the_next() -> None:
    right = [text('{"n": 1}'), FINISH]
    world = pair(FakeUpstream(BROKEN["cut"]), FakeUpstream(right))
    asked = parse_request(msgspec.json.encode(PREFILLED | {"messages": [
        {"role": "user", "content": "Hi"}]}))  # fmt: skip
    message = await world.whole(asked)
    assert message.content[0].text == '{"n": 1}'


# --- the same server again ------------------------------------------------------------------------


async def test_the_only_server_is_tried_again_after_a_while() -> None:
    flaky = FakeUpstream([BOOM, OPEN], [BOOM, OPEN], [text("Hello"), FINISH])
    world = World({"only": (flaky, Place())})
    assert said(await world.ask()) == "Hello"
    assert world.clock.slept == [0.5, 1.0]


async def test_retry_after_is_waited_for() -> None:
    busy = from_status(429, {"retry-after": "4"}, b"")
    world = World({"only": (FakeUpstream([busy, OPEN], [text("Hello"), FINISH]), Place())})
    assert said(await world.ask()) == "Hello"
    assert world.clock.slept == [4.0]


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize("early", [0.0, 0.0009])  # as timers that count in milliseconds fire
async def test_a_busy_server_is_tried_again_after_its_rest(status: int, early: float) -> None:
    busy = from_status(status, {}, b"")
    world = World({"only": (FakeUpstream([busy, OPEN], [text("Hello"), FINISH]), Place())})

    async def sleep(seconds: float) -> None:
        world.clock.now += seconds - early

    world.pool.sleep = sleep
    assert said(await world.ask()) == "Hello"


async def test_a_long_retry_after_goes_to_the_client() -> None:
    busy = from_status(429, {"retry-after": "60"}, b"")
    world = World({"only": (failing(busy), Place())})
    with pytest.raises(Fault) as caught:
        await world.ask()
    assert caught.value.retry_after == 60
    assert world.clock.slept == []


async def test_silence_is_not_waited_for_twice() -> None:
    world = World({"only": (failing(faults.timeout("silent")), Place())})
    with pytest.raises(Fault):
        await world.ask()
    assert world.calls() == {"only": 1}


async def test_a_client_that_leaves_during_the_wait_ends_it() -> None:
    world = World({"only": (failing(BOOM), Place())})
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    world.pool.sleep = sleep
    task = asyncio.get_running_loop().create_task(world.ask())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.loads() == {"only": 0}


# --- contexts -------------------------------------------------------------------------------------


def sized() -> World:
    return pair(fake(models=[SMALL]), fake(models=[LARGE]))


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


# --- limits ---------------------------------------------------------------------------------------


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


# --- choice ---------------------------------------------------------------------------------------


def four() -> World:
    return World({f"gpu-{number}": (fake(), Place()) for number in range(4)})


async def test_a_session_goes_to_one_server() -> None:
    world = four()
    for _ in range(8):
        await world.ask(session="conversation")
    assert sorted(world.calls().values()) == [0, 0, 0, 8]


async def test_without_a_session_the_beginning_decides() -> None:
    world = four()
    for number in range(8):
        history = [
            InputMessage(role="user", content="One beginning"),
            InputMessage(role="assistant", content="Yes"),
            InputMessage(role="user", content=f"Turn {number}"),
        ]
        asked = MessagesRequest(model="deepseek-chat", max_tokens=9, messages=history, stream=True)
        answer = await world.answer(asked)
        await answer.opened()
        await answer.aclose()
    assert sorted(world.calls().values()) == [0, 0, 0, 8]


async def test_a_long_common_beginning_goes_back_to_the_server_that_has_it() -> None:
    world = four()
    for number in range(12):
        await world.ask(f"Question {number}", system="You are helpful. " * 2000)
    assert sorted(world.calls().values()) == [0, 0, 0, 12]


async def test_short_ones_are_spread() -> None:
    world = four()
    for number in range(40):
        await world.ask(f"Question {number}", system="You are helpful.")
    assert min(world.calls().values()) >= 4


async def test_a_conversation_goes_back_to_where_it_went_when_its_server_was_busy() -> None:
    world = four()
    system = "You are helpful. " * 2000
    running = [await world.answer(request(f"Question {n}", system=system)) for n in range(8)]
    for answer in running:
        await answer.opened()
    where = {n: _asked(world, f"Question {n}") for n in range(8)}
    assert len(set(where.values())) > 1  # nobody gets all of them at once
    for answer in running:
        await answer.aclose()
    for n, server in where.items():
        messages = [InputMessage("user", f"Question {n}"), InputMessage("assistant", "Yes"),
                    InputMessage("user", f"Again {n}")]  # fmt: skip
        later = MessagesRequest(model="m", max_tokens=9, system=system, messages=messages)
        answer = await world.answer(later)
        await answer.opened()
        await answer.aclose()
        assert _asked(world, f"Again {n}") == server


def _asked(world: World, words: str) -> str:
    """The server that was asked in these words."""
    (found,) = (
        name
        for name, each in world.fakes.items()
        if any(words in str(played.call.request.messages[-1]) for played in each.played)
    )
    return found


async def test_sessions_are_spread() -> None:
    world = four()
    for number in range(40):
        await world.ask(session=f"conversation {number}")
    assert min(world.calls().values()) >= 4


async def test_the_model_asked_for_by_its_own_name_is_found_wherever_it_is() -> None:
    world = pair(fake(models=[FLASH]), fake(models=[PRO]))
    await world.pool.models()
    await world.ask(model="deepseek-v4-pro")
    assert world.calls() == {"first": 0, "second": 1}


async def test_the_users_id_stays_the_same_on_every_key() -> None:
    world = pair(failing(BOOM), fake())
    await world.ask(metadata=Metadata(user_id="alice"))
    ids = {each.played[0].call.request.user_id for each in world.fakes.values()}
    assert len(ids) == 1
    assert None not in ids


async def test_a_refusal_is_no_reason_to_ask_another() -> None:
    world = pair(fake(dialect=VLLM), fake(dialect=VLLM))
    with pytest.raises(Refusal):
        await world.answer(request(top_k=raw(b'"x"')))
    assert world.loads() == {"first": 0, "second": 0}


def raw(data: bytes) -> Any:
    return msgspec.Raw(data)


# --- health ---------------------------------------------------------------------------------------


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
