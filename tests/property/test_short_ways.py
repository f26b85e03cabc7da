"""The short ways give what the long ones give: bytes passed on as they come, and answers whole."""

import json
from random import Random
from typing import Any

import msgspec

from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.response import decode_answer, fold
from deepseek_messages.translation.sse import encode_events
from deepseek_messages.translation.whole import whole_message
from tests.property.answers import PLANS, Said, said, stream
from tests.support.answers import (
    MESSAGE_ID,
    FakeSeal,
    delta,
    relayed,
    sse,
    translate,
    translate_whole,
)
from tests.support.generated import ANY_TEXT, cases, maybe, several, text

# Stages look at each event, so behind a relay there are none; the rest may be asked for.
RELAY_PLANS = [ReplyPlan(model="m", **plan) for plan in PLANS]


def stretches(dice: Random) -> bytes:
    """A stream of long stretches of one kind, as models write them."""
    frames: list[Any] = []
    for _ in range(dice.randint(1, 4)):
        field = dice.choice(["content", "content", "reasoning_content", "reasoning"])
        frames += [delta(**{field: text}) for text in several(dice, said, 1, 8)]
    frames.append(delta("stop"))
    ascii_only = maybe(dice)
    lines = [
        b"data: " + json.dumps(frame, ensure_ascii=ascii_only).encode() + b"\n\n"
        for frame in frames
    ]
    return b"".join(lines) + sse()


def in_pieces(dice: Random, raw: bytes) -> list[bytes]:
    """Mostly whole frames, one or several at once; now and then cut anywhere."""
    frames = raw.split(b"\n\n")
    pieces = [frame + b"\n\n" for frame in frames[:-1]] + ([frames[-1]] if frames[-1] else [])
    joined: list[bytes] = []
    for piece in pieces:
        if joined and maybe(dice, 0.3):
            joined[-1] += piece
        elif maybe(dice, 0.1):
            at = dice.randint(0, len(piece))
            joined += [piece[:at], piece[at:]]
        else:
            joined.append(piece)
    return joined


@cases()
def test_what_is_passed_on_is_what_is_translated(dice: Random) -> None:
    raw = stretches(dice) if maybe(dice, 0.8) else stream(dice)
    plan = dice.choice(RELAY_PLANS)
    expected = encode_events(translate([raw], plan, seal=FakeSeal()))
    assert relayed(in_pieces(dice, raw), plan, seal=FakeSeal()) == expected


@cases()
def test_a_whole_answer_at_once_is_the_answer(dice: Random) -> None:
    spoken, plan = Said(dice), dice.choice(RELAY_PLANS)
    if maybe(dice, 0.8):  # the answers it is made for
        spoken.content, spoken.calls = text(dice, ANY_TEXT, 20), []
        spoken.finish, plan = dice.choice(["stop", "length"]), dice.choice(RELAY_PLANS[:5])
    body = spoken.whole()
    short = whole_message(decode_answer(body), plan, MESSAGE_ID, seal=FakeSeal())
    if short is None:
        return
    try:
        long = fold(translate_whole(body, plan, prompt_tokens=None, seal=FakeSeal()))
    except Fault as fault:
        raise AssertionError(fault) from fault
    assert msgspec.json.encode(short) == msgspec.json.encode(long)
