"""Answers of a prescribed form: forced tool calls and structured output.

The engine does not force calls itself (``tool_choice: "required"`` was seen to answer in prose),
but it can hold the text to a grammar. So the text is held to
``{"name": <tool>, "arguments": <input>}``, with one alternative for each tool that may be called,
and turned back into a tool call. The model's own tool prompt stays as it is, so the prompt cache
does too. Whatever the grammar could not express is checked at the end, against the schema as the
caller wrote it; an input that fails is never given out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct

from deepseek_messages.translation.hosted.structured import SchemaCheck
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.embedded.schema import Level, localise
from deepseek_messages.wire.chat import ChatRequest, FunctionTool, NamedToolChoice

# No spaces: a small model left free to write white space sometimes writes nothing else.
_GUIDANCE = {"lenient": True, "coerce_one_of": True, "whitespace_flexible": False}
_HEADER = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')
_ANSWER = "final_answer"
_ANY_OBJECT = b'{"type":"object"}'


class Form(Struct, frozen=True, kw_only=True):
    """What the text may be: a call of one of ``options`` (name -> input schema), where
    ``answer`` is the name under which plain JSON text is given instead of a call.
    """

    options: Mapping[str, Any]
    answer: str | None = None


class Filled(Struct, frozen=True):
    """What the text came to. ``name`` is ``None`` for plain JSON; ``text`` is the input or the
    JSON, byte for byte as the model wrote it, perhaps cut short.
    """

    name: str | None
    text: str


def form_of(request: ChatRequest) -> Form | None:
    """The form that a request prescribes, or ``None``. Tools beside structured output stay
    callable unless the request forbids calls.
    """
    tools = request.tools or []
    choice = request.tool_choice
    if isinstance(choice, NamedToolChoice):
        chosen = [tool for tool in tools if tool.function.name == choice.function.name]
        return Form(options=_schemas(chosen)) if chosen else None
    if choice == "required" and tools:
        return Form(options=_schemas(tools))
    answer = _answer_schema(request)
    if answer is None:
        return None
    options = {} if choice == "none" else _schemas(tools)
    name = _ANSWER
    while name in options:
        name += "_"
    return Form(options={**options, name: answer}, answer=name)


def _schemas(tools: Sequence[FunctionTool]) -> dict[str, Any]:
    return {
        tool.function.name: json.loads(bytes(tool.function.parameters))
        if isinstance(tool.function.parameters, Raw)
        else {"type": "object"}
        for tool in tools
    }


def _answer_schema(request: ChatRequest) -> Any:
    wanted = request.response_format
    if wanted is None:
        return None
    if wanted.json_schema is not None:
        return json.loads(bytes(wanted.json_schema.schema))
    return json.loads(_ANY_OBJECT) if wanted.type == "json_object" else None


def grammar(form: Form, level: Level) -> str:
    """The grammar for ``form`` in the engine's notation (llguidance's ``%json``)."""
    definitions = {
        f"t{number}": localise(schema, f"#/$defs/t{number}", level)
        for number, schema in enumerate(form.options.values())
    }
    alternatives = [
        {
            "type": "object",
            "properties": {
                "name": {"const": name},
                "arguments": {"$ref": f"#/$defs/t{number}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for number, name in enumerate(form.options)
    ]
    shape = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
    document = {"x-guidance": _GUIDANCE, **shape, "$defs": definitions}
    return "%llguidance {}\nstart: %json " + json.dumps(document)


def obeys(text: str) -> bool:
    """Whether a beginning of the text shows that the grammar is in force (it is silently left
    out when the engine cannot compile it).
    """
    start = '{"name":"'
    compact = text.lstrip()
    return compact[: len(start)] == start[: len(compact)]


def read(form: Form, text: str, *, whole: bool) -> Filled | None:
    """What ``text`` fills the form with. With ``whole``, ``None`` unless it is complete and
    satisfies its schema; without (the text was cut by a limit), what there is, or ``None`` when
    it ends before the name of one of several tools.
    """
    header = _HEADER.match(text)
    if header is None:
        only = next(iter(form.options)) if len(form.options) == 1 else None
        return None if whole or only is None else _filled(form, only, "")
    name = json.loads(header[1])
    if name not in form.options:
        return None
    if not whole:
        return _filled(form, name, text[header.end() :])
    body = text[header.end() :].rstrip()
    body = body[:-1].rstrip() if body.endswith("}") else body
    return _filled(form, name, body) if satisfies(form.options[name], body) else None


def _filled(form: Form, name: str, text: str) -> Filled:
    return Filled(None if name == form.answer else name, text)


def satisfies(schema: Any, text: str) -> bool:
    """Whether ``text`` is JSON that ``schema`` is known to allow: not, if that would take too long
    to check. A schema that is itself invalid, or that refers to other documents (which are never
    fetched), is judged by its plain structure.
    """
    for candidate in (schema, localise(schema, "#", Level.PLAIN), {"type": "object"}):
        try:
            check = SchemaCheck(json.dumps(candidate).encode(), "")
        except Refusal:
            continue
        return not check.problems(text)
    return False
