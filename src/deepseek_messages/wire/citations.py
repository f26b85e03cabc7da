"""Citations: the setting that asks for them and the places they point to.

``gc=False``: see ``wire.messages``.
"""

from msgspec import Struct


class CitationsSetting(Struct, frozen=True, gc=False):
    enabled: bool | None = None


class Citation(Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """Base of what a text block's ``citations`` hold. All indexes count from 0 and end before
    their end; pages count from 1.
    """

    cited_text: str


class CharLocation(Citation, tag="char_location", frozen=True, gc=False, kw_only=True):
    document_index: int
    document_title: str | None = None
    start_char_index: int
    end_char_index: int
    file_id: str | None = None


class PageLocation(Citation, tag="page_location", frozen=True, gc=False, kw_only=True):
    document_index: int
    document_title: str | None = None
    start_page_number: int
    end_page_number: int
    file_id: str | None = None


class ContentBlockLocation(
    Citation, tag="content_block_location", frozen=True, gc=False, kw_only=True
):
    document_index: int
    document_title: str | None = None
    start_block_index: int
    end_block_index: int
    file_id: str | None = None


class SearchResultLocation(
    Citation, tag="search_result_location", frozen=True, gc=False, kw_only=True
):
    search_result_index: int
    source: str
    title: str | None = None
    start_block_index: int
    end_block_index: int


class WebSearchResultLocation(
    Citation, tag="web_search_result_location", frozen=True, kw_only=True
):
    """``cited_text`` is the beginning of what is quoted."""

    url: str
    title: str | None = None
    encrypted_index: str


Location = (
    CharLocation
    | PageLocation
    | ContentBlockLocation
    | SearchResultLocation
    | WebSearchResultLocation
)
