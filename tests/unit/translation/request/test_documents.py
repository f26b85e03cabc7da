"""Documents and search results as the model reads them."""

from typing import Any

import pytest

from deepseek_messages.translation.citing.citations import INSTRUCTION
from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.request.documents import PagesSource, pages_document
from deepseek_messages.wire.chat import ImageUrl, ImageUrlPart, TextPart
from deepseek_messages.wire.citations import CitationsSetting
from deepseek_messages.wire.content import DocumentBlock
from tests.support.translating import text, translated, user

CITE = {"citations": {"enabled": True}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
PICTURE = ImageUrlPart(ImageUrl("data:image/png;base64,AA=="))


def plain(data: str, **more: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": data}
    return {"type": "document", "source": source} | more


def blocks(*content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "content", "content": list(content)}} | more


def result(*texts: str, **more: Any) -> dict[str, Any]:
    content = [text(each) for each in texts]
    return {"type": "search_result", "source": 's"1', "title": "T", "content": content} | more


RESULT = '<search_result source="s&quot;1" title="T">\n'

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "text": (plain("A. B."), "<document>\nA. B.\n</document>"),
    "title and context": (
        plain("A.", title='"&', context="old"),
        '<document title="&quot;&amp;">\n<context>old</context>\nA.\n</document>',
    ),
    "blocks": (blocks(text("a"), text("b")), "<document>\n\na\n\nb\n\n</document>"),
    "search result": (result("a", "b"), RESULT + "a\n\nb\n</search_result>"),
    "cited text": (
        plain("First one. Second one.", **CITE),
        f"{INSTRUCTION}\n\n<document>\n[passage 1] First one. [passage 2] Second one.\n</document>",
    ),
    "cited blocks": (
        blocks(text("a"), text("b"), **CITE),
        f"{INSTRUCTION}\n\n<document>\n\n[passage 1] a\n\n[passage 2] b\n\n</document>",
    ),
    "cited search result": (
        result("a", **CITE),
        f"{INSTRUCTION}\n\n{RESULT}[passage 1] a\n</search_result>",
    ),
    "nothing to cite": (
        plain("  ", **CITE),
        f"{INSTRUCTION}\n\n<document>\n  \n</document>",
    ),
}


@pytest.mark.parametrize(("block", "shown"), SHOWN.values(), ids=SHOWN)
def test_shown_as(block: dict[str, Any], shown: str) -> None:
    assert translated(user(block)).messages[0]["content"] == shown


def test_the_way_to_cite_is_said_once_and_numbers_go_on() -> None:
    done = translated(
        user(plain("First one.", **CITE), result("a", **CITE), plain("Last.", **CITE))
    )
    shown = done.messages[0]["content"]
    assert shown.count(INSTRUCTION) == 1
    assert [shown.index(f"[passage {n}] ") for n in (1, 2, 3)] == sorted(
        shown.index(f"[passage {n}] ") for n in (1, 2, 3)
    )
    assert [source.kind for source in done.plan.sources] == ["text", "search_result", "text"]


def test_an_image_between_blocks_stays_and_has_no_number() -> None:
    content = translated(user(blocks(text("a"), IMAGE, text("b"), **CITE))).messages[0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert "[passage 2] b" in content[2]["text"]


def pages(*given: Any, cite: bool = False) -> list[Any]:
    block = DocumentBlock(
        source=PagesSource(content=[]), citations=CitationsSetting(enabled=True) if cite else None
    )
    return pages_document(block, given, Library())


def test_pages_of_text() -> None:
    (part,) = pages("One.", "Two.")
    assert part == TextPart(
        '<document>\n<page number="1">\nOne.\n</page>\n'
        '<page number="2">\nTwo.\n</page>\n</document>'
    )


def test_pages_of_text_with_numbers() -> None:
    lead, part = pages("One is here. So it is.", "Two is there.", cite=True)
    assert lead == TextPart(INSTRUCTION)
    assert "[passage 1] One is here.\n[passage 2] So it is." in part.text
    assert '<page number="2">\n[passage 3] Two is there.' in part.text


def test_pages_as_pictures_and_one_that_could_not_be_drawn() -> None:
    parts = pages(PICTURE, "text of page two")
    assert PICTURE in parts
    assert TextPart('<page number="2">\ntext of page two\n</page>') in parts
