"""Laws 2, 3, 4, 8 and 10 for answers that cite, and that every citation is true."""

import json
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.wire.content import OutputTextBlock
from tests.property.conversations import chat_prompt, translate
from tests.property.laws import sdk_accumulates
from tests.property.test_prefix import turns, without_header
from tests.support.answers import delta, sse
from tests.support.answers import translate as answer
from tests.support.generated import cases
from tests.support.sse import assert_lawful

SENTENCES = (
    "Grass is green.",
    "天空是蓝的。",
    "No end",
    "Really?!",
    "x" * 40 + ".",
    "A\n\nB.",
    "Dr. Who.",
)
TALK = (
    "So ",
    "it is. ",
    "Yes",
    ".",
    "\n",
    "。",
    " [",
    "]",
    "[citation:",
    "[passage 1]",
    " ",
    "x" * 200,
)


def words(dice: Random, most: int) -> str:
    return " ".join(dice.choice(SENTENCES) for _ in range(dice.randint(1, most)))


def source(dice: Random) -> dict[str, Any]:
    cite = {"citations": {"enabled": dice.random() < 0.8}}
    blocks = [{"type": "text", "text": words(dice, 2)} for _ in range(dice.randint(1, 3))]
    match dice.randrange(3):
        case 0:
            given = {"type": "text", "media_type": "text/plain", "data": words(dice, 6)}
            return {"type": "document", "source": given, "title": "T"} | cite
        case 1:
            given = {"type": "content", "content": blocks}  # type: ignore[dict-item]
            return {"type": "document", "source": given} | cite
        case _:
            found = {"type": "search_result", "source": "s", "title": "t", "content": blocks}
            return found | cite


def marked(dice: Random) -> str:
    """An answer with marks, true ones, false ones, broken ones."""
    parts = []
    for _ in range(dice.randint(1, 12)):
        if dice.random() < 0.4:
            parts.append(f"[citation:{dice.randint(0, 12)}]")
        else:
            parts.append(dice.choice(TALK))
    return "".join(parts)


def cut(dice: Random, text: str) -> list[str]:
    ends = sorted(dice.randint(0, len(text)) for _ in range(dice.randint(0, 6)))
    return [text[a:b] for a, b in pairwise([0, *ends, len(text)]) if a < b]


def conversation(dice: Random) -> dict[str, Any]:
    """Questions with sources, and the answers that our server gave to them."""
    messages: list[Any] = []
    for _ in range(dice.randint(1, 3)):
        sources = [source(dice) for _ in range(dice.randint(0, 2))]
        messages.append({"role": "user", "content": [*sources, {"type": "text", "text": "Why?"}]})
        body = {"model": "m", "max_tokens": 9, "messages": messages}
        plan = translate(body).plan
        frames = [delta(content=piece) for piece in cut(dice, marked(dice))]
        message = fold(answer([sse(*frames, delta("stop"))], plan))
        content = json.loads(msgspec.json.encode(message))["content"]
        messages.append({"role": "assistant", "content": content or "Nothing."})
    messages.append({"role": "user", "content": "Go on."})
    return {"model": "m", "max_tokens": 9, "messages": messages}


def texts_of(body: dict[str, Any], kind: str) -> list[Any]:
    return [
        block
        for message in body["messages"]
        if message["role"] == "user" and isinstance(message["content"], list)
        for block in message["content"]
        if block["type"] == kind
    ]


def check(citation: dict[str, Any], body: dict[str, Any]) -> None:
    """What is cited stands where the citation says."""
    if citation["type"] == "search_result_location":
        found = texts_of(body, "search_result")[citation["search_result_index"]]
        assert (found["source"], found["title"]) == (citation["source"], citation["title"])
        content = found["content"]
    else:
        found = texts_of(body, "document")[citation["document_index"]]
        assert citation["document_title"] == found.get("title")
        if citation["type"] == "char_location":
            text = found["source"]["data"]
            start, end = citation["start_char_index"], citation["end_char_index"]
            assert citation["cited_text"] == text[start:end] != ""
            return
        content = found["source"]["content"]
    assert found["citations"]["enabled"]
    start, end = citation["start_block_index"], citation["end_block_index"]
    assert 0 <= start < end <= len(content)
    assert citation["cited_text"] == "".join(block["text"] for block in content[start:end])


@cases()
def test_every_citation_is_true(dice: Random) -> None:
    body = conversation(dice)
    for message in body["messages"]:
        if message["role"] == "assistant" and isinstance(message["content"], list):
            for block in message["content"]:
                for citation in block.get("citations") or ():
                    check(citation, body)


@cases()
def test_events_are_lawful_and_fold_as_the_sdk_folds_them(dice: Random) -> None:
    plan = translate(conversation(dice)).plan
    text = marked(dice)
    frames = [delta(content=piece) for piece in cut(dice, text)]
    events = answer([sse(*frames, delta("stop"))], plan)
    assert_lawful(encode_events(events))
    whole = fold(answer([sse(delta(content=text), delta("stop"))], plan))
    message = fold(events)
    assert message.content == whole.content
    read = sdk_accumulates(events)["content"]
    assert read == json.loads(msgspec.json.encode(message.content))
    shown = sum(len(b.text) for b in message.content if isinstance(b, OutputTextBlock))
    assert shown <= len(text)


@cases()
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_each_prompt_begins_with_the_one_before(encoding: Any, dice: Random) -> None:
    prompts = [
        without_header(chat_prompt(translate(turn, encoding), encoding))
        for turn in turns(conversation(dice))
    ]
    for earlier, later in pairwise(prompts):
        assert later.startswith(earlier)
