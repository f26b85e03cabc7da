"""Generated upstream answers: what a model said, and the many ways in which servers send it."""

import json
from random import Random
from typing import Any

from tests.support.answers import call, delta, sse
from tests.support.generated import ANY_TEXT, maybe, several, some, text

# Text that tempts every stage: tags, mark-up, stop sequences, blanks, line ends of Unicode.
TEMPTING = [
    "<think>",
    "</think>",
    "<",
    "\n",
    "\n\n",
    " ",
    "END",
    "EN",
    "｜DSML｜",
    "<｜DSML｜",
    "\u2028",
    "🐋",
    "\x85",
    '<｜DSML｜invoke name="f">',
    '<｜DSML｜parameter name="a" string="true">',
    "</｜DSML｜parameter>",
    "</｜DSML｜invoke>",
    "<｜DSML｜tool_calls>",
    "</｜DSML｜tool_calls>",
    "data: ",
    "\r\n\r\n",
]

NAMES = ["reasoning", "reasoning_content"]
FINISHES = ["stop", "length", "tool_calls", "content_filter", "eos"]
KINDS = ["text", "reasoning", "calls", "both", "empty", "comment", "usage", "junk"]
JUNK = [
    {"choices": []},
    {"choices": [], "usage": None},
    {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": None, "tool_calls": None}}]},
    {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
]


def said(dice: Random) -> str:
    return dice.choice(TEMPTING) if maybe(dice) else text(dice, ANY_TEXT, 6)


def json_value(dice: Random, depth: int = 2) -> Any:
    match dice.randrange(7 if depth else 5):
        case 0:
            return None
        case 1:
            return maybe(dice)
        case 2:
            return dice.randint(-(2**70), 2**70)
        case 3 | 4:
            return text(dice, ANY_TEXT, 8)
        case 5:
            return several(dice, lambda d: json_value(d, depth - 1), 0, 3)
        case _:
            return arguments(dice, depth - 1)


def arguments(dice: Random, depth: int = 2) -> dict[str, Any]:
    names = several(dice, lambda d: text(d, ANY_TEXT, 5), 0, 3)
    return {name: json_value(dice, depth) for name in names}


def crumbs(dice: Random, whole: str) -> list[str]:
    """A text in crumbs, empty ones among them."""
    cuts = sorted(several(dice, lambda d: d.randint(0, len(whole)), 0, 4))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def call_chunks(dice: Random) -> list[dict[str, Any]]:
    """Calls as a well-meaning server streams them, in order or interleaved."""
    entries: list[list[dict[str, Any]]] = []
    for index in range(dice.randint(1, 3)):
        whole = json.dumps(arguments(dice), ensure_ascii=maybe(dice))
        first = call(index, f"call_{index}", dice.choice("fg"), "")
        entries.append([first, *(call(index, arguments=crumb) for crumb in crumbs(dice, whole))])
    turns = [index for index, waiting in enumerate(entries) for _ in waiting]
    if maybe(dice):
        dice.shuffle(turns)
    return [delta(tool_calls=[entries[turn].pop(0)]) for turn in turns]


def usage(dice: Random) -> dict[str, Any]:
    names = ["prompt_tokens", "completion_tokens", "prompt_cache_hit_tokens"]
    found: dict[str, Any] = {name: dice.randint(0, 10_000) for name in some(dice, names)}
    if maybe(dice):
        found["prompt_tokens_details"] = {
            "cached_tokens": dice.randint(0, 10_000) if maybe(dice) else None
        }
    return found


def _frames(dice: Random) -> list[Any]:
    match dice.choice(KINDS):
        case "text":
            return [delta(content=said(dice))]
        case "reasoning":
            return [delta(**{dice.choice(NAMES): said(dice)})]
        case "calls":
            return list(call_chunks(dice))
        case "both":
            return [delta(content=said(dice), reasoning_content=said(dice))]
        case "empty":
            return [delta(role="assistant", content="")]
        case "comment":
            return [b": keep-alive\n\n"]
        case "usage":
            return [{"choices": [], "usage": usage(dice)}]
        case _:
            return [dice.choice(JUNK)]


def stream(dice: Random) -> bytes:
    """A stream that a server may send and that has an end."""
    frames = [frame for _ in range(dice.randint(0, 6)) for frame in _frames(dice)]
    frames.append(delta(dice.choice(FINISHES)))
    if maybe(dice):
        frames.append({"choices": [], "usage": usage(dice)})
    raw = sse(*frames, done=maybe(dice))
    if maybe(dice, 0.2):
        raw = raw.replace(b"data: ", b"data:")
    return raw.replace(b"\n", b"\r\n") if maybe(dice, 0.3) else raw


class Said:
    """One answer of a model, which a server sends whole or in chunks."""

    def __init__(self, dice: Random) -> None:
        self.reasoning = said(dice) + said(dice) if maybe(dice) else ""
        self.content = "".join(several(dice, said, 0, 4))
        self.calls = [
            (f"call_{n}", dice.choice("fg"), json.dumps(arguments(dice)))
            for n in range(dice.randint(0, 3))
        ]
        self.finish = dice.choice(FINISHES)
        self.usage = usage(dice) if maybe(dice) else None

    def whole(self) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = [call(None, *parts) for parts in self.calls]
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return json.dumps({"choices": [choice], "usage": self.usage}).encode()

    def streamed(self, dice: Random) -> bytes:
        frames = [delta(reasoning_content=crumb) for crumb in crumbs(dice, self.reasoning)]
        frames += [delta(content=crumb) for crumb in crumbs(dice, self.content)]
        for n, (call_id, name, whole) in enumerate(self.calls):
            frames.append(delta(tool_calls=[call(n, call_id, name, "")]))
            frames += [delta(tool_calls=[call(n, arguments=c)]) for c in crumbs(dice, whole)]
        return sse(*frames, delta(self.finish), {"choices": [], "usage": self.usage})


PLANS: list[dict[str, Any]] = [
    {},
    {"tools": frozenset({"f", "g"})},
    {"tools": frozenset({"f"}), "single_tool": True},
    {"watch_stops": ("END", "\n\n"), "stop_sequences": ("END", "\n\n")},
    {"display": "omitted"},
    {"tools": frozenset({"f", "g"}), "watch_stops": ("END",), "starts_thinking": True},
    {"prefill": "a", "prefill_echoed": True},
]
