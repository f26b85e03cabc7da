"""Runs web searches and fetches, and makes the content of their result blocks."""

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.web_tools.domains import is_allowed
from deepseek_messages.service.web_tools.network import WebError
from deepseek_messages.service.web_tools.providers import (
    MAX_QUERY_CHARS,
    Fetcher,
    Query,
    Searcher,
)
from deepseek_messages.translation.hosted.result_text import with_pages
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.server_tools import Outcome, ServerTool, failed
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.documents import PDF
from deepseek_messages.translation.seal import Seal

# Characters of a fetched page for each token of ``max_content_tokens`` (DeepSeek's "Token &
# Token Usage": about 0.3 token for an English character).
CHARS_PER_TOKEN = 3
MAX_TEXT_CHARS = 100_000

# A PDF travels to the client and comes back with every later request, which Anthropic takes up to
# 32 MB.
MAX_PDF_BYTES = 5 * 1024 * 1024


class WebTools:
    """The web tools of one caller's request."""

    def __init__(
        self,
        searcher: Searcher | None,
        fetcher: Fetcher | None,
        *,
        seal: Seal,
        credential: str | None,
        documents: DocumentReader | None = None,
    ) -> None:
        self._searcher = searcher
        self._fetcher = fetcher
        self._seal = seal
        self._credential = credential
        self._documents = documents

    async def run(self, call: PendingTool) -> Outcome:
        """What a search or fetch gave; a failure is an outcome too."""
        try:
            if call.tool.kind == "web_search":
                return await self._search(call)
            return await self._fetch(call)
        except WebError as error:
            return failed(call.tool, error.code)

    async def _search(self, call: PendingTool) -> Outcome:
        assert self._searcher is not None
        tool = call.tool
        text = _text_of(call, "query")
        if len(text) > MAX_QUERY_CHARS:
            raise WebError("query_too_long")
        query = Query(
            text=text,
            allowed=tool.allowed_domains,
            blocked=tool.blocked_domains,
            credential=self._credential,
        )
        found = [each for each in await self._searcher.search(query) if _allows(tool, each.url)]
        content = [
            {
                "type": "web_search_result",
                "url": each.url,
                "title": each.title,
                "encrypted_content": self._seal.seal(each.text),
                "page_age": each.age,
            }
            for each in found
        ]
        return Outcome(Raw(msgspec.json.encode(content)))

    async def _fetch(self, call: PendingTool) -> Outcome:
        assert self._fetcher is not None
        tool = call.tool
        url = _text_of(call, "url")
        page = await self._fetcher.fetch(url, lambda each: _allows(tool, each), self._credential)
        most = MAX_TEXT_CHARS
        if tool.max_content_tokens is not None:
            most = min(most, tool.max_content_tokens * CHARS_PER_TOKEN)
        source = {"type": "text", "media_type": "text/plain", "data": page.text[:most]}
        pages: list[str] | None = None
        if page.pdf is not None:
            data, pages = await self._pages(page.pdf)
            source = {"type": "base64", "media_type": PDF, "data": data}
        document: dict[str, Any] = {
            "type": "document",
            "source": source,
            "title": page.title or None,
            "citations": {"enabled": tool.citations},
        }
        content = {
            "type": "web_fetch_result",
            "url": page.url,
            "content": document,
            "retrieved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        given = Raw(msgspec.json.encode(content))
        return Outcome(given, read=None if pages is None else with_pages(given, pages))

    async def _pages(self, pdf: bytes) -> tuple[str, list[str]]:
        """A PDF in base64, and its pages. Raises ``WebError`` for one that cannot be read."""
        if self._documents is None:
            raise WebError("unsupported_content_type")
        if len(pdf) > MAX_PDF_BYTES:
            raise WebError("content_too_large")
        data = base64.b64encode(pdf).decode("ascii")
        try:
            return data, await self._documents.pages(data)
        except Refusal:
            raise WebError("unsupported_content_type") from None


def _allows(tool: ServerTool, url: str) -> bool:
    return is_allowed(url, tool.allowed_domains, tool.blocked_domains)


def _text_of(call: PendingTool, name: str) -> str:
    value = call.arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise WebError("invalid_tool_input")
    return value.strip()
