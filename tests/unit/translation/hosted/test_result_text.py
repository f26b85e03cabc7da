"""What the model reads of server tools' results, whoever wrote them."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from deepseek_messages.translation.citing.citations import INSTRUCTION
from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.hosted.result_text import (
    MAX_RESULT_CHARS,
    Reading,
    fetched_documents,
    fetched_pdf,
    readable,
    with_pages,
)
from deepseek_messages.translation.hosted.server_tools import Kind
from deepseek_messages.translation.seal import Seal

SEAL = Seal(b"key")


def reading(*, cites: bool = True) -> Reading:
    return Reading(call_id="srvtoolu_1", seal=SEAL, citable=Library(cites_hosted=cites))


def shown(kind: Kind, value: Any, where: Reading | None = None, *, is_error: bool = False) -> str:
    return readable(kind, Raw(msgspec.json.encode(value)), where or reading(), is_error=is_error)


def page(text: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "web_search_result",
        "url": "https://a.test/",
        "title": "A",
        "encrypted_content": SEAL.seal(text),
    } | more


def test_the_passages_of_results_are_numbered_and_said_how_to_cite_once() -> None:
    where = reading()
    first = shown("web_search", [page("One is odd. Two is even."), page("Three.")], where)
    assert first.endswith(
        "1. A\nhttps://a.test/\n[passage 1] One is odd. [passage 2] Two is even.\n\n"
        "2. A\nhttps://a.test/\n[passage 3] Three."
    )
    assert "[citation:12]" in first
    second = shown("web_search", [page("Four.", page_age="1 day")], where)
    assert second == "1. A (1 day)\nhttps://a.test/\n[passage 4] Four."


def test_results_without_citations_have_no_numbers() -> None:
    text = shown("web_search", [page("One is odd.")], reading(cites=False))
    assert text == "1. A\nhttps://a.test/\nOne is odd."


def test_a_foreign_result_shows_what_can_be_read() -> None:
    where = reading()
    other = page("", encrypted_content="EpgBCioIAhgBIiQ", title=None, url=7)
    assert shown("web_search", [other, "x", 3], where) == "1. None\n7"
    assert where.citable.empty


def test_results_have_an_end() -> None:
    where = reading()
    long = page("word " * 30_000)
    text = shown("web_search", [long] * 20, where)
    assert text.count("https://a.test/") == 1
    assert len(text) < 2 * MAX_RESULT_CHARS
    assert all(passage.text in text for passage in where.citable.sources[0].passages[:5])


@pytest.mark.parametrize("left", [0, 1, 2])
def test_what_is_behind_a_full_result_is_left_out(left: int) -> None:
    """The heads count, and the last one that has any room is shown."""
    head = "1. A\nhttps://a.test/"
    first = page("x" * (MAX_RESULT_CHARS - len(head) - left))
    text = shown("web_search", [first, page("", title="B"), page("", title="C")])
    assert ("\n\n2. B\n" in text) is (left > 0)
    assert "3. C" not in text


def test_a_passage_of_a_result_can_be_cited_by_its_place() -> None:
    where = reading()
    shown("web_search", [page("One is odd."), page("Two.", url="https://b.test/")], where)
    found = where.citable.sources[1]
    assert (found.kind, found.index, found.title, found.source, found.call) == (
        ("web_result", 1, "A", "https://b.test/", "srvtoolu_1")
    )


def fetched(source: Any, **more: Any) -> dict[str, Any]:
    document = {"type": "document", "source": source, "title": "T", "citations": {"enabled": True}}
    return {"type": "web_fetch_result", "url": "https://a.test/", "content": document | more}


PLAIN = {"type": "text", "media_type": "text/plain", "data": "One is odd."}


def test_a_fetched_page_is_a_document_that_counts() -> None:
    where = reading()
    text = shown("web_fetch", fetched(PLAIN), where)
    assert text.endswith("T\nhttps://a.test/\n\n[passage 1] One is odd.")
    assert where.citable.skip(search_result=False) == 1


def test_a_passage_of_a_fetched_page_can_be_cited_by_its_place() -> None:
    where = reading()
    where.citable.skip(search_result=False)
    shown("web_fetch", fetched(PLAIN), where)
    (source,) = where.citable.sources
    assert (source.kind, source.index, source.title, source.text) == ("text", 1, "T", "One is odd.")
    assert [passage.text for passage in source.passages] == ["One is odd."]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"}


def pages_shown(*pages: Any, where: Reading | None = None, **more: Any) -> str:
    given = Raw(msgspec.json.encode(fetched(PDF, **more)))
    return readable("web_fetch", with_pages(given, pages), where or reading())


def test_a_fetched_pdf_is_shown_as_its_pages() -> None:
    text = pages_shown("One is odd.", "Two.", citations=None)
    one, two = '<page number="1">\nOne is odd.\n</page>', '<page number="2">\nTwo.\n</page>'
    assert text == f"T\nhttps://a.test/\n\n{one}\n{two}"


def test_the_pages_of_a_fetched_pdf_can_be_cited() -> None:
    where = reading()
    where.citable.skip(search_result=False)
    text = pages_shown("One is odd.", "Two.", where=where)
    assert text.startswith(INSTRUCTION)
    assert "T\nhttps://a.test/\n\n" in text
    assert "[passage 1] One is odd." in text
    assert "[passage 2] Two." in text
    (source,) = where.citable.sources
    assert (source.kind, source.index, source.title) == ("pages", 1, "T")


@pytest.mark.parametrize(
    ("pages", "last"),
    [
        (["x" * (MAX_RESULT_CHARS - 1), "yz", "never"], "y"),
        (["x" * MAX_RESULT_CHARS, "never"], None),
        (["x" * 90, "", "z"], "z"),
        (["x" * 90, 5, None, "z"], "z"),
    ],
)
def test_the_pages_of_a_fetched_pdf_have_an_end(pages: list[Any], last: str | None) -> None:
    text = pages_shown(*pages, citations=None)
    assert "never" not in text
    if last is not None:
        assert text.endswith(f'">\n{last}\n</page>')


@pytest.mark.parametrize(
    ("content", "pdf"),
    [
        (fetched(PDF), "JVBERi0"),
        (fetched(PDF | {"data": 5}), None),
        (fetched(PDF | {"media_type": "text/plain", "data": "application/pdf"}), None),
        (fetched(PLAIN), None),
        ({"content": "application/pdf"}, None),
    ],
)
def test_the_pdf_of_a_fetch_is_found(content: Any, pdf: str | None) -> None:
    assert fetched_pdf(Raw(msgspec.json.encode(content))) == pdf


def test_no_pdf_is_found_in_what_is_no_json() -> None:
    assert fetched_pdf(Raw(b"application/pdf")) is None


@pytest.mark.parametrize("citations", [None, {"enabled": False}, {}, "yes"])
def test_a_page_without_citations_counts_too(citations: Any) -> None:
    where = reading()
    assert shown("web_fetch", fetched(PLAIN, citations=citations), where) == (
        "T\nhttps://a.test/\n\nOne is odd."
    )
    assert where.citable.skip(search_result=False) == 1


@pytest.mark.parametrize(
    "source",
    [
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"},
        None,
        {"type": "text"},
    ],
)
def test_a_document_without_text_is_no_text(source: Any) -> None:
    text = shown("web_fetch", fetched(source, title=5))
    assert text == "https://a.test/\n\n[a document that cannot be shown to this model]"


@pytest.mark.parametrize("value", [None, [], "x", {}, {"content": 3}])
@pytest.mark.parametrize("kind", ["web_search", "web_fetch", "tool_search_tool_bm25", "mcp"])
def test_anything_may_stand_there(kind: Kind, value: Any) -> None:
    assert isinstance(shown(kind, value), str)
    assert fetched_documents(Raw(msgspec.json.encode(value))) == 0


def test_errors_are_marked() -> None:
    assert shown("web_search", {"error_code": "unavailable"}) == "[tool error] unavailable"
    assert shown("mcp", [{"type": "text", "text": "no"}], is_error=True) == "[tool error] no"
    assert readable("mcp", Raw(b"nonsense"), reading()) == "[tool error]"


def test_fetched_documents_are_counted() -> None:
    assert fetched_documents(Raw(msgspec.json.encode(fetched(PLAIN)))) == 1
    assert fetched_documents(Raw(b"nonsense")) == 0
