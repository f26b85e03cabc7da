"""The laws of translated answers, over generated upstream streams.

1. Events match ``message_start (block | ping)* message_delta message_stop``, or a prefix of that
   and one ``error``.
2. Block indexes count up; each start has one stop; one block at a time; deltas fit.
3. However the bytes are cut, the events are the same.
4. The official SDK accumulates the Message that a client gets without streaming.
5. Arguments arrive byte for byte and are JSON at a block's end, or the answer says why not.
6. The three input counts add up to the upstream's prompt tokens.
10. The output's size is bounded by the input's.
"""

import json
import random
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.response import fold
from deepseek_messages.translation.sse import encode_events
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    StreamEvent,
    ToolUseStart,
)
from tests.property.answers import ARGUMENTS, PLANS, call_chunks, pieces, streams, usages
from tests.support.answers import FakeSeal, call, delta, sse, translate
from tests.support.sse import assert_lawful

plans = st.sampled_from([ReplyPlan(model="m", **plan) for plan in PLANS])
_sdk_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def sdk_accumulates(events: list[StreamEvent]) -> dict[str, Any]:
    """What the SDK's own accumulator makes of events, as its stream helper calls it."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        raw = _sdk_event.validate_json(msgspec.json.encode(event))
        snapshot = accumulate_event(event=raw, current_snapshot=snapshot, json_bufs=buffers)  # type: ignore[call-arg]
    read: dict[str, Any] = snapshot.to_dict()
    read.pop("stop_details", None)
    return read


def assert_blocks_closed(events: list[StreamEvent]) -> None:
    """Law 2 also where an error ends the stream."""
    open_block: int | None = None
    for event in events:
        match event:
            case ContentBlockStart(index=index):
                assert open_block is None
                open_block = index
            case ContentBlockStop(index=index):
                assert open_block == index
                open_block = None
    assert open_block is None


def arguments_by_block(events: list[StreamEvent]) -> list[str]:
    texts: dict[int, str] = {}
    for event in events:
        match event:
            case ContentBlockStart(index=index, content_block=ToolUseStart()):
                texts[index] = ""
            case ContentBlockDelta(index=index, delta=InputJsonDelta(partial_json=text)):
                texts[index] += text
    return list(texts.values())


@settings(max_examples=500)
@given(streams(), plans)
def test_laws_1_and_2_order(raw: bytes, plan: ReplyPlan) -> None:
    events = translate([raw], plan, seal=FakeSeal())
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)


@settings(max_examples=300)
@given(streams(), plans, st.data())
def test_law_3_cuts(raw: bytes, plan: ReplyPlan, data: st.DataObject) -> None:
    events = translate([raw], plan)
    assert translate([raw[n : n + 1] for n in range(len(raw))], plan) == events
    cut = data.draw(st.integers(0, len(raw)))
    assert translate([raw[:cut], raw[cut:]], plan) == events
    size = data.draw(st.integers(2, 40))
    assert translate([raw[n : n + size] for n in range(0, len(raw), size)], plan) == events


@settings(max_examples=400)
@given(streams(), plans)
def test_law_4_the_sdk_accumulates_our_message(raw: bytes, plan: ReplyPlan) -> None:
    events = translate([raw], plan, seal=FakeSeal())
    if isinstance(events[-1], ErrorEvent):
        with pytest.raises(Fault):
            fold(events)
        return
    assert sdk_accumulates(events) == json.loads(msgspec.json.encode(fold(events)))


@settings(max_examples=400)
@given(streams(), plans)
def test_law_5_arguments_are_json_or_it_is_said_why_not(raw: bytes, plan: ReplyPlan) -> None:
    events = translate([raw], plan)
    stop = next((e.delta.stop_reason for e in events if isinstance(e, MessageDelta)), "error")
    if stop not in {"max_tokens", "error"}:
        for text in arguments_by_block(events):
            json.loads(text)


@given(st.lists(ARGUMENTS, min_size=1, max_size=3), st.booleans(), st.data())
def test_law_5_arguments_arrive_byte_for_byte(
    values: list[Any], interleaved: bool, data: st.DataObject
) -> None:
    texts = [json.dumps(value, indent=data.draw(st.sampled_from([None, 1]))) for value in values]
    crumbs = [
        [call(n, arguments=crumb) for crumb in data.draw(pieces(text))]
        for n, text in enumerate(texts)
    ]
    frames = [delta(tool_calls=[call(n, f"c{n}", "f")]) for n in range(len(texts))]
    while any(crumbs):
        n = next(n for n, left in enumerate(crumbs) if left)
        if interleaved:
            n = data.draw(st.sampled_from([n for n, left in enumerate(crumbs) if left]))
        frames.append(delta(tool_calls=[crumbs[n].pop(0)]))
    assert arguments_by_block(translate([sse(*frames, delta("tool_calls"))])) == texts


@given(st.lists(call_chunks(), min_size=1, max_size=1))
def test_no_call_is_lost(chunks: list[list[Any]]) -> None:
    frames = chunks[0]
    named = {
        e["id"] for frame in frames for e in frame["choices"][0]["delta"]["tool_calls"] if "id" in e
    }
    events = translate([sse(*frames, delta("tool_calls"))])
    assert {
        event.content_block.id
        for event in events
        if isinstance(event, ContentBlockStart) and isinstance(event.content_block, ToolUseStart)
    } == named


@given(usages(), st.none() | st.integers(1, 9999))
def test_law_6_input_counts_add_up(usage: dict[str, Any], counted: int | None) -> None:
    raw = sse(delta(content="Hi"), delta("stop"), {"choices": [], "usage": usage})
    events = translate([raw], prompt_tokens=counted)
    (end,) = (event.usage for event in events if isinstance(event, MessageDelta))
    total = end.input_tokens + end.cache_read_input_tokens + end.cache_creation_input_tokens
    details = usage.get("prompt_tokens_details") or {}
    cached = usage.get("prompt_cache_hit_tokens") or details.get("cached_tokens") or 0
    assert total == (usage.get("prompt_tokens") or cached or counted or 0)
    assert min(end.input_tokens, end.cache_read_input_tokens, end.output_tokens) >= 0
    (start,) = (event.message.usage for event in events if isinstance(event, MessageStart))
    assert start.input_tokens == (counted or 0)


@settings(max_examples=300)
@given(streams(), plans)
def test_law_10_output_is_bounded_by_input(raw: bytes, plan: ReplyPlan) -> None:
    assert len(encode_events(translate([raw], plan, seal=FakeSeal()))) <= 2000 + 30 * len(raw)


# --- fuzz -----------------------------------------------------------------------------------------

SEEDS = 1000  # streams a run; each is damaged in its own way, the same in every run

_WORDS = [
    b"data:",
    b"data: ",
    b"\n\n",
    b"\r\n",
    b"\r",
    b"[DONE]",
    b"{}",
    b"null",
    b"[]",
    b'"',
    b"\\",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"choices":',
    b'"delta":',
    b'"tool_calls":[{}]',
    b'"index":-1',
    b'"arguments":{}',
    b'"finish_reason":"stop"',
    b'{"error":1}',
    b"NaN",
    b"1e999",
    b'"content":5',
    b"\\ud800",
    b"\x00",
]


def damaged(raw: bytes, dice: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0:
                data[at:at] = dice.choice(_WORDS)
            case 1:
                data[at : at + dice.randint(1, 20)] = b""
            case 2:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 3:
                end = at + dice.randint(1, 200)
                data[at:at] = data[at:end]
            case _:
                del data[dice.randrange(len(data) + 1) :]
    return bytes(data)


SEED_STREAMS = [
    sse(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm."),
        delta(content="<think>x</think>Hi \U0001f40b"),
        delta(tool_calls=[call(0, "c", "f", ""), call(1, "d", "g", "{")]),
        delta(tool_calls=[call(0, arguments='{"a": [1, "x"]}')]),
        delta(tool_calls=[call(1, arguments="}")]),
        delta("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
    ),
    sse(
        delta(content='<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n'),
        delta(content='<｜DSML｜parameter name="a" string="true">x END</｜DSML｜parameter>'),
        delta(content="</｜DSML｜invoke>\n</｜DSML｜tool_calls>"),
        delta("stop"),
    ),
]


@pytest.mark.parametrize("part", range(4))
def test_damaged_streams_give_lawful_events_and_only_faults(part: int) -> None:
    for seed in range(part * SEEDS // 4, (part + 1) * SEEDS // 4):
        dice = random.Random(seed)
        raw = damaged(dice.choice(SEED_STREAMS), dice)
        plan = ReplyPlan(model="m", **dice.choice(PLANS))
        events = translate([raw], plan)
        assert_lawful(encode_events(events))
        assert_blocks_closed(events)
        size = dice.randint(1, 30)
        assert translate([raw[n : n + size] for n in range(0, len(raw), size)], plan) == events, (
            seed
        )
