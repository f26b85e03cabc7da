"""Tool schemas: what DeepSeek refuses in a JSON Schema, and its repair.

DeepSeek checks each tool's ``parameters`` against the meta-schema of JSON Schema 2020-12 (or the
one that ``$schema`` names) and wants ``type: "object"`` at the top; one wrong keyword anywhere
refuses the whole request ("Invalid schema for function", deepseek-recipe 0.2). Clients send what
their tools happen to hold, so a keyword with an impossible value is put right where its meaning
is clear, and left out otherwise. A schema with nothing wrong passes byte for byte.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.limits import MAX_SCHEMA_DEPTH
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.structure import deeper_than

EMPTY_SCHEMA = Raw(b'{"type":"object","properties":{}}')

TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})

# Dialects that DeepSeek's validator knows and that read like 2020-12 for what is checked here.
KNOWN_DRAFTS = re.compile(
    r"^https?://json-schema\.org/(draft-0[67]/schema#?|draft/(2019-09|2020-12)/schema#?)$"
)
OLD_DRAFTS = re.compile(r"draft-0[67]|2019-09")  # there ``items`` may still be a list

_decode = msgspec.json.Decoder().decode

# Schemas recur with every request of a conversation; the memo is bounded in number, and larger
# schemas are not kept.
_MEMO_ENTRIES = 1024
_MEMO_BYTES = 64 * 1024


class Repaired(Struct, frozen=True):
    """A schema that DeepSeek takes, and whether it is other than the client's."""

    schema: Raw
    changed: bool


def repair(schema: Raw, path: str) -> Repaired:
    """The schema as DeepSeek takes it. Raises ``Refusal`` (400, naming ``path``) when it is no
    JSON object or is nested too deeply.
    """
    data = bytes(schema)
    try:
        return _remembered(data) if len(data) <= _MEMO_BYTES else _repair(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refusal("Input should be valid JSON text", path=path) from None
    except (RecursionError, _TooDeepError):
        raise Refusal(f"nested more than {MAX_SCHEMA_DEPTH} levels deep", path=path) from None
    except _NotAnObjectError:
        raise Refusal("Input should be an object", path=path) from None


class _TooDeepError(Exception):
    pass


class _NotAnObjectError(Exception):
    pass


def _repair(data: bytes) -> Repaired:
    root = _decode(data)
    if deeper_than(MAX_SCHEMA_DEPTH + 1, data):  # also in a default, or in a keyword of nobody's
        raise _TooDeepError
    if root is None:
        return Repaired(EMPTY_SCHEMA, changed=True)
    if not isinstance(root, dict):
        raise _NotAnObjectError
    walk = _Walk(root)
    fixed = walk.schema(_with_object_type(root), 0)
    if fixed is root:
        return Repaired(Raw(data), changed=False)
    if len(fixed) == 1:
        return Repaired(EMPTY_SCHEMA, changed=True)
    return Repaired(Raw(compact(fixed)), changed=True)


_remembered = lru_cache(_MEMO_ENTRIES)(_repair)


def compact(value: Any) -> bytes:
    """JSON without spaces, keys in the order they came."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _with_object_type(root: dict[str, Any]) -> dict[str, Any]:
    if root.get("type") == "object":
        return root
    return {**root, "type": "object"} if "type" in root else {"type": "object", **root}


# --- the walk -------------------------------------------------------------------------------------

_DROP = object()


class _Walk:
    """One pass over a schema; every method returns its argument itself when nothing is wrong."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        declared = root.get("$schema")
        self.old = isinstance(declared, str) and bool(OLD_DRAFTS.search(declared))

    def schema(self, value: Any, depth: int) -> Any:
        """A schema: an object or a boolean; a type's bare name is a common short form."""
        if depth > MAX_SCHEMA_DEPTH:
            raise _TooDeepError
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value in TYPES:
            return {"type": value}
        if not isinstance(value, dict):
            return {}
        if moved := self.moved(value):
            value = moved
        fixed: dict[str, Any] = {}
        changed = bool(moved)
        for keyword, item in value.items():
            check = _KEYWORDS.get(keyword)
            good = check(self, item, depth + 1) if check else item
            changed |= good is not item
            if good is not _DROP:
                fixed[keyword] = good
        return fixed if changed else value

    def moved(self, value: dict[str, Any]) -> dict[str, Any] | None:
        """Draft 4 spellings in the words of today: boolean exclusive bounds, lists of items."""
        bounds = [
            name
            for name in ("Minimum", "Maximum")
            if isinstance(value.get(f"exclusive{name}"), bool)
        ]
        listed = not self.old and isinstance(value.get("items"), list)
        if not bounds and not listed:
            return None
        value = dict(value)
        for name in bounds:
            exclusive, limit = value.pop(f"exclusive{name}"), name.lower()
            if exclusive and limit in value:
                value[f"exclusive{name}"] = value.pop(limit)
        if listed:
            value.setdefault("prefixItems", value.pop("items"))
        return value

    def optional_schema(self, value: Any, depth: int) -> Any:
        return self.schema(value, depth) if isinstance(value, bool | dict) else _DROP

    def items(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            return self.schemas(value, depth)
        return self.optional_schema(value, depth)

    def schemas(self, value: Any, depth: int) -> Any:
        if not isinstance(value, list):
            return _DROP
        usable = [item for item in value if isinstance(item, bool | dict)]
        fixed = [self.schema(item, depth + 1) for item in usable]
        if not fixed:
            return _DROP
        same = len(fixed) == len(value) and all(a is b for a, b in zip(fixed, value, strict=True))
        return value if same else fixed

    def mapping(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return _DROP
        fixed = {name: self.schema(item, depth + 1) for name, item in value.items()}
        return value if all(fixed[name] is item for name, item in value.items()) else fixed

    def patterns(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return _DROP
        usable = {name: item for name, item in value.items() if is_regex(name)}
        return self.mapping(value if len(usable) == len(value) else usable, depth)

    def dependencies(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return _DROP
        fixed = {
            name: self.strings(item, depth)
            if isinstance(item, list)
            else self.schema(item, depth + 1)
            for name, item in value.items()
        }
        return value if all(fixed[name] is item for name, item in value.items()) else fixed

    def dependent_required(self, value: Any, depth: int) -> Any:
        if not isinstance(value, dict):
            return _DROP
        fixed = {name: self.strings(item, depth) for name, item in value.items()}
        if all(fixed[name] is item for name, item in value.items()):
            return value
        return {name: item for name, item in fixed.items() if item is not _DROP}

    def strings(self, value: Any, depth: int) -> Any:
        if not isinstance(value, list):
            return _DROP
        fixed = list(dict.fromkeys(item for item in value if isinstance(item, str)))
        return value if len(fixed) == len(value) else fixed

    def type(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return value if value in TYPES else _DROP
        if not isinstance(value, list):
            return _DROP
        fixed = list(dict.fromkeys(t for t in value if isinstance(t, str) and t in TYPES))
        if not fixed:
            return _DROP
        return value if len(fixed) == len(value) else fixed

    def reference(self, value: Any, depth: int) -> Any:
        """A pointer into this schema is kept when it points at something; others cannot be
        followed by DeepSeek ("Retrieval is disabled").
        """
        if not isinstance(value, str):
            return _DROP
        return value if value == "#" or (value[:2] == "#/" and self.points(value)) else _DROP

    def points(self, pointer: str) -> bool:
        here: Any = self.root
        for part in unquote(pointer[2:]).split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(here, dict) and key in here:
                here = here[key]
            elif (
                isinstance(here, list) and key.isascii() and key.isdigit() and int(key) < len(here)
            ):
                here = here[int(key)]
            else:
                return False
        return isinstance(here, bool | dict)


_PATTERN_TOKEN = re.compile(
    r"(?P<repeat>(?:[*+?]|\{(?P<least>\d+)(?:,(?P<most>\d*))?\})[?+]?)"
    r"|(?P<open>\((?:\?(?:[:=!]|<[=!]|P?<\w+>))?)|(?P<close>\))|(?P<bar>\|)"
    r"|(?P<atom>\\[pPux]\{\w+(?:=\w+)?\}|\\[\s\S]|\[\^?(?:\\[\s\S]|[^\]\\])+\]|[^\\\[()*+?|{])"
)


def is_regex(value: object) -> bool:
    """Whether a pattern can be one: brackets pair up, nothing repeats nothing. The exact grammar
    (ECMA 262) is the upstream's; this catches what it surely refuses.
    """
    if not isinstance(value, str):
        return False
    depth = position = 0
    repeatable = False
    while position < len(value):
        token = _PATTERN_TOKEN.match(value, position)
        if token is None or (token["repeat"] and not (repeatable and _is_range(token))):
            return False
        depth += bool(token["open"]) - bool(token["close"])
        if depth < 0:
            return False
        repeatable = bool(token["atom"] or token["close"])
        position = token.end()
    return depth == 0


def _is_range(token: re.Match[str]) -> bool:
    return not token["most"] or int(token["least"]) <= int(token["most"])


def _only(test: Callable[[Any], bool]) -> Callable[[_Walk, Any, int], Any]:
    return lambda walk, value, depth: value if test(value) else _DROP


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_uri(value: Any) -> bool:
    return (
        isinstance(value, str)
        and re.fullmatch(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*#?", value) is not None
    )


_STRING = _only(lambda value: isinstance(value, str))
_BOOLEAN = _only(lambda value: isinstance(value, bool))
_NUMBER = _only(_is_number)
_COUNT = _only(_is_count)
_LIST = _only(lambda value: isinstance(value, list))
_ANCHOR = _only(
    lambda value: (
        isinstance(value, str) and re.fullmatch(r"[A-Za-z_][-A-Za-z0-9._]*", value) is not None
    )
)

# The keywords of JSON Schema 2020-12 with what their value must be; any other key passes.
_KEYWORDS: dict[str, Callable[[_Walk, Any, int], Any]] = {
    "$schema": _only(lambda value: isinstance(value, str) and bool(KNOWN_DRAFTS.match(value))),
    "$id": _only(_is_uri),
    "$ref": _Walk.reference,
    "$dynamicRef": _Walk.reference,
    "$anchor": _ANCHOR,
    "$dynamicAnchor": _ANCHOR,
    "$vocabulary": _only(lambda value: False),
    "$comment": _STRING,
    "type": _Walk.type,
    "enum": _LIST,
    "examples": _LIST,
    "multipleOf": _only(lambda value: _is_number(value) and value > 0),
    "pattern": _only(is_regex),
    "required": _Walk.strings,
    "dependentRequired": _Walk.dependent_required,
    "dependencies": _Walk.dependencies,
    "items": _Walk.items,
    "patternProperties": _Walk.patterns,
    **dict.fromkeys(("$defs", "definitions", "properties", "dependentSchemas"), _Walk.mapping),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _Walk.schemas),
    **dict.fromkeys(
        (
            "contains", "additionalProperties", "propertyNames", "if", "then",
            "else", "not", "unevaluatedItems", "unevaluatedProperties", "contentSchema",
        ),
        _Walk.optional_schema,
    ),
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"), _NUMBER),
    **dict.fromkeys(
        (
            "maxLength", "minLength", "maxItems", "minItems", "maxContains", "minContains",
            "maxProperties", "minProperties",
        ),
        _COUNT,
    ),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _BOOLEAN),
    **dict.fromkeys(
        ("title", "description", "format", "contentEncoding", "contentMediaType"), _STRING
    ),
}  # fmt: skip
