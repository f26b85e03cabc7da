"""What the double answers when nobody scripted it: an honest echo.

It says what it is and repeats the user's last text. It calls a tool when ``tool_choice`` forces
one, or when the user's last text says "call NAME" or "use NAME" with the name of a tool. The
arguments are a smallest value that fits the tool's schema.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_messages.upstreams.double.sample import sample
from deepseek_messages.upstreams.double.script import Call, Step, Text, Think

INTRODUCTION = "I am the test double of DeepSeek's API: no model, only an echo."

_ASKED = re.compile(
    r"\b(?:call|use)\s+(?:the\s+)?(?:tool\s+|function\s+)?[`\"']?([\w-]+)", re.IGNORECASE
)


def echo(body: Mapping[str, Any]) -> list[Step]:
    """The answer to a chat completion request."""
    role, said = _last(body["messages"])
    thought = Think(f"The last message is from the {role} and has {len(said)} characters.")
    tool = _tool_to_call(body, said if role == "user" else "")
    if tool is not None:
        function = tool["function"]
        arguments = json.dumps(sample(function.get("parameters") or {}), ensure_ascii=False)
        return [thought, Call(function["name"], arguments)]
    if (body.get("response_format") or {}).get("type") == "json_object":
        schema = _schema_in(body["messages"])
        answer = {"double": True, role: said} if schema is None else sample(schema)
        return [thought, Text(json.dumps(answer, ensure_ascii=False))]
    source = "The tool's result was" if role == "tool" else "You said"
    return [thought, Text(f"{INTRODUCTION} {source}: {said}")]


def _schema_in(messages: Sequence[Mapping[str, Any]]) -> Any:
    """The JSON Schema at the end of the system prompt, if one is announced there."""
    for message in messages:
        if message["role"] == "system":
            _, found, schema = _text(message["content"]).rpartition("JSON Schema:\n")
            try:
                return json.loads(schema) if found else None
            except ValueError:
                return None
    return None


def _tool_to_call(body: Mapping[str, Any], said: str) -> Mapping[str, Any] | None:
    choice = body.get("tool_choice")
    tools: dict[str, Mapping[str, Any]] = {
        tool["function"]["name"]: tool for tool in body.get("tools") or ()
    }
    if not tools or choice == "none":
        return None
    if isinstance(choice, Mapping):
        return tools[choice["function"]["name"]]
    asked = next((name for name in _ASKED.findall(said) if name in tools), None)
    if asked is None and choice == "required":
        return next(iter(tools.values()))
    return None if asked is None else tools[asked]


def _last(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Role and text of the last message that somebody said to the model."""
    for message in reversed(messages):
        if message["role"] in ("user", "tool"):
            return message["role"], _text(message["content"])
    return "user", ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    shown = [part.get("text", f"[{part['type']}]") for part in parts]
    return "\n\n".join(shown)
