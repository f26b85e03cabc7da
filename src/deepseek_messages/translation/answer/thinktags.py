"""Reasoning that an upstream leaves in the text, between ``<think>`` and ``</think>``.

Source: the chat templates of DeepSeek-R1 and its distills. The tag counts only at the answer's
start; later it is text like any other.
"""

from enum import Enum

_OPEN = "<think>"
_CLOSE = "</think>"
_MAX_BLANKS = 64  # before the opening tag


class _Place(Enum):
    START = "start"  # perhaps inside the opening tag
    REASONING = "reasoning"
    AFTER = "after"  # behind the closing tag; line breaks there belong to the tag
    TEXT = "text"


class ThinkTags:
    """Splits text that arrives in pieces into reasoning and answer.

    ``inside`` says that the prompt already opened the tag. The line breaks right after a tag go
    with the tag; every other character is kept.
    """

    def __init__(self, *, inside: bool = False) -> None:
        self._place = _Place.REASONING if inside else _Place.START
        self._held = ""
        self._fresh = inside  # no reasoning seen yet: line breaks belong to the opening tag

    @property
    def passing(self) -> bool:
        """Whether all further text is answer, unchanged."""
        return self._place is _Place.TEXT

    def feed(self, text: str) -> tuple[str, str]:
        """Take text; return the reasoning and the answer that are certain."""
        if self._place is _Place.TEXT:
            return "", text
        text, self._held = self._held + text, ""
        if self._place is _Place.START:
            text = self._start(text)
        reasoning = ""
        if self._place is _Place.REASONING:
            reasoning, text = self._reasoning(text)
        if self._place is _Place.AFTER:
            text = text.lstrip("\r\n")
            if text:
                self._place = _Place.TEXT
        return reasoning, text if self._place is _Place.TEXT else ""

    def flush(self) -> tuple[str, str]:
        """The answer ended, or its reasoning came another way: what was held back."""
        held, self._held = self._held, ""
        inside = self._place is _Place.REASONING
        self._place = _Place.TEXT
        return (held, "") if inside else ("", held)

    def _start(self, text: str) -> str:
        visible = text.lstrip()
        if len(text) - len(visible) > _MAX_BLANKS:
            self._place = _Place.TEXT
        elif visible.startswith(_OPEN):
            self._place = _Place.REASONING
            self._fresh = True
            return visible[len(_OPEN) :]
        elif _OPEN.startswith(visible):
            self._held = text
        else:
            self._place = _Place.TEXT
        return text

    def _reasoning(self, text: str) -> tuple[str, str]:
        if self._fresh:
            text = text.lstrip("\r\n")
            self._fresh = not text
        end = text.find(_CLOSE)
        if end >= 0:
            self._place = _Place.AFTER
            return text[:end], text[end + len(_CLOSE) :]
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if text.endswith(_CLOSE[:n])), 0)
        cut = len(text) - keep
        self._held = text[cut:]
        return text[:cut], ""
