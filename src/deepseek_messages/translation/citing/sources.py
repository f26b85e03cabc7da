"""The sources an answer may cite: their passages, numbered through the whole conversation.

A document or search result with ``citations.enabled``, and what was found on the web, is shown to
the model with a number before each passage. The number is all the model has to repeat; what it
stands for (the text, where it stands) is looked up here and never taken from the model, so a
citation always points at text that is really there. Numbers depend only on what comes before, so
that a longer history keeps them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.citing.web_index import Span, from_index, to_index
from deepseek_messages.wire.citations import (
    CharLocation,
    ContentBlockLocation,
    Location,
    PageLocation,
    SearchResultLocation,
    WebSearchResultLocation,
)

SourceKind = Literal["text", "pages", "blocks", "search_result", "web_result"]

# Anthropic, "Web search tool": ``cited_text`` has up to 150 characters there.
MAX_WEB_CITED_CHARS = 150


class Passage(Struct, frozen=True):
    """``place`` is the page (from 1) or the block (from 0) it stands in; ``start`` and ``end``
    are its characters in a text source.
    """

    text: str
    place: int = 0
    start: int = 0
    end: int = 0


class Source(Struct, frozen=True, kw_only=True):
    """One citable document or search result. ``first`` is the number of its first passage. A
    result found on the web is known by its search's ``call`` and its place there, ``index``.
    """

    kind: SourceKind
    index: int
    title: str | None
    first: int
    passages: Sequence[Passage]
    text: str = ""  # of a text source
    source: str = ""  # of a search result: where it comes from
    call: str = ""  # of a result found on the web

    def location(self, first: int, last: int) -> Location:
        """Where the passages numbered ``first`` to ``last`` stand."""
        begin, end = self.passages[first - self.first], self.passages[last - self.first]
        if self.kind == "text":
            return CharLocation(
                cited_text=self.text[begin.start : end.end],
                document_index=self.index,
                document_title=self.title,
                start_char_index=begin.start,
                end_char_index=end.end,
            )
        chosen = [p.text for p in self.passages[first - self.first : last - self.first + 1]]
        if self.kind == "pages":
            return PageLocation(
                cited_text=" ".join(chosen),
                document_index=self.index,
                document_title=self.title,
                start_page_number=begin.place,
                end_page_number=end.place + 1,
            )
        if self.kind == "blocks":
            return ContentBlockLocation(
                cited_text="".join(chosen),
                document_index=self.index,
                document_title=self.title,
                start_block_index=begin.place,
                end_block_index=end.place + 1,
            )
        if self.kind == "web_result":
            span = Span(self.call, self.index, first - self.first, last - self.first)
            return WebSearchResultLocation(
                cited_text=" ".join(chosen)[:MAX_WEB_CITED_CHARS],
                url=self.source,
                title=self.title,
                encrypted_index=to_index(span),
            )
        return SearchResultLocation(
            cited_text="".join(chosen),
            search_result_index=self.index,
            source=self.source,
            title=self.title,
            start_block_index=begin.place,
            end_block_index=end.place + 1,
        )

    def joins(self, number: int) -> bool:
        """Whether a citation may go on from passage ``number`` to the next one: blocks between
        which an image stands are not one range.
        """
        at = number - self.first
        return at + 1 < len(self.passages) and (
            self.kind in ("text", "pages", "web_result")
            or self.passages[at + 1].place == self.passages[at].place + 1
        )

    def numbers(self, location: Location) -> list[int]:
        """The passages that ``location`` covers."""
        match location:
            case CharLocation(start_char_index=start, end_char_index=end):
                inside = [start <= p.start and p.end <= end for p in self.passages]
            case PageLocation(cited_text=text):
                inside = [
                    location.start_page_number <= p.place < location.end_page_number
                    and p.text in text
                    for p in self.passages
                ]
            case ContentBlockLocation() | SearchResultLocation():
                first, last = location.start_block_index, location.end_block_index
                inside = [first <= p.place < last for p in self.passages]
            case WebSearchResultLocation(encrypted_index=index):
                span = from_index(index) or Span("", 0, 0, -1)
                inside = [span.first <= n <= span.last for n in range(len(self.passages))]
            case _:
                assert_never(location)
        return [self.first + n for n, yes in enumerate(inside) if yes]


# What a source is found by: what it is counted among, the search it comes from, its index.
_Key = tuple[str, str, int]


class Library(Struct):
    """Collects the sources of one request in their order. ``cites_hosted`` says whether results of
    this server's tools may be among them.
    """

    sources: list[Source] = []
    cites_hosted: bool = True
    _documents: int = 0
    _search_results: int = 0
    _next: int = 1
    _by_key: dict[_Key, Source] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing can be cited so far."""
        return not self.sources

    def skip(self, *, search_result: bool) -> int:
        """Count a source; its index, whether it can be cited or not."""
        if search_result:
            self._search_results += 1
            return self._search_results - 1
        self._documents += 1
        return self._documents - 1

    def add(
        self,
        kind: SourceKind,
        index: int,
        passages: Sequence[Passage],
        *,
        title: str | None,
        text: str = "",
        source: str = "",
        call: str = "",
    ) -> int:
        """Take a source with this index; the number of its first passage."""
        first = self._next
        if passages:
            found = Source(
                kind=kind,
                index=index,
                title=title,
                first=first,
                passages=passages,
                text=text,
                source=source,
                call=call,
            )
            self.sources.append(found)
            self._by_key[_SHELVES[kind], call, index] = found
            self._next += len(passages)
        return first

    def numbers(self, citation: Location) -> list[int]:
        """The passages that a citation in an earlier answer stands for; none if it is not ours."""
        key = _key(citation)
        source = self._by_key.get(key) if key else None
        return source.numbers(citation) if source else []


_SHELVES: dict[SourceKind, str] = {
    "text": "documents",
    "pages": "documents",
    "blocks": "documents",
    "search_result": "search results",
    "web_result": "web results",
}


def _key(citation: Location) -> _Key | None:
    match citation:
        case SearchResultLocation(search_result_index=index):
            return "search results", "", index
        case WebSearchResultLocation(encrypted_index=sealed):
            span = from_index(sealed)
            return ("web results", span.call, span.result) if span else None
        case CharLocation() | PageLocation() | ContentBlockLocation():
            return "documents", "", citation.document_index
        case _:
            assert_never(citation)


_citations = msgspec.json.Decoder(list[Raw])
_location = msgspec.json.Decoder(Location)


def read_citations(raw: Raw | Sequence[Raw]) -> list[Location]:
    """The citations of a text block that are of our kinds."""
    found: list[Location] = []
    try:
        entries = _citations.decode(raw) if isinstance(raw, Raw) else raw
    except msgspec.ValidationError:
        return []
    for entry in entries:
        try:
            found.append(_location.decode(entry))
        except msgspec.ValidationError:
            continue
    return found


def locations(sources: Sequence[Source], numbers: Sequence[int]) -> list[Location]:
    """What passage numbers stand for: neighbours of one source as one citation, in the order
    of first mention; numbers that no passage has are left out.
    """
    firsts = [source.first for source in sources]
    ranges: list[list[int]] = []  # [source, first, last]
    for number in dict.fromkeys(numbers):
        at = bisect_right(firsts, number) - 1
        if at < 0 or number - firsts[at] >= len(sources[at].passages):
            continue
        last = ranges[-1] if ranges else None
        if last and last[0] == at and number == last[2] + 1 and sources[at].joins(last[2]):
            last[2] = number
        else:
            ranges.append([at, number, number])
    return [sources[at].location(first, last) for at, first, last in ranges]
