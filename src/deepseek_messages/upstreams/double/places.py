"""Where in a JSON text a value stands, in the words of DeepSeek's error messages.

DeepSeek's service names the path of a bad value (``messages[0].role``) and the position up to
which the text was read (``at line 1 column 60``), as Rust's serde does. Only used for requests
that are refused, so it may be slow.
"""

import re
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TOKEN = re.compile(r'[{}\[\]:,]|"(?:[^"\\]|\\.)*"|[^\s{}\[\]:,"]+', re.DOTALL)
_POSITION = re.compile(r" at line (\d+) column (\d+)$")


@dataclass
class Span:
    """A value's place: offsets of its first character and of the one after its last."""

    start: int
    end: int


@dataclass
class _Open:
    """A container that is being read."""

    path: Path
    start: int
    is_object: bool
    key: str | None = None
    index: int = 0

    def inner(self) -> Path:
        """The path of the value that comes next."""
        if self.is_object:
            return self.path if self.key is None else (*self.path, self.key)
        return (*self.path, self.index)


@dataclass
class Places:
    """The spans of all values of a JSON text, and the path where it breaks off."""

    spans: dict[Path, Span] = field(default_factory=dict)
    broken_at: Path = ()


def find_places(text: str) -> Places:
    """Read ``text`` as far as it goes. It need not be whole or valid."""
    places, stack = Places(), list[_Open]()
    for mark in _TOKEN.finditer(text):
        _read(mark, stack, places)
    if stack:
        places.broken_at = stack[-1].inner() if stack[-1].is_object else stack[-1].path
    return places


def _read(mark: re.Match[str], stack: list[_Open], places: Places) -> None:
    top = stack[-1] if stack else None
    match mark.group():
        case "{" | "[" as opening:
            path = top.inner() if top else ()
            stack.append(_Open(path, mark.start(), opening == "{"))
        case "}" | "]":
            if top is not None:
                places.spans[top.path] = Span(top.start, mark.end())
                stack.pop()
                _value_ended(stack)
        case ",":
            if top and not top.is_object:
                top.index += 1
        case ":":
            pass
        case name if top and top.is_object and top.key is None:
            top.key = name.strip('"')
        case _:
            places.spans[top.inner() if top else ()] = Span(mark.start(), mark.end())
            _value_ended(stack)


def _value_ended(stack: list[_Open]) -> None:
    if stack and stack[-1].is_object:
        stack[-1].key = None


def dotted(path: Path) -> str:
    """``messages[0].role``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def position(text: str, offset: int) -> str:
    """``line L column C`` after ``offset`` characters; columns count bytes."""
    head = text[:offset].encode()
    line_start = head.rfind(b"\n") + 1
    return f"line {head.count(10) + 1} column {len(head) - line_start}"


def with_path(text: str, message: str) -> str:
    """A syntax error's message with the path of the value that was being read before it."""
    found = _POSITION.search(message)
    if found is None:
        return message
    # At the text's end the position is the end; elsewhere it counts the offending character too.
    line, column = int(found[1]), int(found[2]) - (not message.startswith("EOF"))
    lines = text.encode().split(b"\n")
    read = b"\n".join([*lines[: line - 1], lines[line - 1][: max(column, 0)]])
    path = dotted(find_places(read.decode("utf-8", "replace")).broken_at)
    return f"{path}: {message}" if path else message
