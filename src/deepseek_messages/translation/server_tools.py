"""The tools that this server runs inside an answer: what the model is told of them, and what it
reads of their results.

Kinds are told apart by a tool's ``type``, never by its name: a client's own tool called
``web_search`` is the client's. A result is kept in the block that the client gets and sends back,
and the model always reads the same text of that block: in the answer itself and in later turns.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.translation.schema import compact
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.messages import Tool

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
        " for what is recent or not certain, and name the pages that the answer rests on.",
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


# --- what the model reads of a result -------------------------------------------------------------

# Text of one result that the model reads. Claude Code shows a fetched page up to 100,000
# characters.
MAX_RESULT_CHARS = 100_000

ERROR = "[tool error]"


def readable(kind: Kind, content: Raw, seal: Seal, *, is_error: bool = False) -> str:
    """The text of a result block's ``content``. Anything may stand there: clients send it back."""
    try:
        value = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return ERROR
    if isinstance(value, dict) and "error_code" in value:
        return f"{ERROR} {value['error_code']}"
    text = _READERS[kind](value, seal)[:MAX_RESULT_CHARS]
    return f"{ERROR} {text}" if is_error else text


def _search_text(value: Any, seal: Seal) -> str:
    parts = []
    for number, page in enumerate(_dicts(value), 1):
        hidden = page.get("encrypted_content")
        excerpt = (seal.open(hidden) if isinstance(hidden, str) else None) or ""
        age = f" ({page['page_age']})" if page.get("page_age") else ""
        head = f"{number}. {page.get('title', '')}{age}\n{page.get('url', '')}"
        parts.append(f"{head}\n{excerpt}" if excerpt else head)
    return "\n\n".join(parts) or "Nothing was found."


def _fetch_text(value: Any, _seal: Seal) -> str:
    if not isinstance(value, dict):
        return ""
    document = value.get("content")
    document = document if isinstance(document, dict) else {}
    source = document.get("source")
    data = source.get("data", "") if isinstance(source, dict) else ""
    title = f"{document['title']}\n" if document.get("title") else ""
    return f"{title}{value.get('url', '')}\n\n{data}"


def _mcp_text(value: Any, _seal: Seal) -> str:
    if isinstance(value, str):
        return value
    return "\n\n".join(
        str(block.get("text", f"[{block.get('type')} left out]")) for block in _dicts(value)
    )


def _found_text(value: Any, _seal: Seal) -> str:
    names = references(value)
    return f"Tools found: {', '.join(names)}" if names else "No tool was found."


def references(value: Any) -> list[str]:
    """The tool names in the content of a ``tool_search_tool_result``."""
    listed = value.get("tool_references") if isinstance(value, dict) else None
    names = (each.get("tool_name") for each in _dicts(listed))
    return [name for name in names if isinstance(name, str) and name]


def with_definitions(text: str, lines: Sequence[str]) -> str:
    """A tool search's result with the definitions of the tools it found, in DeepSeek's form for
    tools that are loaded in the middle of a conversation.
    """
    return f"{text}\n\n### Updated Tool Schemas\n\n" + "\n".join(lines) if lines else text


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_READERS: dict[Kind, Callable[[Any, Seal], str]] = {
    "web_search": _search_text,
    "web_fetch": _fetch_text,
    "tool_search_tool_regex": _found_text,
    "tool_search_tool_bm25": _found_text,
    "mcp": _mcp_text,
}


# --- what the client gets -------------------------------------------------------------------------

RESULT_TYPES: dict[Kind, str] = {
    "web_search": "web_search_tool_result",
    "web_fetch": "web_fetch_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
    "mcp": "mcp_tool_result",
}


class Outcome(Struct, frozen=True):
    """What a tool gave: the ``content`` of its result block."""

    content: Raw
    is_error: bool = False


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
