"""Bytes that are passed on are the bytes that chunk by chunk would have given.

The oracle knows no patterns and no runs: every frame is decoded by itself, every chunk fed by
itself, every event encoded by itself.
"""

import json
from random import Random
from typing import Any

import msgspec

from deepseek_messages.translation.answer.chat_json import decode_answer
from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import (
    DONE,
    ChunkReader,
    FrameParser,
    decode_chunk,
    encode_events,
)
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.answer.whole import whole_message
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.messages import ClearedThinking, Usage
from tests.property.answers import PLANS, Said, said, stream
from tests.support.answers import MESSAGE_ID, FakeSeal, delta, sse, translate_whole
from tests.support.generated import ANY_TEXT, cases, maybe, several, text

EDITED = {"applied_edits": (ClearedThinking(1, 2),)}
REPLY_PLANS = [ReplyPlan(model="m", **plan) for plan in [*PLANS, EDITED]]

Told = tuple[bytes, Usage | None]


def machine(plan: ReplyPlan) -> MessageStream:
    return MessageStream(plan, MESSAGE_ID, prompt_tokens=7, seal=FakeSeal())


def oracle(raw: bytes, plan: ReplyPlan) -> Told:
    """The client's bytes for the upstream's, and the usage so far, which is what is told of an
    answer that breaks off.
    """
    frames, answer, out = FrameParser(), machine(plan), b""
    for payload in frames.feed(raw):
        if payload.strip() and payload.strip() != DONE:
            for event in answer.feed(decode_chunk(payload.strip())):
                out += encode_events([event])
    return out, answer.so_far()


def passed(pieces: list[bytes], plan: ReplyPlan) -> tuple[Told, int]:
    """The same by way of runs and relays, as the service goes, and how many pieces were passed
    on as bytes.
    """
    reader, answer, out, count = ChunkReader(), machine(plan), b"", 0
    relay = None
    for piece in pieces:
        if relay is not None and (frames := relay.take(piece)) is not None:
            out += frames
            count += 1
            continue
        for chunk in reader.feed(piece):
            out += encode_events(answer.feed(chunk))
        pattern = reader.pattern
        relay = answer.relay(pattern) if pattern is not None else None
    return (out, answer.so_far()), count


def frame(field: str, words: str, dice: Random) -> bytes:
    """A frame as servers spell it, mostly with characters as they are."""
    chunk = {"id": "a", **delta(**{field: words})}
    spelled = json.dumps(chunk, separators=(",", ":"), ensure_ascii=maybe(dice, 0.1))
    return b"data: " + spelled.encode(errors="replace") + b"\n\n"


def steady(dice: Random) -> list[bytes]:
    """A stream of many frames that hardly differ, one a piece or several."""
    frames: list[bytes] = []
    for _ in range(dice.randint(1, 3)):
        field = dice.choice(["content", "content", "reasoning_content", "reasoning"])
        words = several(dice, lambda d: said(d) if maybe(d, 0.2) else text(d, ANY_TEXT, 8), 1, 12)
        frames += [frame(field, each, dice) for each in words]
        if maybe(dice, 0.2):
            frames.append(sse(delta(dice.choice(["stop", "length"])), done=False))
    if maybe(dice, 0.2):
        frames.insert(dice.randrange(len(frames)), b": keep-alive\n\n")
    pieces, at = [], 0
    while at < len(frames):
        size = dice.choice([1, 1, 1, 2, 5])
        pieces.append(b"".join(frames[at : at + size]))
        at += size
    return pieces


def agree(pieces: list[bytes], plan: ReplyPlan) -> None:
    try:
        expected = oracle(b"".join(pieces), plan)
    except Fault:
        return  # where the answer breaks is compared elsewhere (law 3)
    assert passed(pieces, plan)[0] == expected


@cases()
def test_steady_streams_give_the_same_bytes(dice: Random) -> None:
    agree(steady(dice), dice.choice(REPLY_PLANS))


@cases()
def test_odd_streams_give_the_same_bytes(dice: Random) -> None:
    raw, size = stream(dice), dice.choice([5, 64, 200, 1000])
    agree([raw[n : n + size] for n in range(0, len(raw), size)], dice.choice(REPLY_PLANS))


def test_most_of_a_steady_stream_is_passed_on() -> None:
    pieces = [frame("content", f"word {n}", Random(1)) for n in range(50)]
    pieces = [piece for piece in pieces if b"\\u" not in piece]
    _, count = passed(pieces, ReplyPlan(model="m", tools=frozenset({"f"})))
    assert count >= len(pieces) - 3


@cases()
def test_whole_answers_are_what_their_events_amount_to(dice: Random) -> None:
    body, plan = Said(dice).whole(), dice.choice(REPLY_PLANS)
    quick = whole_message(decode_answer(body), plan, MESSAGE_ID, seal=FakeSeal())
    if quick is not None:
        events = translate_whole(body, plan, prompt_tokens=None, seal=FakeSeal())
        assert msgspec.json.encode(quick) == msgspec.json.encode(fold(events))


def test_a_plain_whole_answer_takes_no_stream() -> None:
    message: dict[str, Any] = {"role": "assistant", "content": "Hi.", "reasoning_content": "So."}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    answer = decode_answer(body.encode())
    assert whole_message(answer, ReplyPlan(model="m"), MESSAGE_ID, seal=None) is not None
