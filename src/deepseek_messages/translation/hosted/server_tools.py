"""The tools that this server runs inside an answer: what the model is told of them, and what it
reads of their results.

Kinds are told apart by a tool's ``type``, never by its name: a client's own tool called
``web_search`` is the client's. A result is kept in the block that the client gets and sends back,
and the model always reads the same text of that block: in the answer itself and in later turns.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.tools.schema import compact
from deepseek_messages.wire.tools import Tool

Kind = Literal["web_search", "web_fetch", "tool_search_tool_regex", "tool_search_tool_bm25", "mcp"]


class ServerTool(Struct, frozen=True, kw_only=True):
    """A tool of this server in one request. ``name`` is the one that blocks carry."""

    kind: Kind
    name: str
    server: str = ""  # of an MCP tool
    max_uses: int | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    max_content_tokens: int | None = None  # of a fetched page
    citations: bool = False


class McpTool(Struct, frozen=True, kw_only=True):
    """A tool that an MCP server offers."""

    server: str
    name: str
    description: str = ""
    schema: Raw


class Hosted(Struct, frozen=True, kw_only=True):
    """What this server can run for a request. Tool search always runs."""

    web_search: bool = False
    web_fetch: bool = False
    mcp_servers: frozenset[str] = frozenset()  # names of the request's servers that were asked
    mcp_tools: tuple[McpTool, ...] = ()


NOTHING_HOSTED = Hosted()


class Definition(Struct, frozen=True):
    """What the model is told of a server tool."""

    description: str
    schema: Raw


def _one_text(name: str, description: str) -> Raw:
    properties = {name: {"type": "string", "description": description}}
    return Raw(compact({"type": "object", "properties": properties, "required": [name]}))


DEFINITIONS: dict[Kind, Definition] = {
    "web_search": Definition(
        "Search the web. Gives titles, addresses and excerpts of the pages that fit best. Use it"
        " for what is recent or not certain.",
        _one_text("query", "What to search for."),
    ),
    "web_fetch": Definition(
        "Read a page or document on the web.",
        _one_text("url", "The address, with https:// or http://."),
    ),
    "tool_search_tool_regex": Definition(
        "Find more tools. Gives the tools whose name, description or arguments match a regular"
        " expression; they can be called afterwards.",
        _one_text("query", "A regular expression, such as (?i)weather|forecast."),
    ),
    "tool_search_tool_bm25": Definition(
        "Find more tools. Gives the tools that fit a description best; they can be called"
        " afterwards.",
        _one_text("query", "What the tool should do, in a few words."),
    ),
}


def kind_of(tool: Tool) -> Kind | None:
    """The kind of a server tool that may be run here, by its type alone."""
    name, _, date = (tool.type or "").rpartition("_")
    for word in (tool.type, name if date.isdigit() else None):
        if word in DEFINITIONS:
            return word
    return None


def server_tool(tool: Tool, kind: Kind) -> ServerTool:
    """The settings of one entry of ``tools``."""
    return ServerTool(
        kind=kind,
        name=kind,
        max_uses=tool.max_uses,
        allowed_domains=tuple(tool.allowed_domains or ()),
        blocked_domains=tuple(tool.blocked_domains or ()),
        max_content_tokens=tool.max_content_tokens,
        citations=bool(tool.citations and tool.citations.enabled),
    )


# --- toolsets of MCP servers ----------------------------------------------------------------------


class McpConfig(Struct, frozen=True):
    """One tool's settings in an ``mcp_toolset``."""

    enabled: bool | None = None
    defer_loading: bool | None = None


def mcp_configs(tool: Tool) -> tuple[McpConfig, Mapping[str, McpConfig]]:
    """The default and each tool's own. Raises ``msgspec.ValidationError``."""
    default = (
        msgspec.json.decode(tool.default_config, type=McpConfig | None)
        if isinstance(tool.default_config, Raw)
        else None
    )
    configs = (
        msgspec.json.decode(tool.configs, type=dict[str, McpConfig] | None)
        if isinstance(tool.configs, Raw)
        else None
    )
    return default or McpConfig(), configs or {}


def picked(tool: Tool, offered: Sequence[McpTool]) -> list[tuple[McpTool, bool]]:
    """The tools of one server that a toolset enables, each with whether it is deferred."""
    default, configs = mcp_configs(tool)
    found = []
    for each in offered:
        own = configs.get(each.name, McpConfig())
        enabled = own.enabled if own.enabled is not None else default.enabled
        deferred = own.defer_loading if own.defer_loading is not None else default.defer_loading
        if enabled is not False:
            found.append((each, bool(deferred)))
    return found


# --- what the client gets -------------------------------------------------------------------------

RESULT_TYPES: dict[Kind, str] = {
    "web_search": "web_search_tool_result",
    "web_fetch": "web_fetch_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
    "mcp": "mcp_tool_result",
}


class Outcome(Struct, frozen=True):
    """What a tool gave: the ``content`` of its result block. ``read`` stands in for it where the
    model reads something else of it (the pages of a PDF).
    """

    content: Raw
    is_error: bool = False
    read: Raw | None = None


def result_block(tool: ServerTool, call_id: str, outcome: Outcome) -> Raw:
    """The result's block as the client gets it."""
    block: dict[str, Any] = {
        "type": RESULT_TYPES[tool.kind],
        "tool_use_id": call_id,
        "content": outcome.content,
    }
    if tool.kind == "mcp":
        block["is_error"] = outcome.is_error
    return Raw(msgspec.json.encode(block))


def failed(tool: ServerTool, code: str) -> Outcome:
    """A result that is an error, in the form of the tool's kind."""
    if tool.kind == "mcp":
        content: Any = [{"type": "text", "text": code}]
        return Outcome(Raw(msgspec.json.encode(content)), is_error=True)
    content = {"type": f"{RESULT_TYPES[tool.kind]}_error", "error_code": code}
    return Outcome(Raw(msgspec.json.encode(content)), is_error=True)


def found_tools(names: Sequence[str]) -> Outcome:
    """The result of a tool search."""
    listed = [{"type": "tool_reference", "tool_name": name} for name in names]
    content = {"type": "tool_search_tool_search_result", "tool_references": listed}
    return Outcome(Raw(json.dumps(content).encode()))
