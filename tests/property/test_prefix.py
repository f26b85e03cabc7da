"""Law 8: turn n+1's prompt begins with turn n's; and translation never fails on odd histories."""

from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.refusals import Refusal
from tests.property.conversations import (
    IMAGES,
    chat_prompt,
    request,
    text_block,
    tool_input,
    translate,
    words,
)
from tests.support.generated import cases, maybe, several, some

REMINDER = msgspec.structs.replace(DEEPSEEK, system="user_reminder")


def turns(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests a client would have sent on the way to ``body``, in order."""
    messages = body["messages"]
    ends = [i for i, message in enumerate(messages) if message["role"] == "assistant" and i]
    return [{**body, "messages": messages[:end]} for end in [*ends, len(messages)]]


def without_header(prompt: str) -> str:
    """The prompt up to the place where the answer's first token decides about thinking."""
    return prompt.removesuffix("<think>").removesuffix("</think>")


@cases()
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_each_prompt_begins_with_the_one_before(encoding: Any, dice: Random) -> None:
    prompts = [
        without_header(chat_prompt(translate(turn, encoding), encoding))
        for turn in turns(request(dice, encoding))
    ]

    for earlier, later in pairwise(prompts):
        assert later.startswith(earlier)


@cases()
@pytest.mark.parametrize("dialect", [DEEPSEEK, REMINDER], ids=["in_place", "user_reminder"])
def test_each_message_list_begins_with_the_one_before(dialect: Any, dice: Random) -> None:
    encoding: Any = dice.choice([None, "v4", "v4.1"])
    body = request(dice, "v4")
    lists = [translate(turn, encoding, dialect=dialect).chat.messages for turn in turns(body)]

    for earlier, later in pairwise(lists):
        assert later[: len(earlier)] == earlier


# --- histories that no careful client would send --------------------------------------------------

IDS = ["1", "2", "fs.read:0", "é", ""]
ODD_BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "tool_reference", "tool_name": "nobody"},
    {"type": "search_result", "source": "s", "title": "t", "content": []},
    {"type": "document", "source": {"type": "text", "data": "d"}},
    {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
    {"type": "compaction", "content": "sum"},
    {"type": "container_upload", "file_id": "f"},
]


def odd_block(dice: Random) -> dict[str, Any]:
    match dice.randrange(6):
        case 0:
            return text_block(dice)
        case 1:
            return dice.choice(IMAGES)
        case 2:
            call_id, name = dice.choice(IDS), words(dice)
            return {"type": "tool_use", "id": call_id, "name": name, "input": tool_input(dice)}
        case 3:
            return {
                "type": "tool_result",
                "tool_use_id": dice.choice(IDS),
                "content": dice.choice([None, words(dice), several(dice, text_or_image, 0, 2)]),
                "is_error": dice.choice([None, True, False]),
            }
        case _:
            return dice.choice(ODD_BLOCKS)


def text_or_image(dice: Random) -> dict[str, Any]:
    return text_block(dice) if maybe(dice) else dice.choice(IMAGES)


def odd_message(dice: Random) -> dict[str, Any]:
    role = dice.choice(["user", "assistant", "system", "ctx", "msg"])
    content = words(dice) if maybe(dice, 0.3) else several(dice, odd_block, 0, 4)
    return {"role": role, "content": content}


@cases()
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_any_history_becomes_a_request_that_deepseek_takes(encoding: Any, dice: Random) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": several(dice, odd_message, 1, 6)}
    if maybe(dice):
        body["thinking"] = {"type": "adaptive"}

    assert chat_prompt(translate(body, encoding), encoding)


KEYS = ["type", "text", "role", "content", "name", "source", "input"]
OPTIONAL = ["system", "tools", "tool_choice", "thinking", "output_config", "metadata"]


def garbage(dice: Random, depth: int = 3) -> Any:
    match dice.randrange(7 if depth else 5):
        case 0:
            return None
        case 1:
            return maybe(dice)
        case 2:
            return dice.randint(-9, 2**65)
        case 3 | 4:
            return words(dice)
        case 5:
            return several(dice, lambda d: garbage(d, depth - 1), 0, 3)
        case _:
            return {key: garbage(dice, depth - 1) for key in some(dice, KEYS, 0, 3)}


@cases()
def test_any_json_is_translated_or_refused_by_name(dice: Random) -> None:
    body: dict[str, Any] = {"model": garbage(dice) if maybe(dice, 0.2) else "m"}
    body["messages"] = several(dice, odd_message, 0, 2) if maybe(dice, 0.8) else garbage(dice)
    body |= {name: garbage(dice) for name in some(dice, OPTIONAL, 0, 3)}
    refusal = None
    try:
        translate(body)
    except Refusal as error:
        refusal = error

    assert refusal is None or (refusal.status == 400 and refusal.path)
