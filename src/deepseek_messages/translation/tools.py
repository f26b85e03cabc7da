"""Tool definitions, tool choice, names and ids: to the upstream and their way back."""

import hashlib
import json
import re
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from deepseek_messages.translation.client_tools import client_tool
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.limits import (
    MAX_REPEATED_SCHEMA_CHARS,
    MAX_TOOL_ID_CHARS,
    MAX_TOOL_NAME_CHARS,
)
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.schema import EMPTY_SCHEMA, repair
from deepseek_messages.translation.server_tools import (
    DEFINITIONS,
    NOTHING_HOSTED,
    Hosted,
    Kind,
    ServerTool,
    kind_of,
    picked,
    server_tool,
)
from deepseek_messages.wire.chat import Function, FunctionName, FunctionTool, NamedToolChoice
from deepseek_messages.wire.messages import (
    McpToolUseBlock,
    ServerToolUseBlock,
    Tool,
    ToolChoice,
)

# Names and ids that every chat server takes (DeepSeek API reference, create-chat-completion).
_PLAIN_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_NAME_CHARS}}}").fullmatch
_PLAIN_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_ID_CHARS}}}").fullmatch


def upstream_name(name: str) -> str:
    """``name`` if every server takes it, otherwise a readable stand-in: always the same one for
    the same name, different for different names.
    """
    if _PLAIN_NAME(name):
        return name
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name[:48])}_{_digest(name)[:12]}"


def upstream_id(tool_id: str) -> str:
    """A tool call id inside the upstream's alphabet; calls and results agree by construction."""
    return tool_id if _PLAIN_ID(tool_id) else f"call_{_digest(tool_id)[:24]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Choosing(Struct, frozen=True):
    """How the model must choose among the tools, on the upstream's side."""

    tool_choice: Literal["required"] | NamedToolChoice | None = None
    forced_tool: str | None = None
    must_call: bool = False


class ToolBook:
    """The tools of one request. ``functions`` are those in the head of the prompt; deferred ones
    wait until the conversation refers to them (``defer_loading``, Anthropic's tool search).

    With ``updates_in_place`` a referenced tool is shown to the model where the reference stands,
    as DeepSeek's V4.1 encoding does; otherwise it joins the head, behind the others, in the
    order of first reference.
    """

    def __init__(
        self,
        dialect: Dialect,
        notes: Notes,
        *,
        updates_in_place: bool,
        hosted: Hosted = NOTHING_HOSTED,
    ) -> None:
        self.functions: list[FunctionTool] = []
        self.server: dict[str, ServerTool] = {}  # the tools that this server runs
        self._hosted = hosted
        self.back: dict[str, str] = {}
        self.callable: set[str] = set()
        self._defined: dict[str, Function] = {}
        self._deferred: set[str] = set()
        self._left_out: set[str] = set()
        self._updated: set[str] = set()
        self._repeated_chars = 0
        self._dialect = dialect
        self._notes = notes
        self._updates_in_place = updates_in_place

    def define(self, tools: list[Tool]) -> None:
        """Take the request's tools. Raises ``Refusal`` for two of one name or a bad schema."""
        for index, tool in enumerate(tools):
            path = f"tools.{index}"
            if tool.type == "mcp_toolset":
                self._toolset(tool, path)
                continue
            function = self._function(tool, path)
            if function is None:
                continue
            name = tool.name or function.name
            if name in self._defined:
                raise Refusal("Tool names must be unique.", path="tools")
            self._defined[name] = function
            if function.name != name:
                self.back[function.name] = name
                self._notes.add(Action.MAPPED, "tools.name", path)
            if not tool.defer_loading:
                self._load(name)
            else:
                self._deferred.add(name)

        named = {tool.mcp_server_name for tool in tools if tool.type == "mcp_toolset"}
        for server in sorted(self._hosted.mcp_servers - named):  # as before there were toolsets
            self._toolset(Tool(type="mcp_toolset", mcp_server_name=server), "mcp_servers")

    @property
    def runs_mcp(self) -> bool:
        """Whether the request's MCP servers were asked."""
        return bool(self._hosted.mcp_servers)

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
            self.server[kind] = server_tool(tool, kind)
            return Function(name=kind, description=given.description, parameters=given.schema)
        self._notes.add(Action.DROPPED, f"tools.{tool.type}", path)
        self._left_out.add(tool.name or "")
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
            if sent in self._defined:
                raise Refusal("Tool names must be unique.", path="tools")
            self._defined[sent] = Function(
                name=sent,
                description=each.description or None,
                parameters=repair(each.schema, path).schema,
            )
            self.server[sent] = ServerTool(kind="mcp", name=each.name, server=server)
            if deferred:
                self._deferred.add(sent)
            else:
                self._load(sent)

    def hidden(self) -> list[tuple[str, Function]]:
        """The tools that a search may find: those that wait for a reference."""
        return [(name, each) for name, each in self._defined.items() if name in self._deferred]

    def hosted_name(self, block: ServerToolUseBlock | McpToolUseBlock) -> str | None:
        """The upstream's name for a past call of a tool that this server still runs."""
        server = block.server_name if isinstance(block, McpToolUseBlock) else ""
        for sent, tool in self.server.items():
            if (tool.name, tool.server) == (block.name, server):
                return sent
        return None

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
        if strict is not None and not self._dialect.strict_tools:
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

    def _load(self, name: str) -> None:
        function = self._defined[name]
        self.functions.append(FunctionTool(function))
        self.callable.add(function.name)

    def refer(self, name: str, path: str) -> str | None:
        """The conversation refers to tool ``name`` here. Returns the line that shows it to the
        model in this place, or ``None`` when there is nothing to show here.
        """
        function = self._defined.get(name)
        if function is None:
            self._notes.once(Action.DROPPED, "tool_reference", path)
            return None
        if self._updates_in_place:
            return self._shown(function)
        if name in self._deferred:
            self._deferred.remove(name)
            self._load(name)
        return None

    def _shown(self, function: Function) -> str | None:
        """The definition, at every reference as DeepSeek shows it; repeats come to an end, lest a
        small request grow to a huge prompt.
        """
        line = _schema_line(
            function.name, function.description or "", bytes(function.parameters or b"{}")
        )
        if function.name in self._updated:
            self._repeated_chars += len(line)
            if self._repeated_chars > MAX_REPEATED_SCHEMA_CHARS:
                return None
        self._updated.add(function.name)
        self.callable.add(function.name)
        return line

    def name(self, name: str) -> str:
        """The upstream's name for a tool that the history calls."""
        sent = upstream_name(name)
        if sent != name:
            self.back.setdefault(sent, name)
        return sent

    def choose(self, choice: ToolChoice | None) -> Choosing:
        """The upstream's form of ``tool_choice``. Call it after ``define``.

        Raises ``Refusal`` for a tool that is not there.
        """
        if choice is None or choice.type in {"auto", "none"}:
            return Choosing()
        if choice.type == "tool":
            return self._choose_named(choice.name or "")
        if not self.functions:
            self._notes.add(Action.IGNORED, "tool_choice", "tool_choice")
            return Choosing()
        only = self.functions[0].function.name if len(self.functions) == 1 else None
        return Choosing("required", only, must_call=True)

    def _choose_named(self, name: str) -> Choosing:
        if name in self._deferred:
            self._deferred.remove(name)
            self._load(name)
        function = self._defined.get(name)
        if function is not None:
            return Choosing(self._named(function), function.name, must_call=True)
        if name in self._left_out:
            self._notes.add(Action.DROPPED, "tool_choice", "tool_choice")
            return Choosing()
        raise Refusal(f"Tool '{name}' not found in provided tools", path="tool_choice.name")

    def _named(self, function: Function) -> Literal["required"] | NamedToolChoice:
        """Where the upstream takes no name, the named tool is the only one it is told of."""
        if self._dialect.takes_named_tool:
            return NamedToolChoice(FunctionName(function.name))
        self._notes.add(Action.EMULATED, "tool_choice", "tool_choice")
        self.functions = [FunctionTool(function)]
        self.callable = {function.name}
        return "required"

    def forget(self) -> None:
        """``tool_choice: none``: DeepSeek leaves the definitions out of the prompt, so do we."""
        self.functions = []
        self.callable = set()
        self._updates_in_place = False
        self._deferred = set()


@lru_cache(1024)
def _schema_line(name: str, description: str, parameters: bytes) -> str:
    """A definition in the JSON form of DeepSeek's prompts (deepseek-recipe: Python's spacing)."""
    function = {"name": name, "description": description, "parameters": json.loads(parameters)}
    return json.dumps(function, ensure_ascii=False)


def arguments_of(tool_input: Raw) -> str:
    """The arguments text of a replayed call: the client's own JSON, byte for byte."""
    return bytes(tool_input).decode("utf-8")
