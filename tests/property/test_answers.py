"""The laws of translated answers, over generated upstream streams.

1. Events match ``message_start (block | ping)* message_delta message_stop``, or a prefix of that
   and one ``error``.
2. Block indexes count up; each start has one stop; one block at a time; deltas fit.
3. However the bytes are cut, the events are the same.
4. The official SDK accumulates the Message that a client gets without streaming; and an answer
   gives the same Message whether the upstream sends it whole or in chunks.
5. Arguments arrive byte for byte and are JSON at a block's end, or the answer says why not.
6. The three input counts add up to the upstream's prompt tokens.
10. The output's size is bounded by the input's.
"""

import json
from random import Random

import msgspec
import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ErrorEvent,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    StreamEvent,
    ToolUseStart,
)
from tests.property.answers import (
    PLANS,
    Said,
    arguments,
    call_chunks,
    crumbs,
    stream,
    usage,
)
from tests.property.laws import assert_blocks_closed, message_or_fault, sdk_accumulates
from tests.support.answers import FakeSeal, call, delta, sse, translate, translate_whole
from tests.support.generated import cases, maybe
from tests.support.sse import assert_lawful

REPLY_PLANS = [ReplyPlan(model="m", **plan) for plan in PLANS]


def arguments_by_block(events: list[StreamEvent]) -> list[str]:
    texts: dict[int, str] = {}
    for event in events:
        match event:
            case ContentBlockStart(index=index, content_block=ToolUseStart()):
                texts[index] = ""
            case ContentBlockDelta(index=index, delta=InputJsonDelta(partial_json=text)):
                texts[index] += text
    return list(texts.values())


@cases()
def test_laws_1_and_2_order(dice: Random) -> None:
    events = translate([stream(dice)], dice.choice(REPLY_PLANS), seal=FakeSeal())
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)


@cases()
def test_law_1_a_cut_upstream_gets_no_message_stop(dice: Random) -> None:
    raw, plan = stream(dice), dice.choice(REPLY_PLANS)
    if plan.watch_stops:  # an answer that ends at a stop sequence is whole before its upstream
        plan = REPLY_PLANS[0]
    cut = dice.randint(0, raw.rindex(b'"finish_reason": "'))
    events = translate([raw[:cut]], plan)
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)
    assert isinstance(events[-1], ErrorEvent)


@cases()
def test_law_3_cut_in_two(dice: Random) -> None:
    raw, plan = stream(dice), dice.choice(REPLY_PLANS)
    cut = dice.randint(0, len(raw))
    assert translate([raw[:cut], raw[cut:]], plan) == translate([raw], plan)


@cases()
def test_law_3_cut_in_pieces(dice: Random) -> None:
    raw, plan = stream(dice), dice.choice(REPLY_PLANS)
    size = dice.choice([1, 1, 2, 3, 5, 17, 64])
    pieces = [raw[n : n + size] for n in range(0, len(raw), size)]
    assert translate(pieces, plan) == translate([raw], plan)


@cases()
def test_law_4_the_sdk_accumulates_our_message(dice: Random) -> None:
    events = translate([stream(dice)], dice.choice(REPLY_PLANS), seal=FakeSeal())
    if isinstance(events[-1], ErrorEvent):
        with pytest.raises(Fault):
            fold(events)
        return
    assert sdk_accumulates(events) == json.loads(msgspec.json.encode(fold(events)))


@cases()
def test_law_4_whole_or_in_chunks_the_message_is_the_same(dice: Random) -> None:
    said, plan = Said(dice), dice.choice(REPLY_PLANS)
    streamed = translate([said.streamed(dice)], plan, seal=FakeSeal())
    whole = translate_whole(said.whole(), plan, seal=FakeSeal())
    assert message_or_fault(streamed) == message_or_fault(whole)


@cases()
def test_law_5_arguments_are_json_or_it_is_said_why_not(dice: Random) -> None:
    events = translate([stream(dice)], dice.choice(REPLY_PLANS))
    stop = next((e.delta.stop_reason for e in events if isinstance(e, MessageDelta)), "error")
    if stop not in {"max_tokens", "error"}:
        for text in arguments_by_block(events):
            json.loads(text)


@cases()
def test_law_5_arguments_arrive_byte_for_byte(dice: Random) -> None:
    indent = dice.choice([None, 1])
    texts = [json.dumps(arguments(dice), indent=indent) for _ in range(dice.randint(1, 3))]
    waiting = [
        [call(n, arguments=crumb) for crumb in crumbs(dice, text)] for n, text in enumerate(texts)
    ]
    frames = [delta(tool_calls=[call(n, f"c{n}", "f")]) for n in range(len(texts))]
    interleaved = maybe(dice)
    while left := [n for n, entries in enumerate(waiting) if entries]:
        n = dice.choice(left) if interleaved else left[0]
        frames.append(delta(tool_calls=[waiting[n].pop(0)]))
    assert arguments_by_block(translate([sse(*frames, delta("tool_calls"))])) == texts


@cases()
def test_no_call_is_lost(dice: Random) -> None:
    frames = call_chunks(dice)
    named = {
        e["id"] for frame in frames for e in frame["choices"][0]["delta"]["tool_calls"] if "id" in e
    }
    events = translate([sse(*frames, delta("tool_calls"))])
    assert {
        event.content_block.id
        for event in events
        if isinstance(event, ContentBlockStart) and isinstance(event.content_block, ToolUseStart)
    } == named


@cases()
def test_law_6_input_counts_add_up(dice: Random) -> None:
    told, counted = usage(dice), dice.choice([None, dice.randint(1, 9999)])
    raw = sse(delta(content="Hi"), delta("stop"), {"choices": [], "usage": told})
    events = translate([raw], prompt_tokens=counted)
    (end,) = (event.usage for event in events if isinstance(event, MessageDelta))
    total = end.input_tokens + end.cache_read_input_tokens + end.cache_creation_input_tokens
    details = told.get("prompt_tokens_details") or {}
    cached = told.get("prompt_cache_hit_tokens") or details.get("cached_tokens") or 0
    assert total == (told.get("prompt_tokens") or cached or counted or 0)
    assert min(end.input_tokens, end.cache_read_input_tokens, end.output_tokens) >= 0
    (start,) = (event.message.usage for event in events if isinstance(event, MessageStart))
    assert start.input_tokens == (counted or 0)


@cases()
def test_law_10_output_is_bounded_by_input(dice: Random) -> None:
    raw = stream(dice)
    events = translate([raw], dice.choice(REPLY_PLANS), seal=FakeSeal())
    assert len(encode_events(events)) <= 2000 + 30 * len(raw)
