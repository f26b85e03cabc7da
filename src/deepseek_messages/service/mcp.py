"""The connector to MCP servers that a request names (``mcp_servers``), with the official ``mcp``
package. Only hosts that the settings list are contacted; tokens go nowhere else.

Sources: Anthropic, "MCP connector"; Model Context Protocol, "Transports" (streamable HTTP).
"""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.service.tasks import spawn
from deepseek_messages.service.web_tools.domains import is_allowed
from deepseek_messages.settings import ToolsSettings, split_url
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.server_tools import McpTool, Outcome, failed
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.messages import MessagesRequest

if TYPE_CHECKING:
    from mcp import Client

# Anthropic names no limit; each server is a connection that is held as long as the answer.
MAX_SERVERS = 20

# Tools that one server may offer, and pages of them that are asked for.
MAX_TOOLS = 500


class ToolConfiguration(Struct, frozen=True):
    """The older way to say which tools may be used."""

    enabled: bool | None = None
    allowed_tools: list[str] | None = None


class McpServer(Struct, frozen=True):
    """One entry of ``mcp_servers``."""

    name: str
    url: str
    type: Literal["url"] = "url"
    authorization_token: str | None = None
    tool_configuration: ToolConfiguration | None = None

    def __repr__(self) -> str:
        """Without the token."""
        return f"McpServer({self.name!r})"


class McpConnector:
    """Connects to the MCP servers of requests, as the settings allow."""

    def __init__(self, settings: ToolsSettings) -> None:
        self._hosts = settings.mcp_hosts
        self._private = settings.allow_private
        self._timeout = settings.timeout

    @property
    def is_on(self) -> bool:
        """Whether any server may be contacted."""
        return bool(self._hosts)

    async def connect(self, request: MessagesRequest) -> "McpSessions | None":
        """Open sessions and list the tools. Raises ``Refusal`` for servers that are not allowed
        or do not answer.
        """
        servers = self._servers(request)
        if not servers:
            return None
        sessions = McpSessions(servers, self._timeout)
        try:
            await sessions.open()
        except BaseException:
            await sessions.aclose()
            raise
        return sessions

    def _servers(self, request: MessagesRequest) -> list[McpServer]:
        try:
            assert isinstance(request.mcp_servers, Raw)
            servers = msgspec.json.decode(request.mcp_servers, type=list[McpServer] | None) or []
        except msgspec.ValidationError as error:
            raise Refusal(str(error), path="mcp_servers") from None
        if len(servers) > MAX_SERVERS:
            raise Refusal(f"at most {MAX_SERVERS} servers are accepted", path="mcp_servers")
        if len({server.name for server in servers}) < len(servers):
            raise Refusal("MCP server names must be unique", path="mcp_servers")
        for index, server in enumerate(servers):
            self._check(server, f"mcp_servers.{index}.url")
        return servers

    def _check(self, server: McpServer, path: str) -> None:
        parts = split_url(server.url)
        if parts is None or parts.username is not None:
            raise Refusal("Input should be a valid URL", path=path)
        if parts.scheme != "https" and not self._private:
            raise Refusal("MCP servers are reached over https only", path=path)
        if not is_allowed(server.url, self._hosts, ()):
            raise Refusal("this MCP server's host is not allowed by this server", path=path)


class McpSessions:
    """The open sessions of one request. They live in a task of their own, since the package wants
    them closed where they were opened.
    """

    def __init__(self, servers: list[McpServer], seconds: float) -> None:
        self.names = frozenset(server.name for server in servers)
        self.tools: tuple[McpTool, ...] = ()
        self._servers = servers
        self._seconds = seconds
        self._clients: dict[str, Client] = {}
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done = asyncio.Event()
        self._task = spawn(self._live(), "mcp-sessions")

    async def open(self) -> None:
        """Return once all tools are listed. Raises ``Refusal``."""
        try:
            async with asyncio.timeout(self._seconds):
                await asyncio.shield(self._opened)
        except TimeoutError:
            raise Refusal("an MCP server did not answer in time", path="mcp_servers") from None

    async def run(self, call: PendingTool) -> Outcome:
        """The outcome of one call."""
        client = self._clients[call.tool.server]
        try:
            async with asyncio.timeout(self._seconds):
                result = await client.call_tool(call.tool.name, call.arguments)
        except TimeoutError:
            return failed(call.tool, "The tool did not answer in time.")
        except Exception as error:  # noqa: BLE001 - whatever the server or the package raises
            return failed(call.tool, f"The tool failed: {type(error).__name__}")
        content = [_block(each) for each in result.content]
        return Outcome(Raw(msgspec.json.encode(content)), bool(result.is_error))

    async def aclose(self) -> None:
        """Close all sessions. May be called twice."""
        self._done.set()
        if not self._opened.done():  # nobody waits for it any longer
            self._task.cancel()
        try:
            await asyncio.wait((self._task,), timeout=self._seconds)
        finally:
            self._task.cancel()

    async def _live(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                tools: list[McpTool] = []
                for index, server in enumerate(self._servers):
                    tools += await self._enter(stack, server, index)
                self.tools = tuple(tools)
                self._opened.set_result(None)
                await self._done.wait()
        except Refusal as refusal:
            if not self._opened.done():
                self._opened.set_exception(refusal)
        except BaseException as error:
            # A session that breaks while it is closed harms nobody any more.
            if not self._opened.done():
                self._opened.cancel()
            if not isinstance(error, Exception):
                raise

    async def _enter(self, stack: AsyncExitStack, server: McpServer, index: int) -> list[McpTool]:
        path = f"mcp_servers.{index}"
        try:
            client = await _connected(stack, server, self._seconds)
            self._clients[server.name] = client
            return _allowed(server, await _list(server.name, client))
        except ImportError:
            raise Refusal("MCP servers need the extra `mcp` on this server", path=path) from None
        except Exception as error:  # noqa: BLE001 - whatever the server or the package raises
            why = type(error).__name__
            raise Refusal(f"the MCP server cannot be used ({why})", path=path) from None


async def _connected(stack: AsyncExitStack, server: McpServer, seconds: float) -> "Client":
    import httpx2  # noqa: PLC0415 - comes with the package
    from mcp import Client  # noqa: PLC0415 - an optional extra
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    token = server.authorization_token
    headers = {"authorization": f"Bearer {token}"} if token else None
    http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=seconds))
    transport = streamable_http_client(server.url, http_client=http)
    client = Client(transport, read_timeout_seconds=seconds, cache=None)
    return await stack.enter_async_context(client)


async def _list(name: str, client: "Client") -> list[McpTool]:
    tools: list[McpTool] = []
    cursor: str | None = None
    while len(tools) < MAX_TOOLS:
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            schema = Raw(msgspec.json.encode(tool.input_schema))
            described = tool.description or ""
            tools.append(McpTool(server=name, name=tool.name, description=described, schema=schema))
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools[:MAX_TOOLS]


def _allowed(server: McpServer, tools: list[McpTool]) -> list[McpTool]:
    chosen = server.tool_configuration or ToolConfiguration()
    if chosen.enabled is False:
        return []
    names = chosen.allowed_tools
    return tools if names is None else [tool for tool in tools if tool.name in names]


def _block(content: Any) -> dict[str, Any]:
    """A result's content as a text block."""
    if content.type == "text":
        return {"type": "text", "text": content.text}
    if content.type == "resource" and isinstance(getattr(content.resource, "text", None), str):
        return {"type": "text", "text": content.resource.text}
    return {"type": "text", "text": f"[{content.type} left out]"}
