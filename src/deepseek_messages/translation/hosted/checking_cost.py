"""What it costs to check a value against a schema, before that is done.

References make a small schema a large one: each of forty definitions that refers twice to the next
is a check of a million million steps, and a schema that refers to itself twice is one for a nested
value. So do ``unevaluatedProperties`` and ``unevaluatedItems``, for which a value is looked at
again. Nothing can stop a check, so it is counted first; each pair of schema and value is looked at
once here. (JSON Schema 2020-12, "A Vocabulary for Applying Subschemas", and the older words.)

What a reference means depends on the base that it stands in, and which parts have one differs
between versions of JSON Schema. So all that it may mean is looked at, and the dearest counts.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

# Steps of a check that are made: about a quarter of a second.
MAX_STEPS = 10_000_000

# Pairs of a schema and a value that are looked at to count them, each some 2 microseconds.
MAX_PAIRS = 300_000

# How often a pair is looked at, be it known already.
MAX_LOOKS = 1_000_000

# What is wrong is told with a copy of every value that is wrong, some 10 nanoseconds a byte, and
# what comes with it takes as long as so many bytes. If all were wrong that would be half a second.
MAX_BYTES_TOLD = 50 * 1024 * 1024
BYTES_OF_AN_ERROR = 3_000

# What looking again makes of one step, measured: 2.6 for each schema that does, within another.
_AGAIN = 3

_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")

_META = "json-schema.org"

# What can be said of an address without knowing how others spell it.
_PLAIN = re.compile(
    r"(https?://[a-z0-9.-]+/|/)?([\w-][\w.-]*/)*[\w-][\w.-]*|urn:[\w:.-]+", re.ASCII
)

_IDS = ("$id", "id")
_ANCHORS = ("$anchor", "$dynamicAnchor")
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
    """The check would take too long, or it cannot be told how long it takes; says why."""


_TOO_LONG = "too long to check against the schema: its references or unevaluated parts multiply"
_UNKNOWN = "cannot be checked against the schema: it does not tell what {!r} refers to"


class CheckingCost:
    """Of one schema."""

    def __init__(self, schema: Any) -> None:
        self._roots: list[dict[str, Any]] = []  # what pointers begin at: whatever has an address
        self._anchors: dict[str, list[Any]] = {}
        self._targets: dict[str, list[Any]] = {}  # by reference
        self._multipliers = 0
        self._schema = schema
        for node in objects_in(schema):
            self._look_at(node)
        self._ids = [name for root in self._roots for name in _named_by(root, _IDS)]

    def check(self, value: Any) -> None:
        """Raises ``TooCostly``."""
        if self._multipliers >= 2:  # what is written out is checked about as fast as it is read
            self._count(value, MAX_STEPS, lambda _: 1)

    def can_tell(self, value: Any) -> bool:
        """Whether all that may be wrong with ``value`` can be told."""
        sizes: dict[int, int] = {}
        try:
            self._count(value, MAX_BYTES_TOLD, lambda each: BYTES_OF_AN_ERROR + _size(each, sizes))
        except TooCostly:
            return False
        return True

    def _count(self, value: Any, most: int, weigh: Callable[[Any], int]) -> None:
        self._known: dict[tuple[int, int], int] = {}
        self._looks = 0
        self._most = most
        self._weigh = weigh
        try:
            self._of(self._schema, value)
        except RecursionError:
            raise TooCostly(_TOO_LONG) from None
        finally:
            self._known = {}

    def _look_at(self, node: dict[str, Any]) -> None:
        self._multipliers += any(isinstance(node.get(each), str) for each in _REFERENCES)
        self._multipliers += any(each in node for each in _UNEVALUATED)
        ids = _named_by(node, _IDS)
        if ids or node is self._schema:
            self._roots.append(node)
        for name in [*_named_by(node, _ANCHORS), *(each.removeprefix("#") for each in ids)]:
            self._anchors.setdefault(name, []).append(node)  # ids of older versions are anchors

    def _of(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        self._looks += 1
        pair = (id(schema), id(value))
        steps = self._known.get(pair)
        if steps:
            return steps
        # One that is looked at already is a part of itself: endless, or seems so.
        if steps == 0 or len(self._known) >= MAX_PAIRS or self._looks >= MAX_LOOKS:
            raise TooCostly(_TOO_LONG)
        self._known[pair] = 0
        steps = sum(self._of(part, value) for part in _in_place(schema))
        for word in _REFERENCES:
            if isinstance(name := schema.get(word), str):
                steps += max(self._of(target, value) for target in self._targets_of(name))
        if any(each in schema for each in _UNEVALUATED):
            steps *= _AGAIN
        steps += self._weigh(value) + sum(
            self._of(part, each) for part, each in _inside(schema, value)
        )
        if steps > self._most:
            raise TooCostly(_TOO_LONG)
        self._known[pair] = steps
        return steps

    def _targets_of(self, name: str) -> list[Any]:
        """All that a reference may mean, at least one thing. Raises ``TooCostly``."""
        if (found := self._targets.get(name)) is None:
            document, _, fragment = name.partition("#")
            roots = self._roots_of(document) if document else self._roots
            spellings = {fragment, unquote(fragment)}
            if not fragment:
                found = list(roots)
            elif fragment.startswith("/"):
                found = [each for at in spellings for root in roots for each in _at(root, at)]
            else:
                found = [each for at in spellings for each in self._anchors.get(at, ())]
            if not found:
                raise TooCostly(_UNKNOWN.format(name[:100]))
            self._targets[name] = found
        return found

    def _roots_of(self, document: str) -> list[dict[str, Any]]:
        """Those whose address, wherever it begins, ends as this one. What validators know without
        fetching it (versions of JSON Schema) is none of them.
        """
        known = [each.removesuffix("#") for each in self._ids if not each.startswith("#")]
        if any(_META in each or not _PLAIN.fullmatch(each) for each in [document, *known]):
            return []
        last = _last(document)
        return [root for root in self._roots if last in map(_last, _named_by(root, _IDS))]


def _size(value: Any, known: dict[int, int]) -> int:
    """About how many bytes of JSON a value is. What is ``known`` is kept there."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, (dict, list)):
        return 8
    size = known.get(id(value))
    if size is None:
        inner = value.values() if isinstance(value, dict) else value
        names = sum(map(len, value)) if isinstance(value, dict) else 0
        size = known[id(value)] = 2 + names + sum(_size(each, known) for each in inner)
    return size


def _named_by(node: dict[str, Any], words: Sequence[str]) -> list[str]:
    return [node[word] for word in words if isinstance(node.get(word), str)]


def _last(address: str) -> str:
    return address.removesuffix("#").rpartition("/")[2]


def _at(found: Any, pointer: str) -> list[Any]:
    """What a pointer leads to: one thing, or nothing."""
    for step in pointer[1:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return []
    return [found]


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


def _in_place(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas within that are for the same value."""
    for word in _SAME_LISTS:
        yield from _listed(schema.get(word))
    yield from (schema[word] for word in _SAME if word in schema)
    for word in _SAME_NAMED:
        yield from _named(schema.get(word)).values()


def _inside(schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """The schemas within that are for parts of the value, and these."""
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
