"""Earlier answers in which this server ran tools: back to the calls and results they were.

The client sends such an answer back as one message. The model wrote it in several turns, with
results between them; shown to it like that, the prompt goes on from where the answer ended.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.translation.hosted.result_text import Reading
from deepseek_messages.translation.hosted.round_parts import tool_text
from deepseek_messages.translation.hosted.server_tools import Outcome, ServerTool
from deepseek_messages.translation.tools.names import upstream_id
from deepseek_messages.translation.tools.tools import arguments_of
from deepseek_messages.wire.chat import FunctionCall, ToolCall, ToolMessage
from deepseek_messages.wire.content import (
    CompactionBlock,
    ContentBlock,
    McpToolResultBlock,
    McpToolUseBlock,
    ServerToolUseBlock,
    ToolSearchToolResultBlock,
    WebFetchToolResultBlock,
    WebSearchToolResultBlock,
)
from deepseek_messages.wire.messages import InputMessage

if TYPE_CHECKING:
    from deepseek_messages.translation.request.blocks import Context

# A block that says nothing, in place of one that is told elsewhere: the places of others stay.
NOTHING = CompactionBlock(content=None)

HostedCall = ServerToolUseBlock | McpToolUseBlock
HostedResult = (
    WebSearchToolResultBlock
    | WebFetchToolResultBlock
    | ToolSearchToolResultBlock
    | McpToolResultBlock
)


class Piece(Struct, frozen=True, kw_only=True):
    """A part of an answer, from block ``start`` on, with the calls at its end and their results."""

    message: InputMessage
    start: int = 0
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolMessage, ...] = ()


def pieces(message: InputMessage, index: int, context: "Context") -> list[Piece]:
    """The turns in which the model wrote ``message``, number ``index``: one, unless tools ran here
    in between. Raises ``Refusal`` for a call that is nested too deeply.
    """
    book = context.tools
    if not book.server or message.content is None or isinstance(message.content, str):
        return [Piece(message=message)]
    names = {
        block.id: name
        for block in message.content
        if isinstance(block, HostedCall) and (name := book.hosted_name(block)) is not None
    }
    found = {
        block.tool_use_id: block
        for block in message.content
        if isinstance(block, HostedResult) and block.tool_use_id in names
    }
    if not found:
        return [Piece(message=message)]
    return [
        _piece(
            Piece(message=replace(message, content=blocks), start=start),
            index,
            names,
            found,
            context,
        )
        for start, blocks in _cut(message.content, found)
    ]


def _cut(
    content: Sequence[ContentBlock], found: dict[str, HostedResult]
) -> list[tuple[int, list[ContentBlock]]]:
    """A part ends behind its last result."""
    parts: list[tuple[int, list[ContentBlock]]] = [(0, [])]
    ended = False
    for position, block in enumerate(content):
        is_result = isinstance(block, HostedResult) and block.tool_use_id in found
        if ended and not is_result:
            parts.append((position, []))
        ended = is_result
        parts[-1][1].append(block)
    return parts


def _piece(
    part: Piece,
    index: int,
    names: dict[str, str],
    found: dict[str, HostedResult],
    context: "Context",
) -> Piece:
    """``part`` with its calls and their results apart; blocks that say nothing stand for them, so
    that the others keep their places.
    """
    calls: list[ToolCall] = []
    results: list[ToolMessage] = []
    rest: list[ContentBlock] = []
    for position, block in enumerate(part.message.content or (), part.start):
        assert not isinstance(block, str)
        if isinstance(block, HostedCall) and block.id in found:
            name = names[block.id]
            call_id = upstream_id(block.id)
            arguments = arguments_of(block.input, index, position)
            calls.append(ToolCall(call_id, FunctionCall(name, arguments)))
            tool = context.tools.server[name]
            text = _text(tool, found[block.id], context)
            results.append(ToolMessage(tool_call_id=call_id, content=text))
            rest.append(NOTHING)
        elif isinstance(block, HostedResult) and block.tool_use_id in found:
            rest.append(NOTHING)
        else:
            rest.append(block)
    return replace(
        part,
        message=replace(part.message, content=rest),
        calls=tuple(calls),
        results=tuple(results),
    )


def _text(tool: ServerTool, block: HostedResult, context: "Context") -> str:
    is_error = isinstance(block, McpToolResultBlock) and bool(block.is_error)
    reading = Reading(call_id=block.tool_use_id, seal=context.seal, citable=context.citable)
    return tool_text(tool, Outcome(block.content, is_error), context.tools, reading)
