"""The messages of a request as chat messages, in one pass.

An answer becomes one message with its text, reasoning and calls; what stands between two answers
is a ``Turn``. A summary stands for everything before it, and an answer that cites is one text with
the marks it had.
"""

from collections.abc import Iterator

from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation import thinking
from deepseek_messages.translation.blocks import At, Context, parts_of, text_of
from deepseek_messages.translation.citations import mark
from deepseek_messages.translation.compaction import HEAD, summarised
from deepseek_messages.translation.hosted import Piece, pieces
from deepseek_messages.translation.notes import Action
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.results import PendingCall, Turn
from deepseek_messages.translation.sources import read_citations
from deepseek_messages.translation.system import (
    JOINT,
)
from deepseek_messages.translation.tool_names import upstream_id
from deepseek_messages.translation.tools import arguments_of
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ContentPart,
    FunctionCall,
    SystemMessage,
    TextPart,
    ToolCall,
    UserMessage,
)
from deepseek_messages.wire.messages import (
    CompactionBlock,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)

_NOTHING = frozenset({b"null", b"[]", b"{}"})


def conversation(request: MessagesRequest, context: Context, system: str) -> list[ChatMessage]:
    """All messages, in one pass."""
    messages: list[ChatMessage] = [SystemMessage(content=system)] if system else []
    turn = Turn(context, ())
    for index, message in _after_summary(request.messages):
        if message.role == "assistant":
            messages += turn.close()
            calls: list[PendingCall] = []
            for piece in pieces(message, context):
                answer, calls = _answer(piece, index, context)
                if answer is not None:
                    messages.append(answer)
                messages += piece.results
            turn = Turn(context, calls)
        elif message.role == "system":
            turn.system(message, index)
        else:
            turn.user(message, index)
    messages += turn.close()
    if context.place == "before_turn":
        _join_leading_system(messages)
    return messages or [UserMessage(content="")]


def _after_summary(messages: list[InputMessage]) -> Iterator[tuple[int, InputMessage]]:
    """The messages with their places. A summary stands, as words of the user, for all before it."""
    found = summarised(messages)
    if found is None:
        yield from enumerate(messages)
        return
    index, position = found
    content = messages[index].content
    assert isinstance(content, list)
    summary = content[position]
    assert isinstance(summary, CompactionBlock)
    yield index, InputMessage(role="user", content=HEAD + (summary.content or ""))
    if rest := content[position + 1 :]:
        yield index, replace(messages[index], content=rest)
    yield from enumerate(messages[index + 1 :], index + 1)


def _join_leading_system(messages: list[ChatMessage]) -> None:
    """Templates that we do not know may take one system message only, so those at the head
    become one.
    """
    while (
        len(messages) > 1
        and isinstance(first := messages[0], SystemMessage)
        and isinstance(second := messages[1], SystemMessage)
    ):
        messages[:2] = [SystemMessage(content=f"{first.content}{JOINT}{second.content}")]


def _answer(
    piece: Piece, index: int, context: Context
) -> tuple[AssistantMessage | None, list[PendingCall]]:
    """An earlier answer: text, reasoning and calls in one message, and the calls that wait."""
    message = piece.message
    if isinstance(message.content, str):
        return _assistant(message.content, None, [], index, context), []
    if not message.content and not piece.calls:
        return None, []
    texts: list[ContentPart] = []
    reasoning: list[str] = []
    calls: dict[str, ToolCall] = {}
    pending: list[PendingCall] = []
    # An answer that cites is one text, cut into blocks where the citations are.
    content = message.content or []
    citing = any(isinstance(block, TextBlock) and _cites(block) for block in content)
    cited = ""
    for position, block in enumerate(content, piece.start):
        match block:
            case ThinkingBlock() if index in context.edits.thinking:
                continue
            case ThinkingBlock():
                reasoning.append(thinking.reasoning_of(block, context.seal))
            case ToolUseBlock():
                at = At(index, position)
                if block.id in calls:
                    _repeated_call(block, at, context)
                    continue
                sent_id = upstream_id(block.id)
                name = context.tools.name(block.name)
                cleared = block.id in context.edits.inputs
                function = FunctionCall(name, "{}" if cleared else arguments_of(block.input))
                calls[block.id] = ToolCall(sent_id, function)
                pending.append(PendingCall(block.id, sent_id, block.name, at))
                context.call_ids.add(block.id)
            case RedactedThinkingBlock():
                context.notes.once(Action.IGNORED, "redacted_thinking", str(At(index, position)))
            case TextBlock() if citing:
                cited += block.text + _marks(block, context)
            case _:
                texts.extend(parts_of(block, At(index, position), context))
    if cited:
        texts.append(TextPart(cited))
    while len(texts) > 1 and texts[0] == _NO_TEXT:  # as DeepSeek's conversion joins an answer
        del texts[0]
    text = text_of(texts) if texts else None
    thought = JOINT.join(reasoning) if reasoning else None
    return _assistant(text, thought, [*piece.calls, *calls.values()], index, context), pending


_NO_TEXT = TextPart("")


def _cites(block: TextBlock) -> bool:
    return block.citations is not UNSET and bytes(block.citations).strip() not in _NOTHING


def _marks(block: TextBlock, context: Context) -> str:
    """The marks that a cited statement had when the model wrote it."""
    if not _cites(block):
        return ""
    found = read_citations(block.citations) if isinstance(block.citations, Raw) else []
    return mark([number for each in found for number in context.citable.numbers(each)])


def _repeated_call(block: ToolUseBlock, at: At, context: Context) -> None:
    if context.notes.strict:
        raise Refusal("`tool_use` ids must be unique", path=str(at))
    context.notes.add(Action.REPAIRED, "tool_use.duplicate", str(at))


def _assistant(
    text: str | None, thought: str | None, calls: list[ToolCall], index: int, context: Context
) -> AssistantMessage:
    """DeepSeek refuses a message with neither content nor calls, so empty text stands there."""
    dialect = context.dialect
    if thought is None and context.fills_reasoning and (calls or context.tools.functions):
        # DeepSeek demands the field, not what it says; its own converter fills in an empty text.
        context.notes.once(Action.REPAIRED, "thinking", f"messages.{index}")
        thought = ""
    if thought and dialect.replays_reasoning is None:
        context.notes.once(Action.IGNORED, "thinking", f"messages.{index}")
    return AssistantMessage(
        content=text if text is not None else (None if calls else ""),
        reasoning_content=thought if dialect.replays_reasoning == "reasoning_content" else None,
        reasoning=thought if dialect.replays_reasoning == "reasoning" else None,
        tool_calls=calls or None,
    )
