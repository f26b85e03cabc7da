"""Context management: old tool results and old reasoning left out of the prompt.

Source: the types of Anthropic's SDK (anthropic 2.12, ``beta_context_management_config_param`` and
what it names); the defaults are those of Anthropic's guide "Context editing". What is cleared is
said in the answer's ``context_management.applied_edits``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct

from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.wire.content import (
    ContentSource,
    DocumentBlock,
    ImageBlock,
    PlainTextSource,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolResultContent,
    ToolUseBlock,
    UnknownBlock,
)
from deepseek_messages.wire.messages import (
    AppliedEdit,
    ClearedThinking,
    ClearedToolUses,
    InputMessage,
    MessagesRequest,
)

# What stands in place of a result that was cleared.
CLEARED = "[this old tool result was cleared]"

DEFAULT_TRIGGER_TOKENS = 100_000
DEFAULT_KEEP_TOOL_USES = 3
DEFAULT_KEEP_THINKING_TURNS = 1
DEFAULT_COMPACT_TOKENS = 150_000

# What an image is taken for, in tokens: the most it can be (``prompt.images``).
IMAGE_TOKENS = 1024


class Amount(Struct, frozen=True):
    """A number of something (``trigger``, ``keep``, ``clear_at_least``)."""

    value: int
    type: Literal["input_tokens", "tool_uses"] = "input_tokens"


class Edit(Struct, frozen=True, tag_field="type"):
    """Base of the entries of ``context_management.edits``."""


class ClearToolUses(Edit, tag="clear_tool_uses_20250919", frozen=True):
    trigger: Amount | None = None
    keep: Amount | None = None
    clear_at_least: Amount | None = None
    exclude_tools: list[str] | None = None
    clear_tool_inputs: bool | list[str] | None = None


class ThinkingTurns(Struct, frozen=True):
    type: Literal["thinking_turns", "all"]
    value: int = DEFAULT_KEEP_THINKING_TURNS


class ClearThinking(Edit, tag="clear_thinking_20251015", frozen=True):
    keep: ThinkingTurns | Literal["all"] | None = None


class Compact(Edit, tag="compact_20260112", frozen=True):
    trigger: Amount | None = None
    instructions: str | None = None
    pause_after_compaction: bool = False


AnyEdit = ClearToolUses | ClearThinking | Compact


class Edits(Struct, frozen=True, kw_only=True):
    """What of a request is left out, and what the client is told of it. ``applied`` is ``None``
    when it asked for no context management. ``compact`` asks for a summary, instead of an answer
    or before it, of a prompt of so many ``tokens``.
    """

    results: frozenset[str] = frozenset()  # ids of tool uses whose results are cleared
    inputs: frozenset[str] = frozenset()  # ids of tool uses whose inputs are cleared
    thinking: frozenset[int] = frozenset()  # messages whose thinking is cleared
    applied: tuple[AppliedEdit, ...] | None = None
    compact: Compact | None = None
    tokens: int = 0


NO_EDITS = Edits()


class _Config(Struct):
    edits: list[Raw] | None = None


_config = msgspec.json.Decoder(_Config | None)
_edit = msgspec.json.Decoder(AnyEdit)


def read_edits(request: MessagesRequest, notes: Notes) -> list[AnyEdit] | None:
    """The edits that ``request`` asks for; ``None`` if it asks for none. Kinds that are not known
    here are ignored with a note.
    """
    if request.context_management is UNSET:
        return None
    try:
        config = _config.decode(request.context_management)
    except msgspec.ValidationError:
        notes.add(Action.IGNORED, "context_management", "context_management")
        return None
    if config is None:
        return None
    edits: list[AnyEdit] = []
    for index, raw in enumerate(config.edits or ()):
        try:
            edits.append(_edit.decode(raw))
        except msgspec.ValidationError:
            path = f"context_management.edits.{index}"
            notes.add(Action.IGNORED, "context_management.edit", path)
    return edits


def needs_count(edits: Sequence[AnyEdit], request: MessagesRequest) -> bool:
    """Whether the size of the prompt of ``request`` decides."""
    return any(_needs_count(edit, request) for edit in edits)


def _needs_count(edit: AnyEdit, request: MessagesRequest) -> bool:
    match edit:
        case ClearToolUses():
            sized = edit.trigger is None or edit.trigger.type == "input_tokens"
            return sized and bool(_old_uses(edit, _answered_uses(request.messages)))
        case ClearThinking():
            return False
        case Compact():
            return True
        case _:
            assert_never(edit)


def plan_edits(
    request: MessagesRequest,
    edits: Sequence[AnyEdit],
    input_tokens: int,
    count: Callable[[str], int],
    notes: Notes,
) -> Edits:
    """What ``edits`` come to for a request whose prompt has ``input_tokens``. ``count`` gives the
    tokens of a text.
    """
    planned = Edits(applied=())
    for edit in edits:
        match edit:
            case ClearToolUses():
                planned = _clear_tool_uses(planned, edit, request, input_tokens, count)
            case ClearThinking():
                planned = _clear_thinking(planned, edit, request, count)
            case Compact():
                trigger = edit.trigger.value if edit.trigger else DEFAULT_COMPACT_TOKENS
                if input_tokens < trigger or request.max_tokens == 0:  # 0: only fill the cache
                    continue
                planned = msgspec.structs.replace(planned, compact=edit, tokens=input_tokens)
            case _:
                assert_never(edit)
    if planned.applied:
        notes.add(Action.EMULATED, "context_management", "context_management")
    return planned


# --- tool uses ------------------------------------------------------------------------------------


def _clear_tool_uses(
    planned: Edits,
    edit: ClearToolUses,
    request: MessagesRequest,
    input_tokens: int,
    count: Callable[[str], int],
) -> Edits:
    uses = _answered_uses(request.messages)
    if not _is_due(edit.trigger, input_tokens, len(uses)):
        return planned
    results = dict(_results(request.messages))
    old = _old_uses(edit, uses)
    inputs = [use for use in old if _clears_input(edit, use.name)]
    tokens = sum(_tokens(results[use.id], count) for use in old)
    tokens += sum(count(bytes(use.input).decode()) for use in inputs)
    tokens = max(tokens - len(old) * count(CLEARED), 0)
    if not old or tokens < (edit.clear_at_least.value if edit.clear_at_least else 0):
        return planned
    applied = ClearedToolUses(cleared_tool_uses=len(old), cleared_input_tokens=tokens)
    return msgspec.structs.replace(
        planned,
        results=planned.results | {use.id for use in old},
        inputs=planned.inputs | {use.id for use in inputs},
        applied=(*(planned.applied or ()), applied),
    )


def _is_due(trigger: Amount | None, input_tokens: int, uses: int) -> bool:
    if trigger is None:
        return input_tokens >= DEFAULT_TRIGGER_TOKENS
    return (input_tokens if trigger.type == "input_tokens" else uses) >= trigger.value


def _answered_uses(messages: Sequence[InputMessage]) -> list[ToolUseBlock]:
    """The calls that have a result, in order."""
    results = {tool_use_id for tool_use_id, _ in _results(messages)}
    return [use for use in _uses(messages) if use.id in results]


def _old_uses(edit: ClearToolUses, uses: list[ToolUseBlock]) -> list[ToolUseBlock]:
    """Those of ``uses`` that are to be cleared once it is time."""
    keep = edit.keep.value if edit.keep else DEFAULT_KEEP_TOOL_USES
    excluded = frozenset(edit.exclude_tools or ())
    return [use for use in uses[: max(len(uses) - keep, 0)] if use.name not in excluded]


def _clears_input(edit: ClearToolUses, name: str) -> bool:
    if isinstance(edit.clear_tool_inputs, list):
        return name in edit.clear_tool_inputs
    return bool(edit.clear_tool_inputs)


def _blocks(messages: Sequence[InputMessage], role: str) -> Iterator[object]:
    for message in messages:
        if message.role == role and message.content and not isinstance(message.content, str):
            yield from message.content


def _uses(messages: Sequence[InputMessage]) -> Iterator[ToolUseBlock]:
    for block in _blocks(messages, "assistant"):
        if isinstance(block, ToolUseBlock):
            yield block


def _results(messages: Sequence[InputMessage]) -> Iterator[tuple[str, ToolResultBlock]]:
    for block in _blocks(messages, "user"):
        if isinstance(block, ToolResultBlock):
            yield block.tool_use_id, block


def _tokens(block: ToolResultBlock, count: Callable[[str], int]) -> int:
    if isinstance(block.content, str):
        return count(block.content)
    return sum(_content_tokens(item, count) for item in block.content or ())


def _content_tokens(
    item: ToolResultContent | ImageBlock | TextBlock, count: Callable[[str], int]
) -> int:
    match item:
        case TextBlock(text=text):
            return count(text)
        case ImageBlock():
            return IMAGE_TOKENS
        case SearchResultBlock(content=content):
            return sum(count(each.text) for each in content)
        case DocumentBlock():
            return _document_tokens(item, count)
        case ToolReferenceBlock() | UnknownBlock():
            return 0
        case _:
            assert_never(item)


def _document_tokens(block: DocumentBlock, count: Callable[[str], int]) -> int:
    match block.source:
        case PlainTextSource(data=text) | ContentSource(content=str(text)):
            return count(text)
        case ContentSource(content=list(content)):
            return sum(_content_tokens(each, count) for each in content)
        case _:
            return 0  # a short note stands for it


# --- thinking -------------------------------------------------------------------------------------


def _clear_thinking(
    planned: Edits, edit: ClearThinking, request: MessagesRequest, count: Callable[[str], int]
) -> Edits:
    keep = edit.keep or ThinkingTurns("thinking_turns")
    if isinstance(keep, str) or keep.type == "all":
        return planned
    turns = [turn for turn in _turns(request.messages) if turn]
    old = turns[: max(len(turns) - keep.value, 0)]
    if not old:
        return planned
    cleared = frozenset(index for turn in old for index in turn)
    tokens = sum(count(text) for index in cleared for text in _thoughts(request.messages[index]))
    applied = ClearedThinking(cleared_thinking_turns=len(old), cleared_input_tokens=tokens)
    return msgspec.structs.replace(
        planned,
        thinking=planned.thinking | cleared,
        applied=(*(planned.applied or ()), applied),
    )


def _turns(messages: Sequence[InputMessage]) -> list[list[int]]:
    """For each turn of the assistant, the messages that think. A turn goes on through the results
    of its tools.
    """
    turns: list[list[int]] = [[]]
    for index, message in enumerate(messages):
        if message.role == "assistant":
            if any(True for _ in _thoughts(message)):
                turns[-1].append(index)
        elif message.role != "system" and not _is_result(message):
            turns.append([])
    return turns


def _is_result(message: InputMessage) -> bool:
    return isinstance(message.content, list) and any(
        isinstance(block, ToolResultBlock) for block in message.content
    )


def _thoughts(message: InputMessage) -> Iterator[str]:
    if isinstance(message.content, list):
        for block in message.content:
            if isinstance(block, ThinkingBlock):
                yield block.thinking
