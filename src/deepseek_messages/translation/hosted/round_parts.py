"""The parts of an answer over several calls: values and the functions on them."""

import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from deepseek_messages.translation.citing.citations import mark
from deepseek_messages.translation.citing.sources import Library, read_citations
from deepseek_messages.translation.hosted.result_text import (
    Reading,
    readable,
    references,
    with_definitions,
)
from deepseek_messages.translation.hosted.server_tools import Outcome, ServerTool
from deepseek_messages.translation.request.system import schema_instruction
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.chat import ChatChunk, ChatMessage, UserMessage
from deepseek_messages.wire.events import McpToolUseStart, ServerToolUseStart, ToolUseStart
from deepseek_messages.wire.messages import Iteration, OutputTokensDetails, ServerToolUsage, Usage


class PendingTool(Struct, frozen=True):
    """A call of a tool of this server."""

    id: str  # as the client sees it
    tool: ServerTool
    arguments: dict[str, Any]


class MadeCall(Struct):
    """A call that the model made in this round."""

    id: str
    name: str  # as sent upstream
    tool: ServerTool | None
    arguments: str = ""


def tool_text(tool: ServerTool, outcome: Outcome, book: ToolBook, reading: Reading) -> str:
    """What the model reads of a result, in the answer itself and in later turns."""
    content = outcome.content if outcome.read is None else outcome.read
    text = readable(tool.kind, content, reading, is_error=outcome.is_error)
    if not tool.kind.startswith("tool_search"):
        return text
    found = references(msgspec.json.decode(outcome.content))
    lines = [line for name in found if (line := book.refer(name, "tools")) is not None]
    return with_definitions(text, lines)


def marks_of(citation: Raw, library: Library) -> str:
    """The marks that a citation had when the model wrote it."""
    found = read_citations([citation])
    return mark([number for each in found for number in library.numbers(each)])


def total(spent: Sequence[Usage], uses: dict[str, int]) -> Usage:
    """The sum of the usage of several calls, and how often server tools ran."""
    thinking = [
        each.output_tokens_details.thinking_tokens
        for each in spent
        if isinstance(each.output_tokens_details, OutputTokensDetails)
    ]
    searches, fetches = uses.get("web_search", 0), uses.get("web_fetch", 0)
    return Usage(
        input_tokens=sum(each.input_tokens for each in spent),
        cache_creation_input_tokens=sum(each.cache_creation_input_tokens for each in spent),
        cache_read_input_tokens=sum(each.cache_read_input_tokens for each in spent),
        output_tokens=sum(each.output_tokens for each in spent),
        output_tokens_details=OutputTokensDetails(sum(thinking)) if thinking else UNSET,
        server_tool_use=ServerToolUsage(searches, fetches) if searches or fetches else UNSET,
    )


def iteration(kind: Literal["message", "compaction"], usage: Usage) -> Iteration:
    """One call's part of ``usage.iterations``."""
    return Iteration(
        type=kind,
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        output_tokens=usage.output_tokens,
    )


def server_id(call_id: str, tool: ServerTool | None) -> str:
    """Ids of server tools are told by their beginning (Anthropic: ``srvtoolu_``, ``mcptoolu_``)."""
    if tool is None:
        return call_id
    head = "mcptoolu_" if tool.kind == "mcp" else "srvtoolu_"
    return head + call_id.removeprefix("toolu_").removeprefix("call_")[:50]


def server_start(start: ToolUseStart, tool: ServerTool) -> ServerToolUseStart | McpToolUseStart:
    call_id = server_id(start.id, tool)
    if tool.kind == "mcp":
        return McpToolUseStart(id=call_id, name=tool.name, server_name=tool.server)
    return ServerToolUseStart(id=call_id, name=tool.name)


def pending_tool(call: MadeCall) -> PendingTool:
    assert call.tool is not None
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = {}
    return PendingTool(call.id, call.tool, arguments if isinstance(arguments, dict) else {})


def with_said(messages: Sequence[ChatMessage], text: str) -> list[ChatMessage]:
    """``messages`` with ``text`` at the end of the user's turn."""
    last = messages[-1]
    if isinstance(last, UserMessage) and isinstance(last.content, str):
        return [*messages[:-1], UserMessage(content=f"{last.content}\n\n{text}")]
    return [*messages, UserMessage(content=text)]


def call_request(schema: Raw) -> str:
    return f"Call a tool now. Write the call as JSON.\n{schema_instruction(schema)}"


def read_call(text: str) -> tuple[str, str]:
    """Name and arguments out of JSON; nothing out of anything else."""
    try:
        value = json.loads(text)
        return str(value["name"]), json.dumps(value["arguments"], ensure_ascii=False)
    except (ValueError, TypeError, KeyError):
        return "", ""


def text_of_chunk(chunk: ChatChunk) -> str:
    return "".join(
        choice.delta.content or "" for choice in chunk.choices or () if choice.delta is not None
    )
