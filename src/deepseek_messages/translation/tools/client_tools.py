"""The tools that Anthropic defines and the client runs: their schemas, known by type alone.

Source: Anthropic's tool use documentation (bash, text editor, memory and computer use tools) and
the official SDKs' type names. A client sends only ``type`` and ``name``; the model must be told
the rest.
"""

from typing import Any

from msgspec import Raw, Struct

from deepseek_messages.translation.tools.schema import compact
from deepseek_messages.wire.tools import Tool


class ClientTool(Struct, frozen=True):
    """What the model is told of a tool that only its type describes."""

    name: str
    description: str
    schema: Raw


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _number(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _pair(description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "integer"},
        "minItems": 2,
        "maxItems": 2,
        "description": description,
    }


def _object(properties: dict[str, Any], *required: str) -> Raw:
    return Raw(compact({"type": "object", "properties": properties, "required": list(required)}))


BASH = ClientTool(
    "bash",
    "Run a command in a bash session that stays open between calls. Set restart to begin a new"
    " session.",
    _object(
        {
            "command": _text("The command to run. Needed unless restart is set."),
            "restart": {"type": "boolean", "description": "Begin a new session."},
        }
    ),
)

_EDITS = {
    "path": _text("Absolute path of the file or directory."),
    "file_text": _text("For create: the whole content of the new file."),
    "old_str": _text("For str_replace: the text to replace; it must occur exactly once."),
    "new_str": _text("For str_replace: the text that takes its place."),
    "insert_line": _number("For insert: the line after which to insert; 0 is the beginning."),
    "view_range": _pair("For view: first and last line to show, counted from 1; -1 is the end."),
}


def _editor(name: str, insert: str, *commands: str) -> ClientTool:
    command = {"type": "string", "enum": list(commands), "description": "What to do."}
    properties = {"command": command, **_EDITS}
    if insert == "insert_text":
        properties["insert_text"] = _text("For insert: the text to insert.")
    else:
        properties["new_str"] = _text("For str_replace and insert: the new text.")
    return ClientTool(
        name,
        "View, create and edit text files. str_replace changes a piece of text that occurs once;"
        " insert adds text after a line.",
        _object(properties, "command", "path"),
    )


OLD_EDITOR = _editor(
    "str_replace_editor", "new_str", "view", "create", "str_replace", "insert", "undo_edit"
)
EDITOR = _editor(
    "str_replace_based_edit_tool", "insert_text", "view", "create", "str_replace", "insert"
)

MEMORY = ClientTool(
    "memory",
    "Keep notes in files under /memories that last beyond this conversation. Look there before"
    " starting a task, and write down what later work will need.",
    _object(
        {
            "command": {
                "type": "string",
                "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                "description": "What to do.",
            },
            **_EDITS,
            "path": _text("Path under /memories (all commands but rename)."),
            "insert_text": _text("For insert: the text to insert."),
            "old_path": _text("For rename: the present path."),
            "new_path": _text("For rename: the new path."),
        },
        "command",
    ),
)

_ACTIONS_2024_10 = (
    "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click",
    "double_click", "screenshot", "cursor_position",
)  # fmt: skip
_ACTIONS_2025_01 = (
    *_ACTIONS_2024_10, "left_mouse_down", "left_mouse_up", "scroll", "hold_key", "wait",
    "triple_click",
)  # fmt: skip
_ACTIONS_2025_11 = (*_ACTIONS_2025_01, "zoom")


_COMPUTERS = {
    "computer_20241022": _ACTIONS_2024_10,
    "computer_20250124": _ACTIONS_2025_01,
    "computer_20251124": _ACTIONS_2025_11,
}

_BY_TYPE = {
    "bash_20241022": BASH,
    "bash_20250124": BASH,
    "text_editor_20241022": OLD_EDITOR,
    "text_editor_20250124": OLD_EDITOR,
    "text_editor_20250429": EDITOR,
    "text_editor_20250728": EDITOR,
    "memory_20250818": MEMORY,
}


def _computer(tool: Tool, actions: tuple[str, ...]) -> ClientTool:
    width, height = tool.display_width_px, tool.display_height_px
    size = f" The screen is {width} by {height} pixels." if width and height else ""
    properties: dict[str, Any] = {
        "action": {"type": "string", "enum": list(actions), "description": "What to do."},
        "coordinate": _pair("The point (x, y) in pixels from the left upper corner."),
        "text": _text("The text to type, or the keys to press, such as ctrl+s."),
    }
    if "scroll" in actions:
        properties |= {
            "start_coordinate": _pair("For left_click_drag: where the drag begins."),
            "scroll_direction": {"type": "string", "enum": ["up", "down", "left", "right"]},
            "scroll_amount": _number("For scroll: how many clicks of the wheel."),
            "duration": {"type": "number", "description": "For hold_key and wait: seconds."},
        }
    if "zoom" in actions:
        region = _pair("For zoom: left, upper, right and lower edge in pixels.")
        properties["region"] = {**region, "minItems": 4, "maxItems": 4}
    return ClientTool(
        "computer",
        "Use the mouse and keyboard of a computer and take screenshots. Take a screenshot first to"
        f" see what is there.{size}",
        _object(properties, "action"),
    )


def client_tool(tool: Tool) -> ClientTool | None:
    """What stands behind ``tool.type``; ``None`` when it is none of Anthropic's client tools."""
    if tool.type in _COMPUTERS:
        return _computer(tool, _COMPUTERS[tool.type])
    return _BY_TYPE.get(tool.type or "")
