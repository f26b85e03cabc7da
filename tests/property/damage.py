"""Damaged upstream streams: of whatever bytes come, only lawful events and our faults come out."""

import os
import re
from random import Random

from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.plan import ReplyPlan
from tests.property.laws import assert_blocks_closed
from tests.support.answers import relayed, translate
from tests.support.sse import assert_lawful

# Streams in one run of the suite, the same ones in every run, half of them in each of two files.
FEW = os.environ.get("HYPOTHESIS_PROFILE") == "few"
STREAMS = 320 if FEW else int(os.environ.get("FUZZ_STREAMS", "50000"))
PARTS = range(8)  # of a file, each a test


def seeds(part: int) -> range:
    """The numbers of the streams of one test."""
    each = STREAMS // 2 // len(PARTS)
    return range(part * each, (part + 1) * each)


def assert_only_faults(raw: bytes, plan: ReplyPlan, dice: Random) -> None:
    """Any other exception than ``Fault`` passes through ``translate`` and fails the test."""
    events = translate([raw], plan)
    assert_lawful(encode_events(events))
    assert_blocks_closed(events)
    size = dice.randint(1, 30)
    assert translate([raw[n : n + size] for n in range(0, len(raw), size)], plan) == events
    if not (plan.sources or plan.compaction or plan.applied_edits is not None):
        frames = re.split(rb"(?<=\n\n)", raw)
        assert relayed(frames, plan) == encode_events(events)


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


def damaged(raw: bytes, dice: Random) -> bytes:
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
