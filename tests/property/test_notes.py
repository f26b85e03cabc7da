"""Law 9: nothing is lost silently. What a request says reaches the upstream, or a note tells.

Each text in a generated request has a word of its own, and that word is looked for.
"""

import json
import re
from random import Random
from typing import Any

import msgspec

from deepseek_messages.translation.notes import Notes
from tests.property.conversations import request, translate
from tests.property.test_prefix import odd_message
from tests.support.generated import cases, several

ENCODINGS = [None, "v4", "v4.1"]

# What has no meaning beyond its place: names, ids, kinds, data, and signatures (ours or foreign).
STRUCTURE = frozenset(
    {"type", "role", "id", "tool_use_id", "name", "media_type", "data", "signature", "url"}
    | {"tool_name", "file_id", "source"}
)
# Reasoning of earlier turns is the model's own matter: DeepSeek's encoder leaves it out.
STRUCTURE |= {"thinking"}


def marked(value: Any, path: str, words: dict[str, str]) -> Any:
    """``value`` with a word of its own in each text; ``words`` gets the words and their places."""
    match value:
        case str():
            word = f"w{len(words)}w"
            words[word] = path
            return f"{value} {word}"
        case list():
            return [marked(each, f"{path}.{n}", words) for n, each in enumerate(value)]
        case dict():
            return {
                key: each if key in STRUCTURE else marked(each, f"{path}.{key}", words)
                for key, each in value.items()
            }
        case _:
            return value


def lost(body: dict[str, Any], encoding: Any) -> list[str]:
    """The places of texts that are neither in the chat request nor covered by a note."""
    notes = Notes()
    sent = msgspec.json.encode(translate(body, encoding, notes=notes).chat).decode()
    noted = [note.path for note in notes.entries]
    found = set(re.findall(r"w\d+w", sent))
    return [
        path
        for word, path in _words(body)
        if word not in found and not any(path.startswith(place) for place in noted if place)
    ]


def _words(body: dict[str, Any]) -> list[tuple[str, str]]:
    places: list[tuple[str, str]] = []

    def walk(value: Any, path: str) -> None:
        match value:
            case str():
                places.extend((word, path) for word in re.findall(r"w\d+w", value))
            case list():
                for n, each in enumerate(value):
                    walk(each, f"{path}.{n}")
            case dict():
                if value.get("type") == "compaction":
                    places.clear()  # it stands for all that came before it
                for key, each in value.items():
                    walk(each, f"{path}.{key}" if path else key)

    walk(body, "")
    return places


@cases()
def test_law_9_a_request_arrives_whole(dice: Random) -> None:
    body = request(dice, "v4")
    words: dict[str, str] = {}
    body["messages"] = marked(body["messages"], "messages", words)
    if "system" in body:
        body["system"] = marked(body["system"], "system", words)
    assert lost(body, dice.choice(ENCODINGS)) == [], json.dumps(body)


@cases()
def test_law_9_odd_histories_arrive_or_are_noted(dice: Random) -> None:
    words: dict[str, str] = {}
    messages = marked(several(dice, odd_message, 1, 4), "messages", words)
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    assert lost(body, dice.choice(ENCODINGS)) == [], json.dumps(body)
