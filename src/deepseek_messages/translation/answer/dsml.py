"""DeepSeek's tool mark-up that leaked into the text, turned into tool calls.

The models write calls as DSML: a wrapper, and in it one ``invoke`` a call with its parameters.
A server that misses it passes it on as text. Known spellings (model cards of DeepSeek V3.2, V4
and V4.1, and what servers were seen to leak): the wrapper is called ``function_calls``,
``tool_calls`` or ``calls`` or is missing; V4.1 puts a space before each name; the bars are
full-width (U+FF5C) or ASCII, single or doubled; the end may be missing.

Only an ``invoke`` that names a tool of the request is taken for a call. Everything else, also
text about DSML, stays text.
"""

import json
import re
from enum import Enum

from msgspec import Struct

from deepseek_messages.translation.answer.partial_json import is_json

# The most that is held while a call is incomplete, in characters; more than the longest answer
# of 384K tokens would be a runaway. What exceeds it is passed on as text.
MAX_HELD = 4 * 1024 * 1024

_BARS = r"[|\uff5c]{1,4}"
_TAG = rf"{_BARS}\s?DSML\s?{_BARS}\s?"
_WRAPPER = r"(?:function_calls|tool_calls|calls)"
_OPEN_WRAPPER = re.compile(rf"<{_TAG}{_WRAPPER}\s*>\s*")
_CLOSE_WRAPPER = re.compile(rf"\s*</{_TAG}{_WRAPPER}\s*>")
_OPEN_INVOKE = re.compile(rf'<{_TAG}invoke\s+name\s*=\s*"([^"<>]+)"\s*>')
_CLOSE_INVOKE = re.compile(rf"</{_TAG}invoke\s*>")
_OPEN_PARAMETER = re.compile(
    rf'\s*<{_TAG}parameter\s+name\s*=\s*"([^"]*)"(?:\s+string\s*=\s*"(true|false)")?\s*>'
)
_CLOSE_PARAMETER = re.compile(rf"</{_TAG}parameter\s*>")

# A closing tag that the end of the text cut off.
_CUT_TAG = re.compile(rf"</?(?:{_BARS}[^<>]*)?")

# Where mark-up may begin, with the line breaks that the encoding puts before it.
_BEGIN = re.compile(r"[\r\n]{0,4}<")
_TAIL_BREAKS = re.compile(r"[\r\n]{1,4}\Z")
# The longest opening tag: bars, spaces and a tool name of at most 128 characters.
_MAX_TAG = 256
_PREFIX = re.compile(
    rf"<(?:{_BARS}(?:\s?(?:D(?:S(?:M(?:L(?:\s?(?:{_BARS}(?:\s?(?:[a-z_]{{1,20}}[^<>]*)?)?)?)?)?)?)?)?)?)?\Z"
)
_PREFIX_CLOSE = re.compile(rf"\s*(?:</?(?:{_BARS}[^<>]*)?)?\Z")


class FoundCall(Struct, frozen=True):
    """A call that stood in the text. ``arguments`` is JSON, cut off if ``truncated``."""

    name: str
    arguments: str
    truncated: bool = False


class _Place(Enum):
    TEXT = "text"
    BLOCK = "block"  # inside a wrapper, between calls
    INVOKE = "invoke"  # inside a call


class DsmlRescue:
    """Finds leaked calls in a text that arrives in pieces."""

    def __init__(self, tools: frozenset[str]) -> None:
        self._tools = tools
        self._held = ""
        self._seen = 0  # how much of ``_held`` was searched for the end of the call
        self._place = _Place.TEXT
        self._name = ""
        self._after_call = False

    def passes(self, text: str) -> bool:
        """Whether ``text`` is certainly plain, so that ``feed`` would return it unchanged."""
        return (
            not (self._held or self._after_call)
            and self._place is _Place.TEXT
            and "<" not in text
            and text[-1:] not in "\r\n"
        )

    def feed(self, text: str) -> list[str | FoundCall]:
        """Take text; return what is certain: plain text and calls, in order."""
        return self._work(text, ended=False)

    def flush(self, *, truncated: bool = False) -> list[str | FoundCall]:
        """The text ended; ``truncated`` when the model was cut off in the middle."""
        pieces = self._work("", ended=True)
        if self._place is _Place.INVOKE:
            body, self._held = self._held, ""
            pieces.append(_call(self._name, body, ended=False, truncated=truncated))
        elif self._held and self._place is _Place.TEXT:
            pieces.append(self._held)
        self._held, self._place = "", _Place.TEXT
        return pieces

    def _work(self, text: str, *, ended: bool) -> list[str | FoundCall]:
        self._held += text
        pieces: list[str | FoundCall] = []
        while self._held:
            step = {
                _Place.TEXT: self._text,
                _Place.BLOCK: self._block,
                _Place.INVOKE: self._invoke,
            }[self._place]
            if not step(pieces, ended):
                break
        return pieces

    def _text(self, pieces: list[str | FoundCall], ended: bool) -> bool:
        """Pass on text up to where mark-up may begin."""
        if self._after_call:  # the line breaks there belong to the mark-up
            self._held = self._held.lstrip("\r\n")
            self._after_call = not self._held
        text, position = self._held, 0
        while begin := _BEGIN.search(text, position):
            bracket = begin.end() - 1
            opened = self._opening(text, bracket)
            if opened is not None:
                self._say(pieces, text[: begin.start()])
                self._held = text[opened:]
                self._place = _Place.INVOKE if self._name else _Place.BLOCK
                self._seen = 0
                return True
            if not ended and self._may_open(text, bracket):
                self._say(pieces, text[: begin.start()])
                self._held = text[begin.start() :]
                return False
            position = bracket + 1
        tail = None if ended else _TAIL_BREAKS.search(text)
        end = tail.start() if tail else len(text)
        self._say(pieces, text[:end])
        self._held = text[end:]
        return False

    def _opening(self, text: str, start: int) -> int | None:
        """The end of an opening tag at ``start``: a known tool's call, or a wrapper with one."""
        self._name = ""
        if (invoke := _OPEN_INVOKE.match(text, start)) and invoke[1].strip() in self._tools:
            self._name = invoke[1].strip()
            return invoke.end()
        if wrapper := _OPEN_WRAPPER.match(text, start):
            inner = _OPEN_INVOKE.match(text, wrapper.end())
            if inner and inner[1].strip() in self._tools:
                return wrapper.end()
        return None

    def _may_open(self, text: str, start: int) -> bool:
        """Whether the rest of the text may still become an opening tag."""
        if len(text) - start > 2 * _MAX_TAG:
            return False
        if wrapper := _OPEN_WRAPPER.match(text, start):
            start = wrapper.end()
            return start == len(text) or bool(_PREFIX.match(text, start))
        return bool(_PREFIX.match(text, start))

    def _block(self, pieces: list[str | FoundCall], ended: bool) -> bool:
        """Between the calls of a wrapper."""
        if close := _CLOSE_WRAPPER.match(self._held):
            self._held, self._place = self._held[close.end() :], _Place.TEXT
            return True
        inner = self._held.lstrip()
        if (invoke := _OPEN_INVOKE.match(inner)) and invoke[1].strip() in self._tools:
            self._name = invoke[1].strip()
            self._held, self._place, self._seen = inner[invoke.end() :], _Place.INVOKE, 0
            return True
        if not ended and len(self._held) <= 2 * _MAX_TAG and _PREFIX_CLOSE.match(self._held):
            return False
        if ended and _PREFIX_CLOSE.match(inner):
            inner = ""  # the beginning of a closing tag that the end of the text cut off
        self._held, self._place = inner, _Place.TEXT  # the wrapper's end is missing
        return True

    def _invoke(self, pieces: list[str | FoundCall], ended: bool) -> bool:
        """Inside a call: wait for its end."""
        close = _CLOSE_INVOKE.search(self._held, max(0, self._seen - _MAX_TAG))
        if close:
            body = self._held[: close.start()].rstrip()
            pieces.append(_call(self._name, body, ended=True))
            self._held = self._held[close.end() :]
            self._place = _Place.BLOCK
            self._after_call = True
            return True
        self._seen = len(self._held)
        if self._seen > MAX_HELD:
            self._say(pieces, self._held)
            self._held, self._place = "", _Place.TEXT
        return False

    @staticmethod
    def _say(pieces: list[str | FoundCall], text: str) -> None:
        if text:
            pieces.append(text)


def _call(name: str, body: str, *, ended: bool, truncated: bool = False) -> FoundCall:
    """The call that the inside of an ``invoke`` stands for."""
    if is_json(body.strip()) and body.strip().startswith("{"):
        return FoundCall(name, body.strip())
    values: dict[str, str] = {}
    position = 0
    while parameter := _OPEN_PARAMETER.match(body, position):
        close = _CLOSE_PARAMETER.search(body, parameter.end())
        position = close.end() if close else len(body)
        value = body[parameter.end() : close.start() if close else None]
        if close is None and truncated:
            values[parameter[1]] = json.dumps(value, ensure_ascii=False)[:-1]
            return FoundCall(name, _object(values)[:-1], truncated=True)
        if close is None:
            value = _without_cut_tag(value)
        values[parameter[1]] = _value(value, parameter[2])
    arguments = _object(values)
    return (
        FoundCall(name, arguments[:-1], truncated=True) if truncated else FoundCall(name, arguments)
    )


def _object(values: dict[str, str]) -> str:
    members = (f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in values.items())
    return "{" + ", ".join(members) + "}"


def _value(text: str, is_string: str | None) -> str:
    """A parameter as JSON: ``string="true"`` is the text itself, otherwise JSON where it is."""
    stripped = text.strip()
    if is_string != "true" and is_json(stripped):
        return stripped
    return json.dumps(text, ensure_ascii=False)


def _without_cut_tag(value: str) -> str:
    """A value whose closing tag is missing, without the part of the tag that came."""
    begin = value.rfind("<")
    if begin >= 0 and _CUT_TAG.fullmatch(value, begin):
        return value[:begin].rstrip()
    return value
