"""Marks in the answer's text become citations.

The model is told to put ``[citation:12]`` behind a statement that rests on passage 12, the form
that DeepSeek's own search prompt asks for (README of DeepSeek-R1, "Official Prompts"). This stage
stands behind ``MessageStream``: events in, events out. It takes the marks out of the text, and
gives each marked statement a text block of its own that carries the citations, which is the shape
of Anthropic's answers; all other text stays together.

What is held back, and why: a sentence, since only what comes behind it tells whether it is cited,
and the beginning of a mark. Sentences are cut as in ``passages``, by the text alone, so an answer
comes out the same however it was cut. A mark that names no passage is left out, and so are marks
once an answer has quoted ``MAX_CITED_CHARS``: what is quoted costs the model nothing, so it must
have an end.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from deepseek_messages.translation.citing.passages import MAX_PASSAGE_CHARS, sentence_end
from deepseek_messages.translation.citing.sources import Source, locations
from deepseek_messages.wire.citations import Location
from deepseek_messages.wire.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    StreamEvent,
    TextDelta,
    TextStart,
)

# Quoted text in one answer, in characters: DeepSeek's largest window, 1M tokens, four times over.
MAX_CITED_CHARS = 4 * 1024 * 1024

# The most passages that one mark may name.
MAX_PASSAGES_IN_MARK = 100

# The longest mark; a longer one is text.
MAX_MARK_CHARS = 200

INSTRUCTION = (
    "Each passage of the sources below has a number, given before it as [passage 12]. Whenever a"
    " statement of your answer rests on passages, put their marks directly behind the statement,"
    " like this: [citation:12], or [citation:12][citation:15] for several. Use no other form of"
    " reference, and do not list the sources at the end."
)


def mark(numbers: Sequence[int]) -> str:
    """The marks as the model is told to write them."""
    return "".join(f"[citation:{number}]" for number in numbers)


_IDS = r"[0-9]+(?:[ \t]{0,2}[,，、;\-–~][ \t]{0,2}[0-9]+)*"
_OPEN, _CLOSE = "[\\[【]", "[\\]】]"
_MARK = re.compile(
    rf"{_OPEN}(?:citation|passage)s?[ \t]{{0,2}}[:：]?[ \t]{{0,2}}({_IDS})[ \t]{{0,2}}{_CLOSE}",
    re.IGNORECASE,
)
_GAP = re.compile(r"[ \t]{0,4}")
_NUMBERS = re.compile(r"([0-9]{1,9})(?:[ \t]*[-–~][ \t]*([0-9]{1,9}))?")
_STOPS = ".,;:!?。，；：！？、…"


def _beginnings(word: str) -> str:
    """A pattern for every beginning of ``word``."""
    pattern = ""
    for letter in reversed(word):
        pattern = f"(?:{letter}{pattern})?"
    return pattern


# What may still become a mark.
_PARTIAL = re.compile(
    rf"{_OPEN}(?:{_beginnings('citations')}|{_beginnings('passages')}"
    r"|(?:citation|passage)s?[ \t]{0,2}[:：]?[ \t]{0,2}[0-9,，、;\-–~ \t]*)\Z",
    re.IGNORECASE,
)


def _numbers(ids: str) -> list[int]:
    numbers: list[int] = []
    for first, last in _NUMBERS.findall(ids):
        end = min(int(last or first), int(first) + MAX_PASSAGES_IN_MARK)
        numbers += range(int(first), end + 1)
    return numbers[:MAX_PASSAGES_IN_MARK]


def _find(text: str, start: int) -> re.Match[str] | None:
    """The first mark at or after ``start``."""
    for found in _MARK.finditer(text, start):
        if len(found[0]) <= MAX_MARK_CHARS:
            return found
    return None


def _may_become_mark(text: str, at: int) -> bool:
    """Whether the text's end, from ``at`` on, may be the beginning of a mark."""
    return (
        len(text) - at < MAX_MARK_CHARS
        and text[at] in "[【"
        and _PARTIAL.match(text, at) is not None
    )


def _group(text: str, first: re.Match[str]) -> tuple[int, list[int], bool]:
    """The end of the marks that follow each other, their numbers, and whether that is all: not
    while the next character, or another mark, may still come.
    """
    numbers: list[int] = []
    following: re.Match[str] | None = first
    end = at = first.end()
    while following is not None and len(following[0]) <= MAX_MARK_CHARS:
        numbers += _numbers(following[1])
        end = following.end()
        gap = _GAP.match(text, end)
        at = gap.end() if gap else end
        following = _MARK.match(text, at)
    whole = at < len(text) and not _may_become_mark(text, at)
    return end, numbers[:MAX_PASSAGES_IN_MARK], whole


class Citer:
    """Finds marks in one block's text. ``plain`` and ``cited`` are told what the text comes to,
    in order.
    """

    def __init__(
        self, plain: Callable[[str], None], cited: Callable[[str, list[int]], None]
    ) -> None:
        self._plain = plain
        self._cited = cited
        self._held = ""

    def feed(self, text: str) -> None:
        """Take text."""
        self._held += text
        self._advance(last=False)

    def flush(self) -> None:
        """The text ended."""
        self._advance(last=True)
        if self._held:
            self._plain(self._held)
            self._held = ""

    def _advance(self, *, last: bool) -> None:
        text, done = self._held, 0
        while done < len(text):
            found = _find(text, done)
            limit = found.start() if found else self._certain(text, done, last=last)
            done = self._sentences(text, done, limit)
            if found is None:
                break
            end, numbers, whole = _group(text, found)
            if not (whole or last):
                break
            claim = text[done : found.start()]
            if end < len(text) and text[end] in _STOPS and claim.rstrip()[-1:] not in _STOPS:
                claim, end = claim.rstrip(" \t") + text[end], end + 1
            self._cited(claim, numbers)
            done = end
        self._held = text[done:]

    def _certain(self, text: str, start: int, *, last: bool) -> int:
        """Up to where no mark can begin any more."""
        if last:
            return len(text)
        for at in range(max(start, len(text) - MAX_MARK_CHARS + 1), len(text)):
            if _may_become_mark(text, at):
                return at
        return len(text)

    def _sentences(self, text: str, start: int, limit: int) -> int:
        """Pass on the sentences before ``limit`` that something else follows."""
        begin = start
        while True:
            bound = start + MAX_PASSAGE_CHARS
            end = sentence_end(text, start, min(limit, bound))
            if end is not None and text[end : min(limit, bound)].strip():
                start = end
            elif limit >= bound:
                start = bound
            else:
                break
        if start > begin:
            self._plain(text[begin:start])
        return start


class CitationStage:
    """Events of a stream whose text bears marks to events with citations."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._budget = MAX_CITED_CHARS
        self._events: list[StreamEvent] = []
        self._index = 0  # of the open block, or of the next one
        self._citer: Citer | None = None  # inside a text block of the stream
        self._open = False  # a text block of ours is open
        self._blank = ""  # blanks that wait for visible text

    def take(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """What ``events`` come to."""
        for event in events:
            match event:
                case ContentBlockStart(content_block=TextStart()):
                    self._citer = Citer(self._plain, self._cited)
                case ContentBlockDelta(delta=TextDelta(text=text)) if self._citer is not None:
                    self._citer.feed(text)
                case ContentBlockStop() if self._citer is not None:
                    self._citer.flush()
                    self._citer = None
                    self._close()
                    self._blank = ""
                case ContentBlockStop():
                    self._events.append(replace(event, index=self._index))
                    self._index += 1
                case ContentBlockStart() | ContentBlockDelta():
                    self._events.append(replace(event, index=self._index))
                case _:
                    self._events.append(event)
        taken, self._events = self._events, []
        return taken

    def _plain(self, text: str) -> None:
        if not self._open and not text.strip():
            self._blank += text
            return
        self._write(text)

    def _cited(self, claim: str, numbers: list[int]) -> None:
        """A statement with its marks. Where nothing stands before the marks they belong to the
        text that was just written.
        """
        found = self._afford(locations(self._sources, numbers))
        if not found:
            self._plain(claim)
            return
        visible = claim.strip()
        if not visible and not self._open:
            self._blank += claim
            return
        if visible:
            lead = claim[: len(claim) - len(claim.lstrip())]
            if self._open:
                self._write(lead)
            else:
                self._blank += lead
            self._close()
            self._write(claim.strip() if claim.endswith((" ", "\t")) else claim.lstrip())
        for location in found:
            self._delta(CitationsDelta(citation=Raw(msgspec.json.encode(location))))
        self._close()

    def _afford(self, found: list[Location]) -> list[Location]:
        size = sum(len(location.cited_text) for location in found)
        if size > self._budget:
            return []
        self._budget -= size
        return found

    def _write(self, text: str) -> None:
        if not self._open:
            self._open = True
            start = ContentBlockStart(index=self._index, content_block=TextStart())
            self._events.append(start)
            text, self._blank = self._blank + text, ""
        if text:
            self._delta(TextDelta(text=text))

    def _delta(self, delta: TextDelta | CitationsDelta) -> None:
        self._events.append(ContentBlockDelta(index=self._index, delta=delta))

    def _close(self) -> None:
        if self._open:
            self._events.append(ContentBlockStop(index=self._index))
            self._index += 1
            self._open = False
