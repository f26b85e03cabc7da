"""Whole answers of a pool: of a broken one nothing reached the client, so another is asked."""

from typing import Any

import msgspec
import pytest

from deepseek_messages.telemetry.record import Outcome, Tokens
from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.upstreams.pool.breaker import BreakerLimits
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from tests.support.fake import FINISH, Batch, FakeUpstream, finish, text
from tests.unit.upstreams.pool.world import PREFILLED, fake, pair

pytestmark = pytest.mark.anyio

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
