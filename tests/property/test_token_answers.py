"""The laws of translated answers (``test_answers``) on the token route: generated answers of
DeepSeek V4 and V4.1, in the frames of vLLM, SGLang and llama.cpp.

Two more things hold here: the grouping of tokens into events does not matter, and what a model
says comes out as it does from a chat server that sends the same.
"""

import json
import re
from random import Random
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.events import ErrorEvent, MessageDelta, StreamEvent
from tests.property.answers import PLANS, arguments, call, crumbs, delta, said
from tests.property.laws import assert_blocks_closed, message_or_fault, sdk_accumulates
from tests.property.test_answers import arguments_by_block
from tests.support.answers import FakeSeal, sse, translate
from tests.support.generated import ANY_TEXT, cases, maybe, several, text
from tests.support.sse import assert_lawful
from tests.support.token_goldens import plain
from tests.support.token_route import MODELS, OFF, ON, SERVERS, TokenAnswer, chat, tools

# A tenth of the chat route's: each case makes tokens and reads them with DeepSeek's code.
CASES = 200

ENCODINGS: list[Encoding] = list(MODELS)
REPLY_PLANS = [ReplyPlan(model="m", **plan) for plan in PLANS if "prefill" not in plan]
TOOLS = tools("f", "g")
SPACE: dict[Encoding, str] = {"v4": "", "v4.1": " "}  # in front of a tag's name
WRAPPER: dict[Encoding, str] = {"v4": "tool_calls", "v4.1": "calls"}
CALL_ID = re.compile(rb'"call_\d+_\w+"')


def mark_up(calls: list[tuple[str, dict[str, str]]], encoding: Encoding) -> str:
    """Calls as a model writes them; each argument is JSON text."""

    def tag(name: str) -> str:
        return f"｜DSML｜{SPACE[encoding]}{name}"

    lines = [f"<{tag(WRAPPER[encoding])}>"]
    for name, given in calls:
        lines.append(f'<{tag("invoke")} name="{name}">')
        for key, value in given.items():
            lines.append(
                f'<{tag("parameter")} name="{key}" string="false">{value}</{tag("parameter")}>'
            )
        lines.append(f"</{tag('invoke')}>")
    lines.append(f"</{tag(WRAPPER[encoding])}>")
    return "\n\n" + "\n".join(lines)


def raw_arguments(dice: Random) -> dict[str, str]:
    """Arguments under plain names, each in some spelling of JSON."""
    made = list(arguments(dice).values())
    return {
        f"k{n}": json.dumps(value, ensure_ascii=maybe(dice), indent=dice.choice([None, 1]))
        for n, value in enumerate(made)
    }


class Told:
    """One answer of a model: what it is made of, and how it writes it."""

    def __init__(self, dice: Random, speech: Any) -> None:
        self.encoding = dice.choice(ENCODINGS)
        self.thinks = maybe(dice)
        self.reasoning = speech(dice) if self.thinks else ""
        self.content = "".join(several(dice, speech, 0, 4))
        self.calls = several(dice, lambda d: (d.choice("fg"), raw_arguments(d)), 0, 2)
        self.finish = dice.choice(["stop", "length"])
        written = f"{self.reasoning}</think>" if self.thinks else ""
        written += self.content
        self.text = written + (mark_up(self.calls, self.encoding) if self.calls else "")

    def answer(self, dice: Random, size: int | None = None, kind: str | None = None) -> TokenAnswer:
        request = chat(MODELS[self.encoding], thinking=ON if self.thinks else OFF, tools=TOOLS)
        return TokenAnswer(
            kind or dice.choice(SERVERS),
            self.encoding,
            request,
            self.text or "a",
            size=size or dice.choice([1, 1, 2, 5, 100]),
            finish=self.finish,
            cached=dice.choice([0, 3, 10**6]),
        )


def clean(dice: Random) -> str:
    """Text that is nobody's mark-up, without blanks at its ends."""
    return "x" + text(dice, ANY_TEXT, 6) + "x"


def same_ids(events: list[StreamEvent]) -> bytes:
    """The events with ids of calls that do not depend on chance."""
    numbers: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return b'"call_%d"' % numbers.setdefault(match[0], len(numbers))

    return CALL_ID.sub(number, encode_events(events))


@cases(CASES)
def test_laws_1_and_2_order(dice: Random) -> None:
    made = Told(dice, said).answer(dice)
    events = made.events([made.body], dice.choice(REPLY_PLANS))
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)


@cases(CASES)
def test_law_1_a_cut_upstream_gets_no_message_stop(dice: Random) -> None:
    made = Told(dice, said).answer(dice)
    plan = dice.choice([plan for plan in REPLY_PLANS if not plan.watch_stops])
    end = max(made.body.rfind(word) for word in (b'"stop"', b'"length"', b'"eos"', b'"limit"'))
    events = made.events([made.body[: dice.randint(0, end)]], plan)
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)
    assert isinstance(events[-1], ErrorEvent)


@cases(CASES)
def test_law_3_cut_anywhere(dice: Random) -> None:
    made, plan = Told(dice, said).answer(dice), dice.choice(REPLY_PLANS)
    size = dice.choice([1, 2, 3, 17, 64, len(made.body) // 2 + 1])
    pieces = [made.body[n : n + size] for n in range(0, len(made.body), size)]
    whole = same_ids(made.events([made.body], plan))
    assert same_ids(made.events(pieces, plan)) == whole


@cases(CASES)
def test_the_grouping_of_tokens_does_not_matter(dice: Random) -> None:
    told, plan, kind = Told(dice, said), dice.choice(REPLY_PLANS), dice.choice(SERVERS)
    one, many = (told.answer(dice, size, kind) for size in (1, dice.choice([2, 5, 100])))
    found = [message_or_fault(each.events([each.body], plan)) for each in (one, many)]
    if isinstance(found[0], dict):
        assert plain(found[0]["content"]) == plain(found[1]["content"])
        assert found[0]["stop_reason"] == found[1]["stop_reason"]
    else:
        assert found[0] == found[1]


@cases(CASES)
def test_law_4_the_sdk_accumulates_our_message(dice: Random) -> None:
    made = Told(dice, said).answer(dice)
    events = made.events([made.body], dice.choice(REPLY_PLANS))
    if isinstance(events[-1], ErrorEvent):
        with pytest.raises(Fault):
            fold(events)
        return
    assert sdk_accumulates(events) == json.loads(msgspec.json.encode(fold(events)))


@cases(CASES)
def test_law_4_the_message_is_the_chat_routes(dice: Random) -> None:
    told, plan = Told(dice, clean), REPLY_PLANS[1]
    made = told.answer(dice)
    frames = [delta(reasoning_content=crumb) for crumb in crumbs(dice, told.reasoning)]
    frames += [delta(content=crumb) for crumb in crumbs(dice, told.content)]
    for n, (name, given) in enumerate(told.calls):
        whole = "{" + ", ".join(f'"{key}": {value}' for key, value in given.items()) + "}"
        frames.append(delta(tool_calls=[call(n, f"c{n}", name, "")]))
        frames += [delta(tool_calls=[call(n, arguments=crumb)]) for crumb in crumbs(dice, whole)]
    by_chat = fold(translate([sse(*frames, delta(told.finish))], plan, seal=FakeSeal()))
    by_tokens = fold(made.events([made.body], plan))
    if not (told.reasoning or told.content or told.calls):
        return  # the fake says something where there is nothing
    as_json = [json.loads(msgspec.json.encode(each)) for each in (by_tokens, by_chat)]
    assert plain(as_json[0]["content"]) == plain(as_json[1]["content"])
    assert by_tokens.stop_reason == by_chat.stop_reason


@cases(CASES)
def test_law_5_arguments_arrive_byte_for_byte(dice: Random) -> None:
    told = Told(dice, clean)
    made = told.answer(dice)
    found = arguments_by_block(made.events([made.body], REPLY_PLANS[1]))
    expected = [
        "{" + ", ".join(f'"{key}": {value}' for key, value in given.items()) + "}"
        for _, given in told.calls
    ]
    assert found == expected


@cases(CASES)
def test_law_5_arguments_are_json_or_it_is_said_why_not(dice: Random) -> None:
    made = Told(dice, said).answer(dice)
    events = made.events([made.body], dice.choice(REPLY_PLANS))
    stop = next((e.delta.stop_reason for e in events if isinstance(e, MessageDelta)), "error")
    if stop not in {"max_tokens", "error"}:
        for each in arguments_by_block(events):
            json.loads(each)


@cases(CASES)
def test_law_6_input_counts_add_up(dice: Random) -> None:
    made = Told(dice, clean).answer(dice)
    events = made.events([made.body], REPLY_PLANS[0])
    (end,) = (event.usage for event in events if isinstance(event, MessageDelta))
    total = end.input_tokens + end.cache_read_input_tokens + end.cache_creation_input_tokens
    assert total == len(made.prompt.ids)
    assert end.cache_read_input_tokens == min(made.fake.cached, total)
    assert end.output_tokens > 0


@cases(CASES)
def test_law_10_output_is_bounded_by_input(dice: Random) -> None:
    made = Told(dice, said).answer(dice)
    events = made.events([made.body], dice.choice(REPLY_PLANS))
    assert len(encode_events(events)) <= 2000 + 30 * len(made.body)
