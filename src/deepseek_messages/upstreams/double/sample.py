"""A smallest value that fits a JSON schema, for tool calls without a model.

Understood: ``const``, ``enum``, local ``$ref``, ``anyOf``/``oneOf`` (the first), ``allOf`` (merged
one level deep), types and lists of types, ``required``, lengths, item counts, ranges,
``multipleOf`` of integers, the common string formats. Not understood: ``pattern``, ``not``,
``if``, ``dependentRequired``, uniqueness; then the value may not fit.
"""

import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 16

FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: object, name: str = "value") -> Any:
    """A value for ``schema``. ``name`` is what free text says."""
    return _sample(schema, name, schema, 0)


def _sample(schema: object, name: str, root: object, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return {} if depth == 0 else None
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            rest = {key: value for key, value in schema.items() if key != choice}
            return _sample(_merge(rest, schema[choice][0]), name, root, depth + 1)
    return _by_type(schema, name, root, depth)


def _resolve(schema: Mapping[str, Any], root: object) -> Mapping[str, Any]:
    for _ in range(MAX_DEPTH):
        if "$ref" not in schema:
            break
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            target = target.get(key, {}) if step and isinstance(target, Mapping) else target
        schema = target if isinstance(target, Mapping) else {}
    for part in schema.get("allOf", ()):
        schema = _merge(schema, _resolve(part, root) if isinstance(part, Mapping) else {})
    return schema


def _merge(one: Mapping[str, Any], two: object) -> Mapping[str, Any]:
    if not isinstance(two, Mapping):
        return one
    merged = {**one, **two}
    if "properties" in one and "properties" in two:
        merged["properties"] = {**one["properties"], **two["properties"]}
    if "required" in one and "required" in two:
        merged["required"] = [*one["required"], *two["required"]]
    return merged


def _by_type(schema: Mapping[str, Any], name: str, root: object, depth: int) -> Any:
    kind = schema.get("type", "object" if depth == 0 or "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                key: _sample(properties.get(key, {}), key, root, depth + 1)
                for key in schema.get("required", ())
            }
        case "array":
            fixed = schema.get("prefixItems", [])[: schema.get("minItems", 0)]
            items = [*fixed, *[schema.get("items", {})] * (schema.get("minItems", 0) - len(fixed))]
            return [_sample(item, name, root, depth + 1) for item in items]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name)


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    low: float | None = schema.get("minimum", schema.get("exclusiveMinimum"))
    high: float | None = schema.get("maximum", schema.get("exclusiveMaximum"))
    step: float = schema.get("multipleOf", 1)
    value: float
    if low is None:
        value = 1 if high is None or high > 1 else high - 1
    else:
        value = math.ceil(low) if whole else low
        if "exclusiveMinimum" in schema and value <= low:
            value = low + (1 if whole or high is None or high > low + 1 else (high - low) / 2)
    if whole:
        return math.ceil(value / step) * step
    return value if step == 1 else math.ceil(value / step) * step


def _string(schema: Mapping[str, Any], name: str) -> str:
    text = FORMATS.get(schema.get("format", ""), name)
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]
