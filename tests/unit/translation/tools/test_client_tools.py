"""Anthropic's client tools, which a request only names: what the model is told of them."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.tools.client_tools import client_tool
from deepseek_messages.wire.tools import Tool


def schema_of(kind: str, **fields: Any) -> dict[str, Any]:
    known = client_tool(Tool(type=kind, name="n", **fields))
    assert known is not None
    return dict(json.loads(bytes(known.schema)))


def pair(what: str, size: int = 2) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": size,
        "maxItems": size,
        "description": what,
    }


FIRST = {
    "action": {"type": "string", "description": "What to do."},
    "coordinate": pair("The point (x, y) in pixels from the left upper corner."),
    "text": {
        "type": "string",
        "description": "The text to type, or the keys to press, such as ctrl+s.",
    },
}
SECOND = FIRST | {
    "start_coordinate": pair("For left_click_drag: where the drag begins."),
    "scroll_direction": {"type": "string", "enum": ["up", "down", "left", "right"]},
    "scroll_amount": {
        "type": "integer",
        "description": "For scroll: how many clicks of the wheel.",
    },
    "duration": {"type": "number", "description": "For hold_key and wait: seconds."},
}
THIRD = SECOND | {
    "region": pair("For zoom: left, upper, right and lower edge in pixels.", size=4),
}


@pytest.mark.parametrize(
    ("kind", "properties", "actions"),
    [
        ("computer_20241022", FIRST, 10),
        ("computer_20250124", SECOND, 16),
        ("computer_20251124", THIRD, 17),
    ],
)
def test_the_computer_has_the_arguments_of_its_day(
    kind: str, properties: dict[str, Any], actions: int
) -> None:
    schema = schema_of(kind)
    enum = schema["properties"]["action"].pop("enum")
    assert schema == {"type": "object", "properties": properties, "required": ["action"]}
    assert len(enum) == len(set(enum)) == actions
    assert ("scroll" in enum, "zoom" in enum) == (actions > 10, actions > 16)


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ({"display_width_px": 8, "display_height_px": 6}, True),
        ({"display_width_px": 8}, False),
        ({"display_height_px": 6}, False),
        ({}, False),
    ],
)
def test_the_size_of_the_screen_is_told_where_it_is_known(size: dict[str, int], told: bool) -> None:
    known = client_tool(Tool(type="computer_20250124", name="n", **size))  # type: ignore[arg-type]
    assert known is not None
    assert known.description.endswith("see what is there.") is not told
    assert known.description.endswith(" The screen is 8 by 6 pixels.") is told
    assert known.name == "computer"


@pytest.mark.parametrize("kind", [None, "", "bash", "computer_20990101", "web_search_20250305"])
def test_other_types_are_none_of_them(kind: str | None) -> None:
    assert client_tool(Tool(type=kind, name="n")) is None
