"""Reads one PDF in a process of its own: its bytes on standard input, its pages on standard output.

Run by ``service.documents`` as ``python -m deepseek_messages.service.pdf_worker``. What a stranger
wrote is parsed here by native code, so the process has little memory and time, no environment, and
its end, however bad, is only an answer without pages. One JSON object goes out: ``{"pages": []}``
with a text or a PNG in base64 for each page, or ``{"error": WORD}``.
"""

import base64
import contextlib
import json
import struct
import sys
import zlib
from typing import Any

# A picture of more cells is scaled down by the model (``prompt.images``: at most 1024 cells of
# 42 by 42 pixels).
PIXELS_PER_PAGE = 1024 * 42 * 42

# PDF measures in points of 1/72 inch; more than 200 dots to the inch shows no more text.
MAX_SCALE = 200 / 72

ERROR_BROKEN = "broken"
ERROR_ENCRYPTED = "encrypted"
ERROR_EMPTY = "empty"
ERROR_PAGES = "pages"
ERROR_LONG = "long"


class PdfError(Exception):
    """Why there are no pages; the first argument is one of the words above."""


def main(arguments: list[str]) -> None:
    """``text|images MAX_PAGES MAX_CHARS MEMORY_BYTES CPU_SECONDS``"""
    kind = arguments[0]
    max_pages, max_chars, memory, seconds = map(int, arguments[1:])
    _limit(memory, seconds)
    data = sys.stdin.buffer.read()
    answer: dict[str, Any]
    try:
        answer = {"pages": read_pages(data, kind, max_pages, max_chars)}
    except PdfError as error:
        answer = {"error": str(error)}
    sys.stdout.buffer.write(json.dumps(answer).encode("ascii"))
    sys.stdout.buffer.flush()


def _limit(memory: int, seconds: int) -> None:
    """Take no more memory and time than this (where the system has such limits)."""
    try:
        import resource  # noqa: PLC0415 - POSIX only
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read_pages(data: bytes, kind: str, max_pages: int, max_chars: int) -> list[str]:
    """The pages of a PDF as texts, or as pictures when ``kind`` is ``images``. Raises
    ``PdfError``.
    """
    import pypdfium2  # noqa: PLC0415 - after the limits

    if not data:
        raise PdfError(ERROR_EMPTY)
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = getattr(error, "err_code", None) == pypdfium2.raw.FPDF_ERR_PASSWORD
        raise PdfError(ERROR_ENCRYPTED if encrypted else ERROR_BROKEN) from None
    if len(document) > max_pages:
        raise PdfError(ERROR_PAGES)
    if not len(document):
        raise PdfError(ERROR_BROKEN)
    read = _picture if kind == "images" else _text
    pages: list[str] = []
    for number in range(len(document)):
        try:
            pages.append(read(document[number]))
        except pypdfium2.PdfiumError:
            pages.append("")  # a page that cannot be read does not take the others with it
        max_chars -= len(pages[-1])
        if max_chars < 0:
            raise PdfError(ERROR_LONG)
    return pages


def _text(page: Any) -> str:
    text: str = page.get_textpage().get_text_bounded()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").split("\n")
    # PDFium marks a hyphen at a line's end with U+FFFE.
    return "\n".join(line.rstrip() for line in lines).replace("\ufffe", "-").strip()


def _picture(page: Any) -> str:
    width, height = page.get_size()
    area = max(width * height, 1.0)
    scale = min(MAX_SCALE, (PIXELS_PER_PAGE / area) ** 0.5)
    bitmap = page.render(scale=scale, rev_byteorder=True)
    rows = bytes(bitmap.buffer)
    return base64.b64encode(
        png(rows, bitmap.width, bitmap.height, bitmap.stride, bitmap.n_channels)
    ).decode("ascii")


_PNG_COLOURS = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA


def png(rows: bytes, width: int, height: int, stride: int, channels: int) -> bytes:
    """A PNG file of 8 bits a channel (W3C PNG specification; every row without a filter)."""
    lines = b"".join(
        b"\x00" + rows[y * stride : y * stride + width * channels] for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOURS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


if __name__ == "__main__":
    main(sys.argv[1:])
