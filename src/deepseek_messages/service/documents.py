"""PDF documents of a request, read before it is translated.

Each PDF goes to a process of its own (``pdf_worker``) with little memory and time; what it holds
comes back as pages, which then stand in the request as content. Pages are remembered by the
digest of the file, so a history that brings its documents along at every turn costs one look each.
"""

import asyncio
import base64
import binascii
import hashlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from contextlib import suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.service import pdf_worker
from deepseek_messages.settings import DocumentsSettings
from deepseek_messages.translation.hosted.result_text import fetched_pdf, with_pages
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.documents import PDF, PagesSource, is_citable
from deepseek_messages.wire.content import (
    Base64Source,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ToolResultBlock,
    ToolResultContent,
    WebFetchToolResultBlock,
)
from deepseek_messages.wire.messages import InputMessage, MessagesRequest

# Text of all pages of one document, in characters: four for each token of DeepSeek's largest
# window of 1M. Pictures are PNG in base64, and a request of 48 MiB is the most DeepSeek takes.
MAX_TEXT_CHARS = 4 * 1024 * 1024
MAX_PICTURE_CHARS = 40 * 1024 * 1024

# Pages that are remembered, in characters.
CACHE_CHARS = 32 * 1024 * 1024

# Anthropic's own words, which Claude Code knows: it takes the document out, tells the model, and
# goes on (its binary matches them without regard to case).
_WORDS = {
    pdf_worker.ERROR_BROKEN: "The PDF specified was not valid.",
    pdf_worker.ERROR_EMPTY: "PDF cannot be empty.",
    pdf_worker.ERROR_ENCRYPTED: "The PDF specified is password protected.",
    pdf_worker.ERROR_PAGES: "A maximum of {pages} PDF pages may be provided.",
    pdf_worker.ERROR_LONG: "Could not process PDF: its content is too large.",
}
_UNREADABLE = "Could not process PDF: reading it took too long or too much memory."


# How a PNG begins in base64.
_PNG = "iVBORw0KGgo"


class _Answer(Struct):
    pages: list[str] | None = None
    error: str | None = None


_answer = msgspec.json.Decoder(_Answer)

Kind = str  # "text" or "images"


class DocumentReader:
    """Replaces the PDF documents of requests by their pages. One per application."""

    def __init__(self, settings: DocumentsSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.workers)
        self._pages: OrderedDict[tuple[bytes, Kind], list[str]] = OrderedDict()
        self._size = 0

    def reads(self, request: MessagesRequest) -> bool:
        """Whether ``request`` has a PDF."""
        return any(
            type(block) in MAY_HOLD_PDF and _holds_pdf(block)
            for message in request.messages
            if message.content and type(message.content) is not str
            for block in message.content
        )

    async def prepare(self, request: MessagesRequest, *, sees: bool) -> MessagesRequest:
        """``request`` with its PDF documents read; ``sees`` says whether the model takes
        pictures. Raises ``Refusal`` for a file that cannot be read.
        """
        messages: list[InputMessage] | None = None
        count = _PageCount(self._settings.max_pages)
        for index, message in enumerate(request.messages):
            content = message.content
            if isinstance(content, str) or not content:
                continue
            if not any(map(_holds_pdf, content)):
                continue
            read = [
                await self._block(block, f"messages.{index}.content.{position}", sees, count)
                for position, block in enumerate(content)
            ]
            messages = messages or list(request.messages)
            messages[index] = replace(message, content=read)
        return request if messages is None else replace(request, messages=messages)

    async def _block(
        self, block: ContentBlock, at: str, sees: bool, count: "_PageCount"
    ) -> ContentBlock:
        if _is_pdf(block):
            assert isinstance(block, DocumentBlock)
            return await self._document(block, at, sees, count)
        if isinstance(block, WebFetchToolResultBlock) and _holds_pdf(block):
            return await self._fetched(block, at, count)
        if isinstance(block, ToolResultBlock) and _holds_pdf(block):
            assert isinstance(block.content, list)
            content: list[ToolResultContent] = [
                await self._document(item, f"{at}.content.{inner}", sees, count)
                if isinstance(item, DocumentBlock) and _is_pdf(item)
                else item
                for inner, item in enumerate(block.content)
            ]
            return replace(block, content=content)
        return block

    async def pages(self, data: str) -> list[str]:
        """The text of each page of a PDF in base64. Raises ``Refusal``."""
        return await self._read(data, "text", "")

    async def _fetched(
        self, block: WebFetchToolResultBlock, at: str, count: "_PageCount"
    ) -> WebFetchToolResultBlock:
        """A page that was read on the web in an earlier turn. One that cannot be read any more
        is no reason to refuse the conversation.
        """
        data = fetched_pdf(block.content)
        assert data is not None
        try:
            pages = await self.pages(data)
        except Refusal:
            count.add(1, at)  # it has cost a process all the same
            return block
        count.add(len(pages), at)
        return replace(block, content=with_pages(block.content, pages))

    async def _document(
        self, block: DocumentBlock, at: str, sees: bool, count: "_PageCount"
    ) -> DocumentBlock:
        assert isinstance(block.source, Base64Source)
        # What rests on a picture cannot be quoted.
        pictures = self._settings.pdf == "images" and sees and not is_citable(block)
        kind = "images" if pictures else "text"
        path = f"{at}.document.source.base64.data"
        pages = await self._read(block.source.data, kind, path)
        count.add(len(pages), path)
        content: list[TextBlock | ImageBlock] = [
            ImageBlock(source=Base64Source(media_type="image/png", data=page))
            if pictures and page.startswith(_PNG)
            else TextBlock(text=page)
            for page in pages
        ]
        return replace(block, source=PagesSource(content=content))

    async def _read(self, data: str, kind: Kind, path: str) -> list[str]:
        digest = await asyncio.to_thread(_digest, data)
        key = (digest, kind)
        if (pages := self._pages.get(key)) is not None:
            self._pages.move_to_end(key)
            return pages
        try:
            pdf = await asyncio.to_thread(_decoded, data)
        except binascii.Error:
            raise Refusal("Invalid base64 data", path=path) from None
        async with self._slots:
            if (pages := self._pages.get(key)) is not None:  # another request read it meanwhile
                return pages
            pages = await self._work(pdf, kind, path)
        self._remember(key, pages)
        return pages

    async def _work(self, pdf: bytes, kind: Kind, path: str) -> list[str]:
        """The pages, from a process that is gone when this returns."""
        settings = self._settings
        most = MAX_PICTURE_CHARS if kind == "images" else MAX_TEXT_CHARS
        limits = (settings.max_pages, most, settings.memory_bytes, int(settings.timeout) + 1)
        # Isolated (-I): no environment, no working directory, no user's packages.
        command = (sys.executable, "-I", "-m", pdf_worker.__name__, kind, *map(str, limits))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_bare_environment()
        )
        try:
            async with asyncio.timeout(settings.timeout):
                output = await _exchange(process, pdf, limit=6 * most + 65536)
                await process.wait()
        except (TimeoutError, ConnectionError):
            raise Refusal(_UNREADABLE, path=path) from None
        finally:
            await _killed(process)
        try:
            found = _answer.decode(output)
        except msgspec.DecodeError:
            raise Refusal(_UNREADABLE, path=path) from None
        if found.error == pdf_worker.ERROR_LONG and kind == "images":
            return await self._work(pdf, "text", path)  # too many pictures for one request
        if found.pages is None:
            words = _WORDS.get(found.error or "", _UNREADABLE)
            raise Refusal(words.format(pages=settings.max_pages), path=path)
        return found.pages

    def _remember(self, key: tuple[bytes, Kind], pages: list[str]) -> None:
        size = sum(map(len, pages))
        if size > CACHE_CHARS or key in self._pages:
            return
        self._pages[key] = pages
        self._size += size
        while self._size > CACHE_CHARS:
            _, oldest = self._pages.popitem(last=False)
            self._size -= sum(map(len, oldest))


class _PageCount:
    """The pages of all documents of one request: the limit is the request's, as Anthropic's is."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def add(self, pages: int, path: str) -> None:
        """Raises ``Refusal`` when there are too many."""
        self._left -= pages
        if self._left < 0:
            words = _WORDS[pdf_worker.ERROR_PAGES]
            raise Refusal(words.format(pages=self._most), path=path)


def _is_pdf(block: object) -> bool:
    return (
        isinstance(block, DocumentBlock)
        and isinstance(block.source, Base64Source)
        and block.source.media_type == PDF
    )


MAY_HOLD_PDF = frozenset({DocumentBlock, ToolResultBlock, WebFetchToolResultBlock})


def _holds_pdf(block: object) -> bool:
    if isinstance(block, ToolResultBlock):
        return isinstance(block.content, list) and any(map(_is_pdf, block.content))
    if isinstance(block, WebFetchToolResultBlock):
        return fetched_pdf(block.content) is not None
    return _is_pdf(block)


def _digest(data: str) -> bytes:
    return hashlib.sha256(data.encode("ascii", "replace")).digest()


def _decoded(data: str) -> bytes:
    """Base64 as clients write it: with line breaks, perhaps without padding."""
    plain = "".join(data.split())
    if not plain.isascii():
        raise binascii.Error
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _bare_environment() -> dict[str, str]:
    """Nothing of ours: no key can be read by what a file may make of the process."""
    return {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}


async def _killed(process: Process) -> None:
    """The end of ``process``, if it has not ended by itself."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        # What it has written stands before the pipe's end, for which ``wait`` waits as well.
        assert process.stdout is not None
        while await process.stdout.read(1 << 20):
            pass
        await process.wait()


async def _exchange(process: Process, data: bytes, *, limit: int) -> bytes:
    """Write ``data``, read the answer, at most ``limit`` bytes of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(ConnectionError):  # it may have given up before it read everything
        process.stdin.write(data)
        await process.stdin.drain()
    with suppress(ConnectionError):
        process.stdin.close()
    pieces: list[bytes] = []
    while piece := await process.stdout.read(1 << 20):
        pieces.append(piece)
        limit -= len(piece)
        if limit < 0:
            return b""
    return b"".join(pieces)
