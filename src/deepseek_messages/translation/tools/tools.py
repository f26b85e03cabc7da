"""The tools of a request, as the conversation goes on: references, the choice, the way back."""

import json
from functools import lru_cache
from typing import Literal

from msgspec import Raw, Struct

from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted, ServerTool
from deepseek_messages.translation.limits import MAX_JSON_DEPTH, MAX_REPEATED_SCHEMA_CHARS
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.structure import deeper_than
from deepseek_messages.translation.tools.names import upstream_name
from deepseek_messages.translation.tools.offer import NO_TOOLS, offer_of
from deepseek_messages.wire.chat import Function, FunctionName, FunctionTool, NamedToolChoice
from deepseek_messages.wire.content import McpToolUseBlock, ServerToolUseBlock
from deepseek_messages.wire.tools import Tool, ToolChoice


class Choosing(Struct, frozen=True):
    """How the model must choose among the tools, on the upstream's side."""

    tool_choice: Literal["required"] | NamedToolChoice | None = None
    forced_tool: str | None = None
    must_call: bool = False


FREE = Choosing()


class ToolBook(Struct, eq=False):
    """The tools of one request. ``functions`` are those in the head of the prompt; deferred ones
    wait until the conversation refers to them (``defer_loading``, Anthropic's tool search).

    With ``updates_in_place`` a referenced tool is shown to the model where the reference stands,
    as DeepSeek's V4.1 encoding does; otherwise it joins the head, behind the others, in the
    order of first reference.
    """

    dialect: Dialect
    notes: Notes
    updates_in_place: bool
    hosted: Hosted = NOTHING_HOSTED
    functions: list[FunctionTool] = []
    callable: set[str] = set()  # names sent upstream that the model may call
    server: dict[str, ServerTool] = {}  # the tools that this server runs
    back: dict[str, str] = {}  # name sent upstream -> the client's
    _called: dict[str, str] = {}  # by the history: the client's name -> as sent upstream
    _defined: dict[str, Function] = {}
    _deferred: set[str] = set()
    _left_out: set[str] = set()
    _updated: set[str] = set()
    _repeated_chars: int = 0

    def define(self, tools: list[Tool]) -> None:
        """Take the request's tools. Raises ``Refusal`` for two of one name or a bad schema."""
        offer = offer_of(tools, self.dialect, self.hosted, self.notes)
        if offer is NO_TOOLS:
            return
        self.functions = list(offer.functions)
        self.callable = {each.function.name for each in offer.functions}
        self.server = dict(offer.server)
        self.back = dict(offer.back)
        self._defined = offer.defined
        self._deferred = set(offer.deferred)
        self._left_out = offer.left_out

    @property
    def runs_mcp(self) -> bool:
        """Whether the request's MCP servers were asked."""
        return bool(self.hosted.mcp_servers)

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
            self.notes.once(Action.DROPPED, "tool_reference", path)
            return None
        if self.updates_in_place:
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
        sent = self._called.get(name)
        if sent is None:
            self._called[name] = sent = upstream_name(name)
            if sent != name:
                self.back.setdefault(sent, name)
        return sent

    def choose(self, choice: ToolChoice | None) -> Choosing:
        """The upstream's form of ``tool_choice``. Call it after ``define``.

        Raises ``Refusal`` for a tool that is not there.
        """
        if choice is None or choice.type in {"auto", "none"}:
            return FREE
        if choice.type == "tool":
            return self._choose_named(choice.name or "")
        if not self.functions:
            self.notes.add(Action.IGNORED, "tool_choice", "tool_choice")
            return FREE
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
            self.notes.add(Action.DROPPED, "tool_choice", "tool_choice")
            return FREE
        raise Refusal(f"Tool '{name}' not found in provided tools", path="tool_choice.name")

    def _named(self, function: Function) -> Literal["required"] | NamedToolChoice:
        """Where the upstream takes no name, the named tool is the only one it is told of."""
        if self.dialect.takes_named_tool:
            return NamedToolChoice(FunctionName(function.name))
        self.notes.add(Action.EMULATED, "tool_choice", "tool_choice")
        self.functions = [FunctionTool(function)]
        self.callable = {function.name}
        return "required"

    def forget(self) -> None:
        """``tool_choice: none``: DeepSeek leaves the definitions out of the prompt, so do we."""
        self.functions = []
        self.callable = set()
        self.updates_in_place = False
        self._deferred = set()


@lru_cache(1024)
def _schema_line(name: str, description: str, parameters: bytes) -> str:
    """A definition in the JSON form of DeepSeek's prompts (deepseek-recipe: Python's spacing)."""
    function = {"name": name, "description": description, "parameters": json.loads(parameters)}
    return json.dumps(function, ensure_ascii=False)


def arguments_of(tool_input: Raw, index: int, position: int) -> str:
    """The arguments text of a replayed call: the client's own JSON, byte for byte. Raises
    ``Refusal`` (400) that names the block at ``position`` of message ``index`` if it is nested too
    deeply.
    """
    text = str(tool_input, "utf-8")
    if (
        len(text) > MAX_JSON_DEPTH  # so that few are looked at
        and text.count("{") + text.count("[") > MAX_JSON_DEPTH
        and deeper_than(MAX_JSON_DEPTH, tool_input)
    ):
        raise Refusal(
            f"nested more than {MAX_JSON_DEPTH} levels deep",
            path=f"messages.{index}.content.{position}.input",
        )
    return text
