"""What it costs to check a value against a schema, before that is done.

References make a small schema a large one: each of forty definitions that refers twice to the next
is a check of a million million steps, and a schema that refers to itself twice is one for a nested
value. Nothing can stop a check, so it is counted first; each pair of schema and value is looked at
once here. (JSON Schema 2020-12, "A Vocabulary for Applying Subschemas", and the older words.)
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

# Steps of a check that are made: about a quarter of a second.
MAX_STEPS = 10_000_000

# Pairs of a schema and a value that are looked at to count them, each some 2 microseconds.
MAX_PAIRS = 300_000

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_SAME_NAMED = ("dependentSchemas", "dependencies")
_EACH = (
    "items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties",
    "unevaluatedProperties", "propertyNames",
)  # fmt: skip
_EACH_LISTS = ("items", "prefixItems")


class TooCostly(Exception):
    """The check would take too long, or it cannot be told how long it takes."""


class CheckingCost:
    """Of one schema."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._anchors: dict[str, Any] = {}
        self._references = 0
        self._has_bases = False
        self._look_through(schema)

    def check(self, value: Any) -> None:
        """Raises ``TooCostly``."""
        if self._references < 2:  # what is written out is checked about as fast as it is read
            return
        self._known: dict[tuple[int, int], int] = {}
        try:
            self._of(self._root, value)
        except RecursionError:
            raise TooCostly from None
        finally:
            self._known = {}

    def _look_through(self, schema: Any) -> None:
        for node in objects_in(schema):
            self._references += any(isinstance(node.get(each), str) for each in _REFERENCES)
            self._has_bases |= node is not schema and isinstance(node.get("$id"), str)
            for each in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(each), str):
                    self._anchors[node[each]] = node

    def _of(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        pair = (id(schema), id(value))
        if (steps := self._known.get(pair)) is not None:
            return steps
        if len(self._known) >= MAX_PAIRS:
            raise TooCostly
        self._known[pair] = 1  # a schema that is its own is an endless one: validators refuse it
        steps = 1 + sum(self._of(part, each) for part, each in self._parts(schema, value))
        if steps > MAX_STEPS:
            raise TooCostly
        self._known[pair] = steps
        return steps

    def _parts(self, schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
        """What is checked within: the schemas, and the values that they are for."""
        for word in _REFERENCES:
            if isinstance(name := schema.get(word), str):
                yield self._target(name), value
        for word in _SAME_LISTS:
            yield from ((each, value) for each in _listed(schema.get(word)))
        yield from ((schema[word], value) for word in _SAME if word in schema)
        for word in _SAME_NAMED:
            yield from ((each, value) for each in _named(schema.get(word)).values())
        yield from _inside(schema, value)

    def _target(self, name: str) -> Any:
        if self._has_bases or not name.startswith("#"):
            raise TooCostly
        if not name.startswith("#/"):
            return self._root if name == "#" else self._anchors.get(name[1:])
        found = self._root
        for step in unquote(name[2:]).split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, TypeError, ValueError):
                raise TooCostly from None
        return found


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """``value`` and all that is in it, as far as it is JSON objects."""
    left = [value]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            yield node
            left += node.values()


def _inside(schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for name, part in _named(schema.get("properties")).items():
            if name in value:
                yield part, value[name]
        for part in _named(schema.get("patternProperties")).values():
            yield from ((part, each) for each in value.values())
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        parts = [schema[word] for word in _EACH if isinstance(schema.get(word), dict)]
        parts += [part for word in _EACH_LISTS for part in _listed(schema.get(word))]
        yield from ((part, each) for part in parts for each in inner)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _named(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
