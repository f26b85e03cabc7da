"""Plain answers and turns take a short way; it leads where the careful one does."""

from random import Random
from typing import Any
from unittest import mock

import msgspec
import pytest

from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, VLLM
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import history
from tests.property.conversations import (
    DEFERRED,
    IMAGES,
    answer,
    request,
    result_content,
    text_block,
    tool_list,
    translate,
    words,
)
from tests.property.test_prefix import odd_message
from tests.support.generated import cases, maybe, several

NAMES = ["read", "write", "fs.read", "é"]


def loop(dice: Random) -> dict[str, Any]:
    """An agent's loop as clients send it, with a slip here and there."""
    messages = [{"role": "user", "content": words(dice)}]
    for turn in range(dice.randint(1, 4)):
        calls = dice.randint(0, 3)
        spoken = answer(dice, calls, turn, NAMES)
        results = [result(dice, f"toolu_{turn}_{number}") for number in range(calls)]
        content: Any = [*results, *several(dice, text_block, 0, 2)]
        if maybe(dice, 0.2):
            slip(dice, spoken, content)
        messages.append({"role": "assistant", "content": spoken})
        messages.append({"role": "user", "content": content or words(dice)})
        messages += several(dice, aside, 0, 1)
    body: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": messages}
    if maybe(dice):
        body["tools"] = tool_list(dice, deferred=True)
    if maybe(dice):
        body["thinking"] = {"type": "adaptive"}
    return body


def result(dice: Random, tool_use_id: str) -> dict[str, Any]:
    content = result_content(dice, [])
    return {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}


def aside(dice: Random) -> dict[str, Any]:
    content = words(dice) if maybe(dice) else several(dice, text_block, 0, 2)
    return {"role": dice.choice(["system", "system", "user"]), "content": content}


def slip(dice: Random, spoken: list[Any], content: list[Any]) -> None:
    where = dice.choice([spoken, content])
    block = dice.choice(where) if where else text_block(dice)
    match dice.randrange(8):
        case 0:
            dice.shuffle(where)
        case 1:
            where.append(block)
        case 2 if where:
            where.remove(block)
        case 3 if content:
            content[0] = {**content[0], "is_error": True}
        case 4 if content and "content" in content[0]:
            content[0] = {**content[0], "content": [dice.choice(IMAGES), text_block(dice)]}
        case 5:
            where.append({"type": "tool_addition", "tool": {"name": dice.choice(DEFERRED)}})
        case 6:
            where.insert(0, {"type": "redacted_thinking", "data": "x"})
        case _:
            where.append({"type": "compaction", "content": dice.choice([None, "sum"])})


def odd(dice: Random) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": several(dice, odd_message, 1, 5)}


def told(body: dict[str, Any], encoding: Any, dialect: Any, *, strict: bool) -> Any:
    """Everything that a translation says."""
    notes = Notes(strict=strict)
    try:
        done = translate(body, encoding, dialect=dialect, notes=notes)
    except Refusal as refusal:
        return str(refusal), notes.entries
    return msgspec.json.encode(done.chat), done.plan, notes.entries


@cases()
@pytest.mark.parametrize(
    "make", [loop, odd, lambda dice: request(dice, "v4")], ids=["loop", "odd", "clean"]
)
def test_the_short_way_leads_where_the_careful_one_does(make: Any, dice: Random) -> None:
    body, encoding = make(dice), dice.choice([None, "v4", "v4.1"])
    dialect, strict = dice.choice([DEEPSEEK, VLLM, GENERIC]), maybe(dice, 0.2)
    short = told(body, encoding, dialect, strict=strict)
    with mock.patch.object(history, "_may_be_plain", return_value=False):
        assert told(body, encoding, dialect, strict=strict) == short
