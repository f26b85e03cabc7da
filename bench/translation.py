"""What the translation of a request costs beside the least it could: decoding and encoding it."""

import functools
import json
import pathlib
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from deepseek_messages.prompt.grown import GrownCounter
from deepseek_messages.translation.catalogue import FLASH, resolve
from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.chat import ChatRequest
from deepseek_messages.wire.messages import MessagesRequest

CAPTURES = pathlib.Path(__file__).parent.parent / "tests" / "captures"
SEAL = Seal(b"benchmark".ljust(64))

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(MessagesRequest).decode


@dataclass
class Cost:
    """CPU time of one translation beside the bare decode and encode, in microseconds."""

    name: str
    size: int
    ours_us: float
    bare_us: float
    ratio: float
    ratio_min: float
    ratio_max: float
    target: float = 2.0


def filled(value: Any) -> Any:
    """A capture with its left-out texts filled up to their length, as its README says."""
    if isinstance(value, str):
        return re.sub(r"^<(\d+) chars>$", lambda m: "word " * (int(m[1]) // 5), value)
    if isinstance(value, list):
        return [filled(each) for each in value]
    return {key: filled(each) for key, each in value.items()} if isinstance(value, dict) else value


@functools.cache
def capture(name: str, size: int) -> bytes:
    """The first request of a capture, its system prompt filled up to ``size`` bytes."""
    body = filled(json.loads((CAPTURES / f"{name}.json").read_text())["requests"][0]["body"])
    missing = size - len(_encode(body))
    if missing > 0:
        body["system"] = [*body["system"], {"type": "text", "text": "word " * (missing // 5)}]
    return _encode(body)


def history(size: int) -> bytes:
    """A conversation of about ``size`` bytes: tool calls and their results of 4 KB each."""
    body = json.loads(capture("cc_first_text", 49_000))
    text = "A line of a file that was read.\n" * 125
    turns = max(1, size // 4_400)
    for turn in range(turns):
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": "Read", "input": {"n": turn}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": text}
        body["messages"] += [
            {"role": "assistant", "content": [{"type": "text", "text": "Reading."}, call]},
            {"role": "user", "content": [result]},
        ]
    return _encode(body)


def translated(body: bytes) -> ChatRequest:
    """The chat request that a body becomes, as the service makes it."""
    request = parse_request(body)
    choice = resolve(request.model, [FLASH], FLASH.id)
    return to_chat(request, choice, DEEPSEEK, Notes(), SEAL).chat


def ours(body: bytes) -> None:
    _encode(translated(body))


def bare(body: bytes) -> None:
    _encode(_decode(body))


def timed(work: Callable[[], object], seconds: float) -> float:
    """CPU microseconds of one call, over about so many seconds."""
    calls, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        work()
        calls += 1
    return (time.process_time() - start) / calls * 1e6


def measure(name: str, body: bytes, rounds: int) -> Cost:
    ours(body), bare(body)
    pairs = [
        (timed(lambda: ours(body), 0.15), timed(lambda: bare(body), 0.15)) for _ in range(rounds)
    ]
    ratios = [a / b for a, b in pairs]
    return Cost(
        name=name,
        size=len(body),
        ours_us=statistics.median(a for a, _ in pairs),
        bare_us=statistics.median(b for _, b in pairs),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
    )


def requests() -> list[tuple[str, bytes]]:
    return [
        ("Claude Code's first request, 49 KB", capture("cc_first_text", 49_000)),
        ("Claude Code's first request, 78 KB", capture("cc_all_tools", 78_000)),
        ("a history of 1 MB", history(1_000_000)),
        ("a history of 4 MB", history(4_000_000)),
    ]


def count_growth() -> tuple[float, float]:
    """Milliseconds to count a 400 KB conversation the first time, and when it grew by a turn."""
    assert FLASH.encoding is not None
    first, grown = translated(history(400_000)), translated(history(404_400))
    sizes = GrownCounter()
    start = time.process_time()
    sizes.of(first, FLASH.encoding).whole()
    middle = time.process_time()
    sizes.of(grown, FLASH.encoding).whole()
    return (middle - start) * 1e3, (time.process_time() - middle) * 1e3
