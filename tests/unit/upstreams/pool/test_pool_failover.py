"""Failover in a pool: who is asked when somebody fails before the first word."""

from typing import Any

import msgspec
import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import FLASH, describe
from deepseek_messages.translation.dialects import DEEPSEEK, VLLM
from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.upstreams.pool.breaker import BreakerLimits, Health
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import PoolOptions
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChatUsage,
    ChunkChoice,
)
from deepseek_messages.wire.events import ErrorEvent, MessageStart, MessageStop
from deepseek_messages.wire.messages import Metadata
from tests.support.answering import events_of
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.unit.upstreams.pool.world import (
    BAD,
    BOOM,
    HELLO,
    PREFILLED,
    World,
    failing,
    fake,
    pair,
    request,
    said,
)

pytestmark = pytest.mark.anyio


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
