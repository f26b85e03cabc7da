"""Who searches, and who reads pages: one class each, chosen by a setting.

Sources: DeepSeek API docs ("Web tools": ``POST /v1/tools/search`` and ``/v1/tools/fetch``), SearxNG
("Search API"), Tavily ("POST /search"), Brave ("Web Search API").
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from deepseek_messages.service.web_tools.network import Network, WebError
from deepseek_messages.service.web_tools.reading import Text, read_page

# DeepSeek: "query 1-128 chars"; Brave: 400. Anthropic names no limit but has the error code.
MAX_QUERY_CHARS = 400
DEEPSEEK_QUERY_CHARS = 128

# How many results one search gives.
RESULTS = 10


class Found(Struct, frozen=True, kw_only=True):
    """One result of a search."""

    url: str
    title: str
    text: str = ""
    age: str | None = None


class Query(Struct, frozen=True, kw_only=True):
    """What is searched for. Domains are hints: results are checked against them afterwards."""

    text: str
    allowed: Sequence[str] = ()
    blocked: Sequence[str] = ()
    credential: str | None = None  # the caller's own key for the upstream


class Searcher(Protocol):
    """Searches the web. Raises ``WebError``."""

    async def search(self, query: Query) -> list[Found]: ...


class Fetcher(Protocol):
    """Reads a page as text. Raises ``WebError``."""

    async def fetch(
        self, url: str, allows: Callable[[str], bool], credential: str | None
    ) -> Text: ...


def _operators(query: Query) -> str:
    """The query with DeepSeek's and SearxNG's domain operators."""
    allowed = " OR ".join(f"site:{each}" for each in query.allowed)
    blocked = " ".join(f"-site:{each}" for each in query.blocked)
    return " ".join(part for part in (query.text, allowed, blocked) if part)


class DeepSeekTools:
    """DeepSeek's own search and reader."""

    def __init__(
        self, network: Network, url: str, api_key: str | None, *, passes: bool = True
    ) -> None:
        """With ``passes`` the caller's own key is sent where there is no other."""
        self._network = network
        self._passes = passes
        self._url = url.rstrip("/").removesuffix("/v1").removesuffix("/anthropic")
        self._api_key = api_key

    async def search(self, query: Query) -> list[Found]:
        """As ``Searcher.search``."""
        text = _operators(query)
        text = text if len(text) <= DEEPSEEK_QUERY_CHARS else query.text
        if len(text) > DEEPSEEK_QUERY_CHARS:
            raise WebError("query_too_long")
        body = {"query": text, "count": RESULTS}
        answer = await self._post("search", body, query.credential)
        return _results(answer, ("results", "data", "items"))

    async def fetch(self, url: str, allows: Callable[[str], bool], credential: str | None) -> Text:
        """As ``Fetcher.fetch``."""
        self._network.check(url)
        if not allows(url):
            raise WebError("url_not_allowed")
        answer = await self._post("fetch", {"url": url}, credential)
        data = answer.get("data")
        page: dict[str, Any] = data if isinstance(data, dict) else answer
        text = _first(page, ("markdown", "content", "text"))
        if text is None:
            raise WebError("url_not_accessible")
        return Text(url=url, title=_first(page, ("title",)) or "", text=text)

    async def _post(self, tool: str, body: Any, credential: str | None) -> dict[str, Any]:
        key = self._api_key or (credential if self._passes else None)
        headers = {"authorization": f"Bearer {key}"} if key else None
        return await self._network.ask(
            "POST", f"{self._url}/v1/tools/{tool}", json=body, headers=headers
        )


class Searxng:
    """A SearxNG that serves the ``json`` format."""

    def __init__(self, network: Network, url: str) -> None:
        self._network = network
        self._url = url.rstrip("/").removesuffix("/search")

    async def search(self, query: Query) -> list[Found]:
        """As ``Searcher.search``."""
        params = {"q": _operators(query), "format": "json"}
        answer = await self._network.ask("GET", f"{self._url}/search", params=params)
        return _results(answer, ("results",))


class Tavily:
    """Tavily's search."""

    def __init__(self, network: Network, url: str, api_key: str) -> None:
        self._network = network
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"}

    async def search(self, query: Query) -> list[Found]:
        """As ``Searcher.search``."""
        body = {
            "query": query.text,
            "max_results": RESULTS,
            "include_domains": list(query.allowed),
            "exclude_domains": list(query.blocked),
        }
        answer = await self._network.ask(
            "POST", f"{self._url}/search", json=body, headers=self._headers
        )
        return _results(answer, ("results",))


class Brave:
    """Brave's web search."""

    def __init__(self, network: Network, url: str, api_key: str) -> None:
        self._network = network
        self._url = url.rstrip("/")
        self._headers = {"x-subscription-token": api_key, "accept": "application/json"}

    async def search(self, query: Query) -> list[Found]:
        """As ``Searcher.search``."""
        params = {"q": _operators(query), "count": str(RESULTS)}
        answer = await self._network.ask(
            "GET", f"{self._url}/res/v1/web/search", params=params, headers=self._headers
        )
        web = answer.get("web")
        return _results(web if isinstance(web, dict) else {}, ("results",))


class DirectFetch:
    """Reads pages from here."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def fetch(self, url: str, allows: Callable[[str], bool], _credential: str | None) -> Text:
        """As ``Fetcher.fetch``."""
        page = await self._network.fetch(url, allows)
        return await asyncio.to_thread(read_page, page)


def _results(answer: Mapping[str, Any], keys: Sequence[str]) -> list[Found]:
    """The results in an answer, whatever their fields are called."""
    listed: Any = next((answer[key] for key in keys if key in answer), [])
    found = []
    for each in listed if isinstance(listed, list) else []:
        url = _first(each, ("url", "link")) if isinstance(each, dict) else None
        if url:
            found.append(
                Found(
                    url=url,
                    title=_first(each, ("title", "name")) or url,
                    text=_first(each, ("content", "snippet", "description", "summary", "text"))
                    or "",
                    age=_first(
                        each, ("page_age", "age", "publishedDate", "published_date", "date")
                    ),
                )
            )
    return found[:RESULTS]


def _first(each: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((each[name] for name in names if isinstance(each.get(name), str)), None)
