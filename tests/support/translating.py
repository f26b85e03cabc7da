"""Short words for tests of the translation: bodies in, chat requests out."""

from collections.abc import Sequence
from typing import Any

import msgspec

from deepseek_messages.translation.catalogue import Choice, Encoding, Model
from deepseek_messages.translation.dialects import DEEPSEEK, Dialect
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.request.edits import NO_EDITS, Edits
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal

SEAL = Seal(b"test key")


def user(*blocks: Any) -> dict[str, Any]:
    return _message("user", blocks)


def assistant(*blocks: Any) -> dict[str, Any]:
    return _message("assistant", blocks)


def system(*blocks: Any) -> dict[str, Any]:
    return _message("system", blocks)


def _message(role: str, blocks: Sequence[Any]) -> dict[str, Any]:
    """One string stays a string; several things become blocks, strings among them text."""
    if len(blocks) == 1 and isinstance(blocks[0], str):
        return {"role": role, "content": blocks[0]}
    return {"role": role, "content": [text(b) if isinstance(b, str) else b for b in blocks]}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def thinking(content: str, signature: str = "") -> dict[str, Any]:
    return {"type": "thinking", "thinking": content, "signature": signature}


def call(tool_id: str = "t1", name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}


def result(tool_id: str = "t1", content: Any = "r", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": tool_id, "content": content, **fields}


def tool(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **fields}


def model(encoding: Encoding | None = "v4.1", **fields: Any) -> Model:
    given: dict[str, Any] = {
        "id": "served",
        "display_name": "Served",
        "context_window": 1 << 20,
        "max_output_tokens": 393216,
        "encoding": encoding,
        "thinks": True,
        "sees": True,
    }
    return Model(**{**given, **fields})


class Translated:
    """A translation with its notes, and its chat request as the JSON that is sent."""

    def __init__(self, translation: Translation, notes: Notes) -> None:
        self.chat = translation.chat
        self.plan = translation.plan
        self.rounds = translation.rounds
        self.notes = [str(note) for note in notes.entries]
        self.sent: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(translation.chat))
        self.messages: list[dict[str, Any]] = self.sent["messages"]


def translated(
    *messages: Any,
    dialect: Dialect = DEEPSEEK,
    served: Model | None = None,
    strict: bool = False,
    thinking_default: bool | None = None,
    hosted: Hosted = NOTHING_HOSTED,
    edits: Edits = NO_EDITS,
    **fields: Any,
) -> Translated:
    """The translation of a request that holds ``messages`` (a bare string is the user's)."""
    body = {
        "model": "asked",
        "max_tokens": 100,
        "messages": [user(m) if isinstance(m, str) else m for m in messages] or [user("hi")],
        **fields,
    }
    request = parse_request(msgspec.json.encode(body))
    choice = Choice(
        model=served or model(), requested=request.model, thinking_default=thinking_default
    )
    notes = Notes(strict=strict)
    made = to_chat(request, choice, dialect, notes, SEAL, edits=edits, hosted=hosted)
    return Translated(made, notes)
