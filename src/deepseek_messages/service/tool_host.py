"""The server tools that the settings allow: web search, web fetch, and MCP servers."""

import asyncio
from collections.abc import Sequence

from msgspec import UNSET

from deepseek_messages.service.callers import Caller
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.hosting import NO_RUN, HostedRun
from deepseek_messages.service.mcp import McpConnector, McpSessions
from deepseek_messages.service.tasks import spawn
from deepseek_messages.service.web_tools.network import Network
from deepseek_messages.service.web_tools.providers import (
    Brave,
    DeepSeekTools,
    DirectFetch,
    Fetcher,
    Searcher,
    Searxng,
    Tavily,
)
from deepseek_messages.service.web_tools.run import WebTools
from deepseek_messages.settings import DEEPSEEK_URL, ToolsSettings
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.server_tools import Hosted, Kind, Outcome, kind_of
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.messages import MessagesRequest

TAVILY_URL = "https://api.tavily.com"
BRAVE_URL = "https://api.search.brave.com"


class ToolHost:
    """What the settings allow to be run. ``upstream_url`` and ``upstream_key`` are those of
    DeepSeek's API, for its own web tools; ``documents`` reads what is fetched as PDF.
    """

    def __init__(
        self,
        settings: ToolsSettings,
        *,
        seal: Seal,
        upstream_url: str | None,
        upstream_key: str | None,
        documents: DocumentReader,
    ) -> None:
        self._seal = seal
        self._documents = documents
        url = upstream_url or DEEPSEEK_URL
        # A search service is the operator's own choice and may stand inside the network.
        services = Network(private=True, timeout=settings.timeout)
        pages = Network(private=settings.allow_private, timeout=settings.timeout)
        self._searcher = _searcher(settings, services, url, upstream_key)
        self._fetcher = _fetcher(settings, services, pages, url, upstream_key)
        self._mcp = McpConnector(settings)

    def may_run(self, request: MessagesRequest) -> bool:
        """Whether ``request`` has tools that run here, or MCP servers that may be used."""
        if request.mcp_servers is not UNSET and self._mcp.is_on:
            return True
        return any(self._runs(kind_of(tool)) for tool in request.tools or ())

    def _runs(self, kind: Kind | None) -> bool:
        """Whether there is anything to search or to fetch with."""
        match kind:
            case "web_search":
                return self._searcher is not None
            case "web_fetch":
                return self._fetcher is not None
            case _:
                return False

    async def prepare(self, request: MessagesRequest, caller: Caller) -> HostedRun:
        """What of it ``request`` has. Raises ``Refusal`` for MCP servers that cannot be used."""
        kinds = {kind_of(tool) for tool in request.tools or ()}
        searches = "web_search" in kinds and self._runs("web_search")
        fetches = "web_fetch" in kinds and self._runs("web_fetch")
        sessions = None
        if request.mcp_servers is not UNSET and self._mcp.is_on:
            sessions = await self._mcp.connect(request)
        if not searches and not fetches and sessions is None:
            return NO_RUN
        web = WebTools(
            self._searcher,
            self._fetcher,
            seal=self._seal.of(caller.identity),
            credential=caller.credential,
            documents=self._documents,
        )
        hosted = Hosted(
            web_search=searches,
            web_fetch=fetches,
            mcp_servers=sessions.names if sessions else frozenset(),
            mcp_tools=sessions.tools if sessions else (),
        )
        return HostedRun(hosted, _Runner(web, sessions))


class _Runner:
    """Runs the calls of one round side by side."""

    def __init__(self, web: WebTools, sessions: McpSessions | None) -> None:
        self._web = web
        self._sessions = sessions

    async def run(self, calls: Sequence[PendingTool]) -> list[Outcome]:
        """As ``ToolRunner.run``."""
        running = [spawn(self._one(call), "server-tool") for call in calls]
        try:
            return list(await asyncio.gather(*running))
        finally:
            for each in running:
                each.cancel()

    async def _one(self, call: PendingTool) -> Outcome:
        if call.tool.kind == "mcp" and self._sessions is not None:
            return await self._sessions.run(call)
        return await self._web.run(call)

    async def aclose(self) -> None:
        """As ``ToolRunner.aclose``."""
        if self._sessions is not None:
            await self._sessions.aclose()


def _searcher(
    settings: ToolsSettings, network: Network, url: str, key: str | None
) -> Searcher | None:
    own = settings.web_search_key.reveal() if settings.web_search_key else ""
    match settings.web_search:
        case "off":
            return None
        case "deepseek":
            if settings.web_search_url is not None:  # the upstream's keys stay with the upstream
                return DeepSeekTools(network, settings.web_search_url, own, passes=False)
            return DeepSeekTools(network, url, own or key)
        case "searxng":
            return Searxng(network, settings.web_search_url or "")
        case "tavily":
            return Tavily(network, settings.web_search_url or TAVILY_URL, own)
        case "brave":
            return Brave(network, settings.web_search_url or BRAVE_URL, own)


def _fetcher(
    settings: ToolsSettings, services: Network, pages: Network, url: str, key: str | None
) -> Fetcher | None:
    match settings.web_fetch:
        case "off":
            return None
        case "direct":
            return DirectFetch(pages)
        case "deepseek":
            return DeepSeekTools(services, url, key)
