"""How PDF documents are read: ``[documents]``."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from deepseek_messages.settings.values import Count, Seconds
from deepseek_messages.translation import limits


class DocumentsSettings(Struct, frozen=True, kw_only=True):
    """How PDF documents are read."""

    pdf: Annotated[
        Literal["text", "images"],
        Meta(
            description="What the model gets of a PDF: the text of its pages, or pictures of them "
            "where the model sees. Documents with citations are always read as text."
        ),
    ] = "text"
    max_pages: Annotated[
        Count, Meta(description="Most PDF pages of one request; more are answered 400.")
    ] = limits.MAX_PDF_PAGES
    timeout: Annotated[Seconds, Meta(description="Longest time that reading one PDF may take.")] = (
        limits.PDF_TIMEOUT
    )
    memory_bytes: Annotated[
        Count, Meta(description="Memory that the process which reads a PDF may take.")
    ] = limits.PDF_MEMORY_BYTES
    workers: Annotated[Count, Meta(description="PDF documents that are read at the same time.")] = 2
