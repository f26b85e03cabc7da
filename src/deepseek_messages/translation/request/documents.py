"""Documents and search results as the text that the model reads.

A document stands between tags that carry its title and context. With citations enabled its
passages are numbered, and what the numbers mean goes to the ``Library``.
"""

from collections.abc import Sequence

from deepseek_messages.translation.citing.citations import INSTRUCTION
from deepseek_messages.translation.citing.passages import spans_of
from deepseek_messages.translation.citing.sources import Library, Passage
from deepseek_messages.translation.request.system import JOINT
from deepseek_messages.wire.chat import ContentPart, TextPart
from deepseek_messages.wire.content import (
    ContentSource,
    DocumentBlock,
    SearchResultBlock,
    TextBlock,
)

PDF = "application/pdf"


class PagesSource(ContentSource, tag="content", frozen=True):
    """A PDF that was read: one text block or image for each page. Never travels."""


def is_citable(block: DocumentBlock | SearchResultBlock) -> bool:
    """Whether the client wants to be told what rests on it."""
    return bool(block.citations and block.citations.enabled)


# --- documents ------------------------------------------------------------------------------------


def text_document(block: DocumentBlock, text: str, library: Library) -> list[ContentPart]:
    """A document of running text."""
    index = library.skip(search_result=False)
    if not is_citable(block):
        return _enclosed(block, [TextPart(text)])
    lead = _lead(library)
    passages = passages_of(text)
    first = library.add("text", index, passages, title=block.title, text=text)
    return [*lead, *_enclosed(block, [TextPart(numbered(text, passages, first))])]


def passages_of(text: str) -> list[Passage]:
    """The passages of running text."""
    return [Passage(text[a:b], start=a, end=b) for a, b in spans_of(text)]


def numbered(text: str, passages: Sequence[Passage], first: int) -> str:
    """``text`` with its number before each passage."""
    pieces: list[str] = []
    done = 0
    for number, passage in enumerate(passages, first):
        pieces += [text[done : passage.start], label(number)]
        done = passage.start
    pieces.append(text[done:])
    return "".join(pieces)


def pages_document(
    block: DocumentBlock, pages: Sequence[str | ContentPart], library: Library
) -> list[ContentPart]:
    """A PDF: each page its text, or a picture of it."""
    index = library.skip(search_result=False)
    texts = [page for page in pages if isinstance(page, str)]
    if len(texts) < len(pages):
        return _enclosed(block, _pictures(pages))
    if not is_citable(block):
        return _enclosed(block, [TextPart(plain_pages(texts))])
    lead = _lead(library)
    shown = numbered_pages(texts, library, index, block.title)
    return [*lead, *_enclosed(block, [TextPart(shown)])]


def plain_pages(texts: Sequence[str]) -> str:
    """The pages of a PDF as text."""
    return "\n".join(_page(number, text) for number, text in enumerate(texts, 1))


def numbered_pages(texts: Sequence[str], library: Library, index: int, title: str | None) -> str:
    """The same with its number before each passage, which ``library`` takes as document
    ``index``.
    """
    passages = [
        Passage(text[a:b], place=number)
        for number, text in enumerate(texts, 1)
        for a, b in spans_of(text)
    ]
    first = library.add("pages", index, passages, title=title)
    lines: list[list[str]] = [[] for _ in texts]
    for number, passage in enumerate(passages, first):
        lines[passage.place - 1].append(label(number) + passage.text)
    return plain_pages(["\n".join(page) for page in lines])


def blocks_document(
    block: DocumentBlock, parts: Sequence[Sequence[ContentPart]], library: Library
) -> list[ContentPart]:
    """A document of content blocks; ``parts`` are what each of them comes to."""
    index = library.skip(search_result=False)
    content = block.source.content if isinstance(block.source, ContentSource) else ()
    if not is_citable(block) or isinstance(content, str):
        return _enclosed(block, [part for each in parts for part in each])
    lead = _lead(library)
    passages = [
        Passage(item.text, place=place)
        for place, item in enumerate(content)
        if isinstance(item, TextBlock) and item.text.strip()
    ]
    number = library.add("blocks", index, passages, title=block.title)
    shown: list[ContentPart] = []
    citable = {passage.place for passage in passages}
    for place, each in enumerate(parts):
        if place in citable:
            shown.append(TextPart(label(number) + passages_text(each)))
            number += 1
        else:
            shown += each
    return [*lead, *_enclosed(block, shown)]


def passages_text(parts: Sequence[ContentPart]) -> str:
    """The text of one content block."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def label(number: int) -> str:
    """What stands before a passage."""
    return f"[passage {number}] "


def _lead(library: Library) -> list[ContentPart]:
    """How to cite, said once: before the first source of the conversation, where it stays."""
    return [TextPart(INSTRUCTION)] if library.empty else []


def _page(number: int, text: str) -> str:
    return f'<page number="{number}">\n{text}\n</page>'


def _pictures(pages: Sequence[str | ContentPart]) -> list[ContentPart]:
    shown: list[ContentPart] = []
    for number, page in enumerate(pages, 1):
        if isinstance(page, str):
            shown.append(TextPart(_page(number, page)))
        else:
            shown += [TextPart(f'<page number="{number}">'), page, TextPart("</page>")]
    return shown


def _enclosed(block: DocumentBlock, parts: list[ContentPart]) -> list[ContentPart]:
    """The document's parts between tags that carry its title and context."""
    head = f'<document title="{_attribute(block.title)}">' if block.title else "<document>"
    if block.context:
        head += f"\n<context>{block.context}</context>"
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return [TextPart(f"{head}\n{parts[0].text}\n</document>")]
    return [TextPart(head), *parts, TextPart("</document>")]


# --- search results -------------------------------------------------------------------------------


def search_result(block: SearchResultBlock, library: Library) -> list[ContentPart]:
    """A result of the client's own search."""
    index = library.skip(search_result=True)
    texts = [item.text for item in block.content]
    lead: list[ContentPart] = []
    if is_citable(block):
        lead = _lead(library)
        passages = [Passage(text, place=place) for place, text in enumerate(texts) if text.strip()]
        first = library.add(
            "search_result", index, passages, title=block.title, source=block.source
        )
        for number, passage in enumerate(passages, first):
            texts[passage.place] = label(number) + passage.text
    source, title = _attribute(block.source), _attribute(block.title)
    text = JOINT.join(texts)
    tags = f'<search_result source="{source}" title="{title}">\n{text}\n</search_result>'
    return [*lead, TextPart(tags)]


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")
