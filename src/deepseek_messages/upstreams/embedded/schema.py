"""JSON schemas as the engine's grammar can take them.

llama.cpp's constrained decoding (llguidance) reads most of JSON Schema 2020-12, skips keywords
that it does not know when asked to be lenient, and gives up without a word on a few things: look-
around in patterns, references to other documents, unknown types. What it would give up on is
taken out here; the answer is checked against the schema itself afterwards.
"""

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

Schema = dict[str, Any] | bool


class Level(IntEnum):
    """How much of a schema the grammar keeps, in the order in which they are tried."""

    CLOSED = 0  # all of it; objects that declare their properties get no others
    OPEN = 1  # all of it
    PLAIN = 2  # the keywords of structure only
    ANY = 3  # any object


_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLES = frozenset({
    "items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems", "additionalItems",
})  # fmt: skip
_DROPPED = frozenset(
    {"$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$comment"}
)
_PLAIN = frozenset({
    "type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "$ref", "$defs",
    "definitions", "additionalProperties",
})  # fmt: skip
_COMPOSED = frozenset({
    "allOf", "anyOf", "oneOf", "$ref", "if", "patternProperties", "additionalProperties",
    "unevaluatedProperties", "propertyNames", "minProperties",
})  # fmt: skip
_TYPES = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})

# Rust's regex syntax, which the engine uses, has neither look-around nor back-references.
_UNSUPPORTED_PATTERN = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]|\\k<")


def _known_type(value: Any) -> bool:
    return all(name in _TYPES for name in (value if isinstance(value, list) else [value]))


def _usable_pattern(value: Any) -> bool:
    return isinstance(value, str) and not _UNSUPPORTED_PATTERN.search(value)


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("#")


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "type": _known_type,
    "pattern": _usable_pattern,
    "$ref": _is_local,
}


def localise(schema: Schema, root: str, level: Level) -> Schema:
    """``schema`` for the grammar at ``level``, to stand at the JSON pointer ``root`` of a larger
    document (``#/$defs/t0``): references within it are rewritten to start there.
    """
    if level is Level.ANY:
        return {"type": "object"}
    return _walk(schema, root, level, composed=False)


def _walk(schema: Any, root: str, level: Level, *, composed: bool) -> Schema:
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool) else True
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DROPPED or (level is Level.PLAIN and key not in _PLAIN):
            continue
        if (entry := _entry(key, value, root, level, composed or key == "allOf")) is not None:
            kept[key] = entry
    if level is Level.CLOSED and not composed and _can_close(kept):
        kept["additionalProperties"] = False
    return kept


def _entry(key: str, value: Any, root: str, level: Level, composed: bool) -> Any:
    """The value to keep for a keyword, or ``None`` to leave the keyword out."""
    if key in _MAPS and isinstance(value, dict):
        return {name: _walk(part, root, level, composed=composed) for name, part in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [_walk(part, root, level, composed=composed) for part in value]
    if key in _SINGLES and isinstance(value, dict | bool):
        return _walk(value, root, level, composed=composed)
    if key in _CHECKS and not _CHECKS[key](value):
        return None
    return root + value[1:] if key == "$ref" else value


def _can_close(schema: dict[str, Any]) -> bool:
    """Whether forbidding undeclared properties leaves the schema satisfiable."""
    properties = schema.get("properties")
    if not properties or not isinstance(properties, dict) or _COMPOSED & schema.keys():
        return False
    required = schema.get("required", [])
    return isinstance(required, list) and all(name in properties for name in required)
