"""Every place of a request with every wrong kind of value, made from the OpenAPI document."""

import json
import re
from collections.abc import Iterator
from pathlib import Path as File
from tempfile import TemporaryDirectory
from typing import Any

from deepseek_messages.web.app import Parts
from deepseek_messages.web.openapi import document
from tests.support.app import settings_for
from tests.support.fake import FakeUpstream

# One full block of each kind, and settings that reach everything the document describes.
TEXT = {"type": "text", "text": "a"}
PICTURE = {"type": "base64", "media_type": "image/png", "data": "aGk="}
WHOLE: dict[str, Any] = {
    "model": "deepseek-chat",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": [TEXT]}],
    "system": [TEXT],
    "stream": False,
    "stop_sequences": ["x"],
    "temperature": 1.0,
    "top_p": 0.5,
    "metadata": {"user_id": "u"},
    "tools": [{"name": "t", "type": "custom", "description": "d",
               "input_schema": {"type": "object"},
               "strict": False, "defer_loading": False, "input_examples": [{}],
               "allowed_callers": ["direct"], "max_uses": 1, "allowed_domains": ["a"],
               "blocked_domains": ["b"], "max_characters": 1}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
    "thinking": {"type": "disabled", "budget_tokens": 1, "display": "omitted"},
    "output_config": {"effort": "high"},
}  # fmt: skip

BLOCKS: dict[str, dict[str, Any]] = {
    "TextBlock": TEXT,
    "ThinkingBlock": {"type": "thinking", "thinking": "t", "signature": "s"},
    "RedactedThinkingBlock": {"type": "redacted_thinking", "data": "d"},
    "ToolUseBlock": {"type": "tool_use", "id": "i", "name": "n", "input": {}},
    "ToolResultBlock": {"type": "tool_result", "tool_use_id": "i", "content": [TEXT],
                        "is_error": False},
    "ImageBlock": {"type": "image", "source": PICTURE},
    "DocumentBlock": {"type": "document", "source": {"type": "text", "media_type": "text/plain",
                      "data": "d"}, "title": "t", "context": "c",
                      "citations": {"enabled": False}},
    "SearchResultBlock": {"type": "search_result", "source": "s", "title": "t",
                          "content": [TEXT], "citations": {"enabled": False}},
    "ToolReferenceBlock": {"type": "tool_reference", "tool_name": "t"},
    "ContainerUploadBlock": {"type": "container_upload", "file_id": "f"},
    "ServerToolUseBlock": {"type": "server_tool_use", "id": "i", "name": "n", "input": {}},
    "McpToolUseBlock": {"type": "mcp_tool_use", "id": "i", "name": "n", "server_name": "s",
                        "input": {}},
    "McpToolResultBlock": {"type": "mcp_tool_result", "tool_use_id": "i", "content": "c",
                           "is_error": False},
    "ToolAdditionBlock": {"type": "tool_addition", "tool": {"name": "n", "tool_name": "n",
                          "type": "tool_reference"}},
    "ToolRemovalBlock": {"type": "tool_removal", "tool": {"name": "n", "type": "tool_reference"}},
    "CompactionBlock": {"type": "compaction", "content": "c", "encrypted_content": "e",
                        "signature": "s"},
    "ImageBlock of an address": {"type": "image", "source": {"type": "url", "url": "u"}},
    "ImageBlock of a file": {"type": "image", "source": {"type": "file", "file_id": "f"}},
    "DocumentBlock of content": {"type": "document", "source": {"type": "content",
                                 "content": [TEXT]}},
} | {
    f"{name}ToolResultBlock": {"type": f"{kind}_tool_result", "tool_use_id": "i", "content": []}
    for name, kind in {
        "WebSearch": "web_search", "WebFetch": "web_fetch", "ToolSearch": "tool_search",
        "CodeExecution": "code_execution", "BashCodeExecution": "bash_code_execution",
        "TextEditorCodeExecution": "text_editor_code_execution",
    }.items()
}  # fmt: skip

# What does not go with the rest of ``WHOLE``, or has no effect there: one at a time instead of it.
FORMAT: dict[str, Any] = {"type": "json_schema", "schema": {}}
FURTHER: list[dict[str, Any]] = [
    {"output_format": FORMAT},
    {"output_config": {"format": FORMAT}},
    {"compaction": {"type": "summarize", "instructions": "i"}},
    {"thread": {"type": "t", "previous_message_id": "p"}},
    {"tool_choice": {"type": "tool", "name": "t"}},
    {"messages": [{"role": "user", "content": "a", "output_config": {"effort": "low"}}]},
    {"tools": [{"name": "t", "input_schema": {}, "eager_input_streaming": True,
                "display_width_px": 1, "display_height_px": 1, "display_number": 1,
                "max_content_tokens": 1, "citations": {"enabled": True},
                "mcp_server_name": "s"}]},
]  # fmt: skip

# One value of each kind that JSON has.
VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "number": 1.5,
    "string": "wrong",
    "array": [],
    "object": {},
}

# And some that are what may be expected there, up to a point.
ODD = VALUES | {
    "a list of nothing": [None],
    "a list of objects": [{}],
    "a list of lists": [[[]]],
    "an object of itself": {"type": {"type": {"type": []}}, "edits": [{"type": 7}]},
    "a large number": 10**30,
}

Path = tuple[str | int, ...]

# Where a type that is not known is no wrong type: clients replay what they do not know.
UNKNOWN_TYPES: tuple[frozenset[Path], frozenset[Path]] = (
    frozenset({("type",)}),
    frozenset({("type",), ("content", 0, "type")}),
)


def made() -> dict[str, Any]:
    """The document of the application."""
    with TemporaryDirectory() as directory:
        return document(Parts(settings_for(File(directory)), FakeUpstream()).endpoints())


class Documented:
    """The schemas of a document, as far as it takes to tell wrong values from right ones."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]

    def named(self, name: str) -> dict[str, Any]:
        return self._schemas[name]  # type: ignore[no-any-return]

    def takes(self, schema: dict[str, Any]) -> set[str]:
        """The kinds of value that may stand there; ``integer`` comes with ``number``."""
        if "$ref" in schema:
            return self.takes(self.resolved(schema))
        if "anyOf" in schema:
            found = set().union(*(self.takes(each) for each in schema["anyOf"]))
            return {schema["type"]} if "type" in schema else found
        if "enum" in schema or "const" in schema:
            return set()  # none of ``VALUES`` is a documented constant
        if "type" not in schema:
            return set(VALUES)
        return {schema["type"]} | ({"integer"} if schema["type"] == "number" else set())

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def fits(self, schema: dict[str, Any], value: Any) -> dict[str, Any]:
        """The alternative of ``schema`` that ``value`` is."""
        schema = self.resolved(schema)
        for each in schema.get("anyOf", ()):
            found = self.fits(each, value)
            kind = found.get("type")
            if isinstance(value, dict) and kind == "object":
                tag = found["properties"].get("type", {})
                if tag.get("const", value.get("type")) == value.get("type"):
                    return found
            elif isinstance(value, list) and kind == "array":
                return found
        return schema

    def places(
        self, schema: dict[str, Any], value: Any, path: Path = ()
    ) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Every place inside ``value`` with its schema."""
        schema = self.fits(schema, value)
        if isinstance(value, dict):
            for name, inner in value.items():
                of = schema.get("properties", {}).get(name)
                if of:
                    yield (*path, name), of
                    yield from self.places(of, inner, (*path, name))
        elif isinstance(value, list) and value and "items" in schema:
            yield (*path, 0), schema["items"]
            yield from self.places(schema["items"], value[0], (*path, 0))

    def properties(self, schema: dict[str, Any], value: Any) -> Iterator[str]:
        """Every property inside ``value``, with the schema that it is of."""
        schema = self.fits(schema, value)
        if isinstance(value, dict):
            name = next((name for name, of in self._schemas.items() if of is schema), "")
            for key, inner in value.items():
                if of := schema.get("properties", {}).get(key):
                    yield f"{name}.{key}"
                    yield from self.properties(of, inner)
        elif isinstance(value, list) and value and "items" in schema:
            yield from self.properties(schema["items"], value[0])

    def of_requests(self) -> dict[str, dict[str, Any]]:
        """The schemas that a request is made of."""
        names, found = {"MessagesRequest"}, dict[str, dict[str, Any]]()
        while names:
            name = names.pop()
            found[name] = self._schemas[name]
            names |= set(re.findall(r"/schemas/(\w+)", json.dumps(found[name]))) - found.keys()
        return found

    def malformed(self, schema: dict[str, Any], value: Any) -> Iterator[tuple[Path, str, Any]]:
        """``value`` with one place wrong, for every place and every kind that is wrong there."""
        for path, of in self.places(schema, value):
            takes = self.takes(of)
            for kind, wrong in VALUES.items():
                if kind in takes or (kind == "null" and "null" in takes):
                    continue
                yield path, kind, replaced(value, path, wrong)


def replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at one place."""
    value = json.loads(json.dumps(value))  # nothing shared between places
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return value


def dotted(path: Path) -> str:
    return ".".join(map(str, path))


def cases(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The place in dotted form, what stands there, and the request."""
    documented = Documented(document)
    schema = documented.named("MessagesRequest")
    for path, kind, body in documented.malformed(schema, WHOLE):
        yield dotted(path), kind, body
    for fields in FURTHER:
        for path, kind, wrong in documented.malformed(schema, fields):
            yield dotted(path), kind, WHOLE | wrong
    for name, block in BLOCKS.items():
        of = documented.named(name.partition(" ")[0])
        for path, kind, wrong in documented.malformed(of, block):
            if kind == "string" and path in UNKNOWN_TYPES[name == "ToolResultBlock"]:
                continue
            body = replaced(WHOLE, ("messages", 0, "content", 0), wrong)
            yield f"messages.0.content.0.{dotted(path)}", kind, body


def reached(document: dict[str, Any]) -> set[str]:
    """The properties that ``cases`` spoils, each as ``Schema.property``."""
    documented = Documented(document)
    schema = documented.named("MessagesRequest")
    values = [(schema, WHOLE), *((schema, fields) for fields in FURTHER)]
    values += [(documented.named(name.partition(" ")[0]), block) for name, block in BLOCKS.items()]
    return {name for of, value in values for name in documented.properties(of, value)}


def spoilable(document: dict[str, Any]) -> set[str]:
    """The properties of a request that not every kind of value fits, as ``reached``."""
    documented, found = Documented(document), set()
    for name, schema in documented.of_requests().items():
        for key, of in schema.get("properties", {}).items():
            if not ({"const", "enum"} & of.keys()) and documented.takes(of) != set(VALUES):
                found.add(f"{name}.{key}")
    return found


def untyped(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each property that the document gives no type, with every kind of value: what becomes of it
    is for the translation to say. The place, and the request.
    """
    documented = Documented(document)
    places: list[tuple[str, Path]] = [
        ("MessagesRequest", ()),
        ("Tool", ("tools", 0)),
        ("Thinking", ("thinking",)),
        ("OutputConfig", ("output_config",)),
        ("InputMessage", ("messages", 0)),
        ("TextBlock", ("messages", 0, "content", 0)),
    ]
    for name, path in places:
        for key, of in documented.named(name)["properties"].items():
            if {"const", "enum"} & of.keys() or documented.takes(of) != set(VALUES):
                continue
            for kind, value in ODD.items():
                yield f"{dotted((*path, key))} is {kind}", replaced(WHOLE, (*path, key), value)


def sound() -> Iterator[dict[str, Any]]:
    """Requests that hold, all together, whatever ``cases`` spoils."""
    yield WHOLE
    for fields in FURTHER:
        yield WHOLE | fields
    for block in BLOCKS.values():
        yield replaced(WHOLE, ("messages", 0, "content", 0), block)


def keys_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """The place of every member of every object."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in members:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(inner, dict | list):
            yield from keys_of(inner, (*path, key))


def with_twice(value: Any, twice: Path, path: Path = ()) -> str:
    """The JSON of ``value`` with one member written twice."""
    if isinstance(value, dict):
        members = []
        for key, inner in value.items():
            member = f"{json.dumps(key)}:{with_twice(inner, twice, (*path, key))}"
            members += [member] * (2 if (*path, key) == twice else 1)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        items = (with_twice(inner, twice, (*path, at)) for at, inner in enumerate(value))
        return "[" + ",".join(items) + "]"
    return json.dumps(value)
