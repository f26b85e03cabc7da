"""Sources: what passage numbers stand for, and back."""

import msgspec
import pytest
from msgspec import Raw

from deepseek_messages.translation.citing.sources import (
    MAX_WEB_CITED_CHARS,
    Library,
    Passage,
    locations,
    read_citations,
)
from deepseek_messages.translation.citing.web_index import Span, to_index
from deepseek_messages.wire.citations import Location, WebSearchResultLocation


def library() -> Library:
    """A text of two passages (1, 2), a PDF of two pages (3, 4 and 5), blocks around an image (6,
    7), a search result (8, 9, 10), a result found on the web (11, 12, 13).
    """
    found = Library()
    text = "The grass is green. The sky is blue."
    spans = [Passage(text[a:b], start=a, end=b) for a, b in ((0, 19), (20, 36))]
    found.add("text", found.skip(search_result=False), spans, title="Facts", text=text)
    found.skip(search_result=False)  # a document that cannot be cited
    pages = [Passage("One.", 1), Passage("Two.", 1), Passage("Three.", 2)]
    found.add("pages", found.skip(search_result=False), pages, title="Pages")
    blocks = [Passage("first", 0), Passage("third", 2)]
    found.add("blocks", found.skip(search_result=False), blocks, title="Mixed")
    results = [Passage("a", 0), Passage("b", 1), Passage("c", 2)]
    found.add(
        "search_result", found.skip(search_result=True), results, title="S", source="https://x.test"
    )
    web = [Passage("x."), Passage("y."), Passage("z" * 150)]
    found.add("web_result", 1, web, title="W", source="https://w.test", call="srvtoolu_9")
    return found


def plain(found: list[Location]) -> list[dict[str, object]]:
    return [msgspec.to_builtins(each) for each in found]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (
            [2],
            [
                {
                    "type": "char_location",
                    "cited_text": "The sky is blue.",
                    "document_index": 0,
                    "document_title": "Facts",
                    "start_char_index": 20,
                    "end_char_index": 36,
                    "file_id": None,
                }
            ],
        ),
        (
            [4, 5],
            [
                {
                    "type": "page_location",
                    "cited_text": "Two. Three.",
                    "document_index": 2,
                    "document_title": "Pages",
                    "start_page_number": 1,
                    "end_page_number": 3,
                    "file_id": None,
                }
            ],
        ),
        (
            [7],
            [
                {
                    "type": "content_block_location",
                    "cited_text": "third",
                    "document_index": 3,
                    "document_title": "Mixed",
                    "start_block_index": 2,
                    "end_block_index": 3,
                    "file_id": None,
                }
            ],
        ),
        (
            [8, 9],
            [
                {
                    "type": "search_result_location",
                    "cited_text": "ab",
                    "search_result_index": 0,
                    "source": "https://x.test",
                    "title": "S",
                    "start_block_index": 0,
                    "end_block_index": 2,
                }
            ],
        ),
        (
            [12, 13],
            [
                {
                    "type": "web_search_result_location",
                    "cited_text": ("y. " + "z" * 150)[:MAX_WEB_CITED_CHARS],
                    "url": "https://w.test",
                    "title": "W",
                    "encrypted_index": to_index(Span("srvtoolu_9", 1, 1, 2)),
                }
            ],
        ),
    ],
)
def test_locations(numbers: list[int], expected: list[dict[str, object]]) -> None:
    assert plain(locations(library().sources, numbers)) == expected


def test_neighbours_become_one_citation_and_others_do_not() -> None:
    found = locations(library().sources, [1, 2, 3, 6, 7, 9, 10, 11, 12])
    assert [each.cited_text for each in found] == [
        "The grass is green. The sky is blue.",
        "One.",
        "first",
        "third",  # an image stands between them
        "bc",
        "x. y.",
    ]


def test_passages_of_one_page_become_one_citation() -> None:
    assert [each.cited_text for each in locations(library().sources, [3, 4])] == ["One. Two."]


@pytest.mark.parametrize("numbers", [[0], [14], [-1], [999_999_999]])
def test_numbers_of_nothing_are_left_out(numbers: list[int]) -> None:
    assert locations(library().sources, numbers) == []
    assert locations((), numbers) == []
    assert len(locations(library().sources, [*numbers, 1])) == 1


@pytest.mark.parametrize(
    "numbers", [[1], [2], [1, 2], [3], [4, 5], [6], [7], [8], [8, 9], [10], [11], [12, 13]]
)
def test_a_replayed_citation_leads_back_to_its_numbers(numbers: list[int]) -> None:
    found = library()
    (location,) = locations(found.sources, numbers)
    assert found.numbers(location) == numbers


def test_the_same_words_on_the_next_page_are_not_meant() -> None:
    found = Library()
    found.add("pages", 0, [Passage("Same.", 1), Passage("Same.", 2)], title=None)
    (location,) = locations(found.sources, [1])
    assert found.numbers(location) == [1]


@pytest.mark.parametrize(
    "index",
    ["", "EqQB", to_index(Span("srvtoolu_8", 1, 0, 0)), to_index(Span("srvtoolu_9", 0, 0, 0))],
)
def test_a_citation_of_another_search_stands_for_nothing(index: str) -> None:
    cited = WebSearchResultLocation(cited_text="x.", url="https://w.test", encrypted_index=index)
    assert library().numbers(cited) == []


def test_an_index_of_another_vendor_names_no_passage_of_a_result() -> None:
    cited = WebSearchResultLocation(cited_text="x.", url="https://w.test", encrypted_index="EqQB")
    assert library().sources[-1].numbers(cited) == []


def test_a_source_says_only_what_it_is_given() -> None:
    for source in library().sources:
        assert (source.text != "") is (source.kind == "text")
        assert (source.source != "") is (source.kind in {"search_result", "web_result"})
        assert (source.call != "") is (source.kind == "web_result")


def test_only_citations_of_our_kinds_are_read() -> None:
    (location,) = locations(library().sources, [8])
    raw = Raw(
        b'[{"type":"web_search_result_location","url":"u"}, 7, '
        + msgspec.json.encode(location)
        + b"]"
    )
    assert read_citations(raw) == [location]
    assert read_citations(Raw(b'"x"')) == []
    assert read_citations(Raw(b"null")) == []
