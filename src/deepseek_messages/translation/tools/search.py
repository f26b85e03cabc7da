"""Tool search: which of the deferred tools fit a regular expression or a question.

What is searched is what Anthropic's documentation names: tool names, descriptions, argument names
and argument descriptions. Patterns run in Rust's regex engine, whose time is linear in the text;
look-around and back-references are therefore no patterns here.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import UNSET, Struct

from deepseek_messages.wire.chat import Function

# Anthropic, "Tool search tool": 3 to 5 tools are returned, patterns have at most 200 characters.
MOST_FOUND = 5
MAX_PATTERN_CHARS = 200

# The longest question that is looked at; the documentation names no limit.
MAX_QUERY_CHARS = 2_000

# The beginning of a text that is searched: nothing stops a search within one.
MAX_TEXT_CHARS = 64 * 1024

# Compiled size of a pattern, in bytes.
MAX_PATTERN_BYTES = 1024 * 1024

ErrorCode = Literal["invalid_pattern", "pattern_too_long", "unavailable"]

# Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), 3.4.
_K1 = 1.2
_B = 0.75


class Candidate(Struct, frozen=True):
    """A tool that may be found: the client's name for it, and its texts."""

    name: str
    texts: tuple[str, ...]


class SearchError(Exception):
    """A search that cannot be made; ``code`` is the result block's ``error_code``."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code)
        self.code: ErrorCode = code


def candidate(name: str, function: Function) -> Candidate:
    """``function`` as something that may be found."""
    texts = [name, function.description or ""]
    if function.parameters is not UNSET:
        texts += _argument_texts(json.loads(bytes(function.parameters)))
    return Candidate(name, tuple(text[:MAX_TEXT_CHARS] for text in texts))


def _argument_texts(schema: object) -> Iterable[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, value in properties.items() if isinstance(properties, dict) else ():
        yield name
        described = value.get("description") if isinstance(value, dict) else None
        if isinstance(described, str):
            yield described


def search_regex(pattern: str, tools: Sequence[Candidate]) -> list[str]:
    """Names of the tools that ``pattern`` matches anywhere (as Python's ``re.search``), those
    whose name it matches first. Raises ``SearchError``.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise SearchError("pattern_too_long")
    import jsonschema_rs  # noqa: PLC0415 - 5 MB, for those who ask for it

    options = jsonschema_rs.RegexOptions(
        size_limit=MAX_PATTERN_BYTES, dfa_size_limit=MAX_PATTERN_BYTES
    )
    try:
        schema = {"type": "string", "pattern": pattern}
        matches = jsonschema_rs.validator_for(schema, pattern_options=options).is_valid
    except ValueError:
        raise SearchError("invalid_pattern") from None
    by_name = [tool.name for tool in tools if matches(tool.name)]
    by_text = [tool.name for tool in tools if any(map(matches, tool.texts[1:]))]
    return list(dict.fromkeys(by_name + by_text))[:MOST_FOUND]


def search_bm25(query: str, tools: Sequence[Candidate]) -> list[str]:
    """Names of the tools that fit ``query`` best, the best first (BM25)."""
    wanted = set(_words(query[:MAX_QUERY_CHARS]))
    counted = [_count(wanted, tool.texts) for tool in tools]
    mean = (sum(length for _, length in counted) / len(counted) if counted else 0) or 1
    holders = Counter(word for words, _ in counted for word in words)
    scored = []
    for tool, (words, length) in zip(tools, counted, strict=True):
        score = 0.0
        for word in words:
            rarity = math.log(1 + (len(tools) - holders[word] + 0.5) / (holders[word] + 0.5))
            weight = words[word] * (_K1 + 1)
            score += rarity * weight / (words[word] + _K1 * (1 - _B + _B * length / mean))
        if score > 0:
            scored.append((-score, tool.name))
    return [name for _, name in sorted(scored)[:MOST_FOUND]]


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


def _words(text: str) -> Iterator[str]:
    """Words in lower case; ``getWeather`` and ``get_weather`` are two. They are taken one by one:
    a call for all would let no other thread work for as long as it takes.
    """
    return (found[0].lower() for found in _WORD.finditer(text))


def _count(wanted: set[str], texts: Iterable[str]) -> tuple[dict[str, int], int]:
    """How often each of the ``wanted`` words is in ``texts``, and how many words these have."""
    words: dict[str, int] = {}
    length = 0
    for text in texts:
        for word in _words(text):
            length += 1
            if word in wanted:
                words[word] = words.get(word, 0) + 1
    return words, length
