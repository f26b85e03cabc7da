"""JSON that arrives in pieces: whether it is whole yet, and what a truncated text still says."""

import re

import msgspec

_VALID = msgspec.json.Decoder(msgspec.Raw)

# What matters for the nesting: escapes (one may be cut after its backslash), quotes, brackets.
_MARKS = re.compile(r'\\(?:.|\Z)|["{}\[\]]', re.DOTALL)

_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
    (?P<string>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")
    |(?P<open>[{\[])
    |(?P<close>[}\]])
    |(?P<colon>:)
    |(?P<comma>,)
    |(?P<scalar>true|false|null
        |-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![-+0-9.eE]))
    )""",
    re.VERBOSE,
)
_CLOSER = {"{": "}", "[": "]"}


def is_json(text: str) -> bool:
    """Whether ``text`` is one whole JSON value (RFC 8259)."""
    try:
        _VALID.decode(text.encode())
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return False
    return True


class Nesting:
    """Follows brackets and strings through pieces of JSON text, in time linear in the text.

    ``closed`` is true once an object or array has begun and every bracket is closed again; it
    says nothing of a text that is a bare string, number or word.
    """

    __slots__ = ("_begun", "_depth", "_escaped", "_in_string")

    def __init__(self) -> None:
        self._depth = 0
        self._begun = False
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> None:
        start = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        for match in _MARKS.finditer(text, start):
            mark = match[0]
            if mark[0] == "\\":
                self._escaped = len(mark) == 1
            elif mark == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                continue
            elif mark in "{[":
                self._begun = True
                self._depth += 1
            else:
                self._depth -= 1

    @property
    def closed(self) -> bool:
        return self._begun and self._depth <= 0 and not self._in_string


def close_truncated(text: str) -> str:
    """The longest beginning of ``text`` that becomes JSON by closing what is open, closed.

    Unfinished strings, numbers and words are left out, and so is a key without its value: the
    rule of the official SDKs, which read a truncated tool input with jiter's partial mode. A
    text that is JSON is returned as it is; one that says nothing usable gives ``{}``.
    """
    if is_json(text):
        return text
    end, closers = _last_complete(text)
    closed = text[:end] + closers
    return closed if is_json(closed) else "{}"


def _last_complete(text: str) -> tuple[int, str]:
    """Where the last complete value ends, and the brackets that are missing there."""
    stack: list[str] = []
    end = position = 0
    key_next = False  # the next string is a key
    while match := _TOKEN.match(text, position):
        position = match.end()
        kind = match.lastgroup
        if kind == "open":
            stack.append(_CLOSER[match["open"]])
            key_next = match["open"] == "{"
            end = position
        elif kind == "close":
            if not stack or stack[-1] != match["close"]:
                break
            stack.pop()
            key_next = False
            end = position
        elif kind == "comma":
            key_next = bool(stack) and stack[-1] == "}"
        elif kind == "colon":
            key_next = False
        elif not key_next:
            end = position
        if end == position and not stack:
            break
    return end, "".join(reversed(stack))
