"""What the model reads of server tools' results, whoever wrote them."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from deepseek_messages.translation.result_text import (
    MAX_RESULT_CHARS,
    Reading,
    fetched_documents,
    readable,
)
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.server_tools import Kind
from deepseek_messages.translation.sources import Library

SEAL = Seal(b"key")


def reading(*, cites: bool = True) -> Reading:
    return Reading(call_id="srvtoolu_1", seal=SEAL, library=Library(cites_hosted=cites))


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
    assert where.library.empty


def test_results_have_an_end() -> None:
    where = reading()
    long = page("word " * 30_000)
    text = shown("web_search", [long] * 20, where)
    assert text.count("https://a.test/") == 1
    assert len(text) < 2 * MAX_RESULT_CHARS
    assert all(passage.text in text for passage in where.library.sources[0].passages[:5])


def fetched(source: Any, **more: Any) -> dict[str, Any]:
    document = {"type": "document", "source": source, "title": "T", "citations": {"enabled": True}}
    return {"type": "web_fetch_result", "url": "https://a.test/", "content": document | more}


PLAIN = {"type": "text", "media_type": "text/plain", "data": "One is odd."}


def test_a_fetched_page_is_a_document_that_counts() -> None:
    where = reading()
    text = shown("web_fetch", fetched(PLAIN), where)
    assert text.endswith("T\nhttps://a.test/\n\n[passage 1] One is odd.")
    assert where.library.skip(search_result=False) == 1


@pytest.mark.parametrize("citations", [None, {"enabled": False}, {}, "yes"])
def test_a_page_without_citations_counts_too(citations: Any) -> None:
    where = reading()
    assert shown("web_fetch", fetched(PLAIN, citations=citations), where) == (
        "T\nhttps://a.test/\n\nOne is odd."
    )
    assert where.library.skip(search_result=False) == 1


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
