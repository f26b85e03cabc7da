"""Structured output: what an answer's text must be, and what is wrong with it.

The schema that is checked is the caller's own, never a repaired or tightened one. References to
other documents are not fetched.
"""

import json
import re
from typing import Any

from msgspec import Raw

from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.checking_cost import CheckingCost, TooCostly, objects_in
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import JsonSchema, ResponseFormat
from deepseek_messages.wire.messages import MessagesRequest

# How many problems the model is told of, and how long each may be.
MAX_PROBLEMS = 8
MAX_PROBLEM_CHARS = 300

# Steps of a pattern with look-around before it counts as not matching: 4 milliseconds for each
# value (fancy-regex's own default is ten times as many). A common one takes 4 for a character.
_BACKTRACK = 100_000

# Compiled size of all patterns of a schema together, in bytes: some 0.2 s. Those with look-around
# are compiled at once, and ten letters may stand for megabytes.
_PATTERN_BYTES = 32 * 1024 * 1024

# The most that one of them may take (the engine's own default).
_ONE_PATTERN_BYTES = 10 * 1024 * 1024

_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)```", re.DOTALL)


def schema_of(request: MessagesRequest) -> Raw | None:
    """The schema that the answer's text must satisfy, if there is one."""
    config = request.output_config
    chosen = config.format if config is not None and config.format else request.output_format
    return chosen.schema if chosen is not None else None


def response_format(schema: Raw, dialect: Dialect, *, prefilled: bool) -> ResponseFormat | None:
    """How the upstream is told of it; ``None`` where it can only be told in words."""
    if prefilled and dialect.prefix == "beta_prefix":
        return None  # "response_format json_object should not be used with prefix" (DeepSeek)
    if dialect.json_schema:
        return ResponseFormat("json_schema", JsonSchema(name="answer", schema=schema))
    return ResponseFormat("json_object") if dialect.json_object else None


class SchemaCheck:
    """One schema, ready to check texts."""

    def __init__(self, schema: Raw | bytes, path: str) -> None:
        """Raises ``Refusal`` for a schema that is none, naming ``path``."""
        import jsonschema_rs  # noqa: PLC0415 - 5 MB, for those who ask for it

        try:
            value = json.loads(bytes(schema))
            self._cost = CheckingCost(value)
            share = _PATTERN_BYTES // max(1, _count_patterns(value))
            self._validator = jsonschema_rs.validator_for(
                value,
                retriever=_refuse,
                pattern_options=jsonschema_rs.FancyRegexOptions(
                    backtrack_limit=_BACKTRACK, size_limit=min(share, _ONE_PATTERN_BYTES)
                ),
            )
        except (ValueError, RecursionError) as error:
            reason = str(error).partition("\n")[0][:MAX_PROBLEM_CHARS]
            raise Refusal(f"Invalid schema: {reason}", path=path) from None

    def problems(self, text: str) -> list[str]:
        """What is wrong with ``text``; nothing when it is JSON that the schema allows."""
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except ValueError as error:
            return [f"not valid JSON: {error}"]
        except RecursionError:
            return ["nested too deeply"]
        try:
            self._cost.check(value)
        except TooCostly as error:
            return [str(error)]
        if self._validator.is_valid(value):
            return []
        if not self._cost.can_tell(value):
            return ["does not fit the schema, and is too long to tell where"]
        found: list[str] = []
        for found_error in self._validator.iter_errors(value):
            place = "/".join(str(step) for step in found_error.instance_path)
            found.append(f"/{place}: {found_error.message}"[:MAX_PROBLEM_CHARS])
            if len(found) == MAX_PROBLEMS:
                break
        return found


def _count_patterns(schema: Any) -> int:
    """How many regular expressions there may be in a schema."""
    found = 0
    for value in objects_in(schema):
        found += isinstance(value.get("pattern"), str)
        named = value.get("patternProperties")
        found += len(named) if isinstance(named, dict) else 0
    return found


def plain_json(text: str) -> str:
    """The JSON in ``text`` without the code fence or the words around it; ``text`` itself when
    there is none to be found.
    """
    stripped = text.strip()
    candidates = [stripped, *(found.strip() for found in _FENCE.findall(stripped))]
    starts = [at for at in (stripped.find("{"), stripped.find("[")) if at >= 0]
    if starts:
        begin = min(starts)
        end = max(stripped.rfind("}"), stripped.rfind("]")) + 1
        candidates.append(stripped[begin:end])
    return next((each for each in candidates if _is_json(each)), stripped)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is outside the schema")
