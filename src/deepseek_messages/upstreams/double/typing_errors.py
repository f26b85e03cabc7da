"""Names the value that makes a request the wrong shape.

``deepseek-recipe`` says what is wrong, but not where. The place is found by asking it again with
one part of the request at a time.
"""

import json
from collections.abc import Iterator
from typing import Any

import deepseek_recipe as recipe

from deepseek_messages.upstreams.double.places import Path, dotted, find_places, position

_PREFIX = "invalid request body: "
_GOOD_MESSAGE = {"role": "user", "content": "x"}
_UNREAD = ("invalid type: map", "invalid type: sequence")


def shape_error(body: Any) -> str | None:
    """What ``deepseek-recipe`` says about the shape of a request; ``None`` if it is right."""
    try:
        recipe.ChatCompletionRequest(json.dumps(body).encode())
    except ValueError as error:
        return str(error).removeprefix(_PREFIX)
    return None


def locate(text: str, message: str) -> str:
    """``message`` with the path before it and the position after it, as DeepSeek writes it."""
    places = find_places(text)
    path = _path(json.loads(text), message)
    span = places.spans.get(path) or places.spans[()]
    offset = span.start if message.startswith(_UNREAD) else span.end
    shown = dotted(path)
    return f"{shown + ': ' if shown else ''}{message} at {position(text, offset)}"


def _path(body: Any, message: str) -> Path:
    if not isinstance(body, dict):
        return ()
    return next((path for path, part in _parts(body) if shape_error(part) == message), ())


def _parts(body: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """The request cut into requests that each have one of its parts, smallest parts first."""
    messages = body.get("messages")
    if isinstance(messages, list):
        for index, message in enumerate(messages):
            if isinstance(message, dict) and "role" in message:
                role = {**_GOOD_MESSAGE, "role": message["role"], "tool_call_id": "x"}
                yield ("messages", index, "role"), {"messages": [role]}
            yield ("messages", index), {"messages": [message]}
    for key, value in body.items():
        if key == "messages":
            yield (key,), {"messages": value}
            continue
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            yield (key, index), {"messages": [_GOOD_MESSAGE], key: [entry]}
        yield (key,), {"messages": [_GOOD_MESSAGE], key: value}
