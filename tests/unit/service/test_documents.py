"""PDF documents: read in a process of their own, refused in words that clients know."""

import asyncio
import base64
import json
from typing import Any

import imagesize
import pytest

from deepseek_messages.service import documents
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.pdf_worker import PdfError, png, read_pages
from deepseek_messages.settings import DocumentsSettings
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.documents import PagesSource
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.wire.content import DocumentBlock, ImageBlock, TextBlock, ToolResultBlock
from deepseek_messages.wire.messages import MessagesRequest
from tests.support.pdf import pdf, pdf_base64

PLACE = "messages.0.content.0.document.source.base64.data: "


def document(data: str, **more: Any) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    return {"type": "document", "source": source} | more


def request(*content: dict[str, Any]) -> MessagesRequest:
    messages = [{"role": "user", "content": list(content)}]
    body = {"model": "m", "max_tokens": 1, "messages": messages}
    return parse_request(json.dumps(body).encode())


def read(
    reader: DocumentReader, *content: dict[str, Any], sees: bool = False
) -> list[TextBlock | ImageBlock]:
    """The pages of the first document."""
    prepared = asyncio.run(reader.prepare(request(*content), sees=sees))
    blocks = prepared.messages[0].content
    assert isinstance(blocks, list)
    block = blocks[0]
    if isinstance(block, ToolResultBlock):
        assert isinstance(block.content, list)
        block = block.content[1]  # type: ignore[assignment]
    assert isinstance(block, DocumentBlock)
    assert isinstance(block.source, PagesSource)
    assert isinstance(block.source.content, list)
    return block.source.content


def texts(pages: list[TextBlock | ImageBlock]) -> list[str]:
    return [page.text for page in pages if isinstance(page, TextBlock)]


def reader(**settings: Any) -> DocumentReader:
    return DocumentReader(DocumentsSettings(**settings))


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", forbidden)


def test_each_page_is_a_text() -> None:
    data = pdf_base64("Hello (world).\nSecond line.", "Page two.")
    assert texts(read(reader(), document(data))) == ["Hello (world).\nSecond line.", "Page two."]


def test_a_document_in_a_tool_result_is_read() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}]}
    result["content"].append(document(pdf_base64("Inside.")))  # type: ignore[attr-defined]
    assert texts(read(reader(), result)) == ["Inside."]


def test_pages_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = reader()
    first = asyncio.run(reads.prepare(request(document(pdf_base64("Once."))), sees=False))

    async def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("read twice")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", forbidden)
    again = asyncio.run(reads.prepare(request(document(pdf_base64("Once."))), sees=False))
    assert again == first


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "CACHE_CHARS", 12)
    reads = reader()
    for text in ("First", "Second", "Third"):
        read(reads, document(pdf_base64(text)))
    assert list(reads._pages.values()) == [["Second"], ["Third"]]


@pytest.mark.usefixtures("no_process")
@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "x"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
    ],
)
def test_other_blocks_pass_untouched(block: dict[str, Any]) -> None:
    asked = request(block)
    assert asyncio.run(reader().prepare(asked, sees=True)) is asked


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pdf_base64("x", encrypt=True), "The PDF specified is password protected."),
        (base64.b64encode(b"%PDF-1.7 no more").decode(), "The PDF specified was not valid."),
        (base64.b64encode(b"MZ not a PDF").decode(), "The PDF specified was not valid."),
        ("", "PDF cannot be empty."),
        (pdf_base64("1", "2", "3"), "A maximum of 2 PDF pages may be provided."),
        ("***", "Invalid base64 data"),
        ("é", "Invalid base64 data"),
    ],
    ids=["encrypted", "broken", "another", "empty", "pages", "base64", "letters"],
)
def test_what_cannot_be_read_is_refused_by_its_place(data: str, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(reader(max_pages=2), document(data))
    assert refused.value.status == 400
    assert refused.value.message == PLACE + message


def test_the_pages_of_all_documents_of_a_request_are_limited() -> None:
    blocks = [document(pdf_base64("1", "2")), document(pdf_base64("3", "4"))]
    reads = reader(max_pages=3)
    for _ in range(2):  # also when they are remembered
        with pytest.raises(Refusal) as refused:
            read(reads, *blocks)
        assert refused.value.message == (
            "messages.0.content.1.document.source.base64.data:"
            " A maximum of 3 PDF pages may be provided."
        )


def test_what_was_fetched_and_cannot_be_read_counts_as_a_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs a process: a body has room for ten thousands of them."""
    read_by: list[bytes] = []

    async def unreadable(_self: object, pdf: bytes, *_: object) -> list[str]:
        read_by.append(pdf)
        raise Refusal("broken")

    monkeypatch.setattr(DocumentReader, "_work", unreadable)
    source = {"type": "base64", "media_type": "application/pdf"}
    results = [
        {
            "type": "web_fetch_tool_result",
            "tool_use_id": f"srvtoolu_{number}",
            "content": {
                "type": "web_fetch_result",
                "url": "https://a.test/",
                "content": document("") | {"source": source | {"data": f"{number:04}"}},
            },
        }
        for number in range(50)
    ]
    asked = request(*results)
    with pytest.raises(Refusal, match="A maximum of 3 PDF pages"):
        asyncio.run(reader(max_pages=3).prepare(asked, sees=False))
    assert len(read_by) == 4


def test_base64_may_have_line_breaks_and_no_padding() -> None:
    data = pdf_base64("Folded.").rstrip("=")
    folded = "\r\n".join(data[at : at + 76] for at in range(0, len(data), 76))
    assert texts(read(reader(), document(folded))) == ["Folded."]


@pytest.mark.parametrize("settings", [{"timeout": 0.001}, {"memory_bytes": 20 * 1024 * 1024}])
def test_a_process_that_takes_too_much_is_ended(settings: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        read(reader(**settings), document(pdf_base64("x")))
    assert refused.value.message.startswith(PLACE + "Could not process PDF")


def test_a_request_that_is_cancelled_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    create = asyncio.create_subprocess_exec

    async def watched(*arguments: Any, **options: Any) -> Any:
        process = await create("sleep", "1000", **options)
        started.append(process)
        return process

    async def cancelled() -> None:
        asking = asyncio.ensure_future(  # noqa: TID251
            reader().prepare(request(document(pdf_base64("x"))), sees=False)
        )
        while not started:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    asyncio.run(cancelled())
    assert started[0].returncode is not None


def test_a_process_that_writes_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    create = asyncio.create_subprocess_exec

    async def watched(*_: Any, **options: Any) -> Any:
        process = await create("yes", **options)
        started.append(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    monkeypatch.setattr(documents, "MAX_TEXT_CHARS", 1)
    with pytest.raises(Refusal):
        read(reader(timeout=0.5), document(pdf_base64("x")))
    assert started[0].returncode is not None


def test_the_process_knows_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    create = asyncio.create_subprocess_exec

    async def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options["env"])
        return await create(*arguments, **options)

    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-secret")
    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    read(reader(), document(pdf_base64("x")))
    assert seen == [{}]


# --- pictures -------------------------------------------------------------------------------------


def test_pages_are_pictures_where_asked_for_and_seen() -> None:
    pages = read(reader(pdf="images"), document(pdf_base64("Seen.", "Too.")), sees=True)
    assert [type(page) for page in pages] == [ImageBlock, ImageBlock]
    first = pages[0]
    assert isinstance(first, ImageBlock)
    assert first.source.media_type == "image/png"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sees", "more"), [(False, {}), (True, {"citations": {"enabled": True}})], ids=["blind", "cite"]
)
def test_pages_are_texts_where_pictures_do_not_serve(sees: bool, more: dict[str, Any]) -> None:
    pages = read(reader(pdf="images"), document(pdf_base64("Read."), **more), sees=sees)
    assert texts(pages) == ["Read."]


def test_too_many_pictures_become_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_PICTURE_CHARS", 1000)
    assert texts(read(reader(pdf="images"), document(pdf_base64("Read.")), sees=True)) == ["Read."]


def test_a_picture_has_the_page_s_shape(tmp_path: Any) -> None:
    (page,) = read_pages(pdf("x", size=(400, 200)), "images", 9, 10**7)
    (tmp_path / "page.png").write_bytes(base64.b64decode(page))
    width, height = imagesize.get(tmp_path / "page.png")
    assert width == pytest.approx(2 * height, rel=0.01)
    assert width * height <= 1024 * 42 * 42 * 1.01


def test_png_of_two_pixels() -> None:
    data = png(b"\x00\x00\x00\xff\xff\xff\xaa", 2, 1, 7, 3)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")


def test_text_is_limited() -> None:
    with pytest.raises(PdfError, match="long"):
        read_pages(pdf("x" * 50), "text", 9, 10)
