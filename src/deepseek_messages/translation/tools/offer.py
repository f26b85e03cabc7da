"""The tools of a request as the model is told of them: definitions in, functions out.

A client sends the same tools with every request of a conversation, tens of kilobytes of them. So
what a list came to is remembered. It is found by a short key and compared whole, which costs a
tenth of a hash over it.
"""

import msgspec
from msgspec import UNSET, Struct

from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.server_tools import (
    DEFINITIONS,
    Hosted,
    Kind,
    ServerTool,
    kind_of,
    picked,
    server_tool,
)
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.tools.client_tools import client_tool
from deepseek_messages.translation.tools.names import upstream_name
from deepseek_messages.translation.tools.schema import EMPTY_SCHEMA, repair
from deepseek_messages.wire.chat import Function, FunctionTool
from deepseek_messages.wire.tools import Tool


class Offer(Struct, frozen=True):
    """What a list of tools comes to. It may be shared: nobody changes what it holds."""

    functions: list[FunctionTool] = []  # those that are not deferred
    defined: dict[str, Function] = {}  # all of them, by the client's names
    deferred: set[str] = set()  # the client's names of those that wait for a reference
    left_out: set[str] = set()  # the client's names of those that cannot be offered
    server: dict[str, ServerTool] = {}  # what this server runs, by the names sent upstream
    back: dict[str, str] = {}  # name sent upstream -> the client's name, where they differ


NO_TOOLS = Offer()


def offer_of(tools: list[Tool], dialect: Dialect, hosted: Hosted, notes: Notes) -> Offer:
    """The offer that ``tools`` are. Raises ``Refusal`` for two of one name or a bad schema."""
    if not tools and not hosted.mcp_servers:
        return NO_TOOLS
    circumstances = (dialect.strict_tools, hosted, notes.strict)
    found = _memo.get(tools, circumstances)
    if found is None:
        own = Notes(strict=notes.strict)
        try:
            found = (_Offering(dialect, hosted, own).offer(tools), own)
        finally:
            notes.take(own)
        if not hosted.mcp_tools:  # those are another server's to change
            _memo.keep(tools, circumstances, found)
    else:
        notes.take(found[1])
    return found[0]


class _Offering:
    """One pass over a list of tools."""

    def __init__(self, dialect: Dialect, hosted: Hosted, notes: Notes) -> None:
        self._offer = Offer()
        self._strict_tools = dialect.strict_tools
        self._hosted = hosted
        self._notes = notes

    def offer(self, tools: list[Tool]) -> Offer:
        for index, tool in enumerate(tools):
            self._take(tool, f"tools.{index}")
        named = {tool.mcp_server_name for tool in tools if tool.type == "mcp_toolset"}
        for server in sorted(self._hosted.mcp_servers - named):  # as before there were toolsets
            self._toolset(Tool(type="mcp_toolset", mcp_server_name=server), "mcp_servers")
        return self._offer

    def _take(self, tool: Tool, path: str) -> None:
        if tool.type == "mcp_toolset":
            self._toolset(tool, path)
            return
        function = self._function(tool, path)
        if function is None:
            return
        name = tool.name or function.name
        self._be_unique(name)
        self._define(name, function, deferred=bool(tool.defer_loading))
        if function.name != name:
            self._offer.back[function.name] = name
            self._notes.add(Action.MAPPED, "tools.name", path)

    def _be_unique(self, name: str) -> None:
        if name in self._offer.defined:
            raise Refusal("Tool names must be unique.", path="tools")

    def _define(self, name: str, function: Function, *, deferred: bool) -> None:
        self._offer.defined[name] = function
        if deferred:
            self._offer.deferred.add(name)
        else:
            self._offer.functions.append(FunctionTool(function))

    def _function(self, tool: Tool, path: str) -> Function | None:
        if tool.type in {None, "custom"}:
            return self._custom(tool, path)
        known = client_tool(tool)
        if known is not None:
            name = upstream_name(tool.name or known.name)
            return Function(name=name, description=known.description, parameters=known.schema)
        kind = kind_of(tool)
        if kind is not None and self._runs(kind):
            self._notes.add(Action.EMULATED, f"tools.{kind}", path)
            given = DEFINITIONS[kind]
            self._offer.server[kind] = server_tool(tool, kind)
            return Function(name=kind, description=given.description, parameters=given.schema)
        self._notes.add(Action.DROPPED, f"tools.{tool.type}", path)
        self._offer.left_out.add(tool.name or "")
        return None

    def _runs(self, kind: Kind) -> bool:
        """Whether this server can run tools of that kind now."""
        match kind:
            case "web_search":
                return self._hosted.web_search
            case "web_fetch":
                return self._hosted.web_fetch
            case _:
                return True

    def _toolset(self, tool: Tool, path: str) -> None:
        """The tools of one MCP server."""
        server = tool.mcp_server_name or ""
        if server not in self._hosted.mcp_servers:
            self._notes.add(Action.DROPPED, "tools.mcp_toolset", path)
            return
        self._notes.add(Action.EMULATED, "tools.mcp_toolset", path)
        offered = [each for each in self._hosted.mcp_tools if each.server == server]
        try:
            chosen = picked(tool, offered)
        except msgspec.ValidationError as error:
            raise Refusal(str(error), path=path) from None
        for each, deferred in chosen:
            sent = upstream_name(f"mcp__{server}__{each.name}")
            self._be_unique(sent)
            function = Function(
                name=sent,
                description=each.description or None,
                parameters=repair(each.schema, path).schema,
            )
            self._define(sent, function, deferred=deferred)
            self._offer.server[sent] = ServerTool(kind="mcp", name=each.name, server=server)

    def _custom(self, tool: Tool, path: str) -> Function:
        assert tool.name is not None  # checked when the request was read
        schema = EMPTY_SCHEMA
        if tool.input_schema is UNSET:
            self._notes.add(Action.REPAIRED, "tools.input_schema", path)
        else:
            repaired = repair(tool.input_schema, f"{path}.input_schema")
            schema = repaired.schema
            if repaired.changed:
                self._notes.add(Action.REPAIRED, "tools.input_schema", path)
        strict = tool.strict
        if strict is not None and not self._strict_tools:
            self._notes.once(Action.IGNORED, "tools.strict", path)
            strict = None
        return Function(
            name=upstream_name(tool.name),
            description=self._description(tool, path),
            parameters=schema,
            strict=strict,
        )

    def _description(self, tool: Tool, path: str) -> str | None:
        """With the input examples, which chat completions have no field for."""
        if not tool.input_examples:
            return tool.description
        self._notes.once(Action.EMULATED, "tools.input_examples", path)
        examples = "\n".join(bytes(example).decode() for example in tool.input_examples)
        return f"{tool.description or ''}\n\nExamples of input:\n{examples}".lstrip("\n")


# --- what is remembered ---------------------------------------------------------------------------

# What besides the tools decides: strict_tools of the dialect, what is hosted, strict mode.
_Circumstances = tuple[bool, Hosted, bool]
_Found = tuple[Offer, Notes]

_tools = msgspec.json.Decoder(list[Tool])


class _Kept(Struct, frozen=True):
    tools: list[Tool]
    size: int  # bytes of JSON
    circumstances: _Circumstances
    found: _Found


class Memo:
    """Lists of tools and what they came to. Bounded in number and in bytes of JSON; when it is
    full it starts anew. Threads may share it: at worst one of them finds nothing.
    """

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[tuple[int, str | None, str | None, bool], _Kept] = {}

    def get(self, tools: list[Tool], circumstances: _Circumstances) -> _Found | None:
        """What was kept for equal tools in equal circumstances."""
        kept = self._kept.get(_key(tools, circumstances))
        if kept is not None and kept.circumstances == circumstances and kept.tools == tools:
            return kept.found
        return None

    def keep(self, tools: list[Tool], circumstances: _Circumstances, found: _Found) -> None:
        """Keep a copy of ``tools``: decoded, they hold on to the whole body they came in."""
        try:
            text = msgspec.json.encode(tools)
        except UnicodeEncodeError:
            return
        if len(text) > self._most_bytes:
            return
        if len(self._kept) >= self._most or self.size() + len(text) > self._most_bytes:
            self._kept.clear()
        kept = _Kept(_tools.decode(text), len(text), circumstances, found)
        self._kept[_key(tools, circumstances)] = kept

    def entries(self) -> list[list[Tool]]:
        """The lists that are kept."""
        return [kept.tools for kept in list(self._kept.values())]

    def size(self) -> int:
        """Bytes of JSON that the kept lists were."""
        return sum([kept.size for kept in list(self._kept.values())])


def _key(
    tools: list[Tool], circumstances: _Circumstances
) -> tuple[int, str | None, str | None, bool]:
    """Short, and different for most lists that differ."""
    if not tools:
        return 0, None, None, circumstances[2]
    return len(tools), tools[0].name, tools[-1].name, circumstances[2]


_memo = Memo(most=128, most_bytes=8 * 1024 * 1024)
