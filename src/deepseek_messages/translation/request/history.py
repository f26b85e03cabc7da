"""The messages of a request as chat messages, in one pass.

An answer becomes one message with its text, reasoning and calls; what stands between two answers
is a ``Turn``. A summary stands for everything before it, and an answer that cites is one text with
the marks it had.
"""

from collections.abc import Sequence

from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation.citing.citations import mark
from deepseek_messages.translation.citing.sources import read_citations
from deepseek_messages.translation.hosted.hosted import NOTHING, Piece, pieces
from deepseek_messages.translation.notes import Action
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import thinking
from deepseek_messages.translation.request.blocks import At, Context, parts_of
from deepseek_messages.translation.request.compaction import HEAD, summarised
from deepseek_messages.translation.request.results import PendingCall, Turn, plain_turn, with_system
from deepseek_messages.translation.request.system import JOINT
from deepseek_messages.translation.tools.names import upstream_id
from deepseek_messages.translation.tools.tools import arguments_of
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
from deepseek_messages.wire.content import (
    CompactionBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from deepseek_messages.wire.messages import InputMessage, MessagesRequest

_NOTHING = frozenset({b"null", b"[]", b"{}"})


def conversation(request: MessagesRequest, context: Context, system: str) -> list[ChatMessage]:
    """All messages, in one pass."""
    messages: list[ChatMessage] = [SystemMessage(system)] if system else []
    given, places = _after_summary(request.messages)
    plain = _may_be_plain(context)
    calls: list[PendingCall] = []  # of the last answer
    at, count = 0, len(given)
    while at < count:
        begin, message = at, given[at]
        at += 1
        if message.role == "assistant":
            if calls:  # another answer, and no word of the user between them
                messages += Turn(context, calls).close()
            place = places[begin]
            waiting = _plain_answer(message, place, context, messages) if plain else None
            calls = _answer(message, place, context, messages) if waiting is None else waiting
            continue
        while at < count and given[at].role != "assistant":
            at += 1
        told = plain_turn(message, calls, context) if plain else None
        if told is not None and at > begin + 1:
            told = with_system(told, given[begin + 1 : at], context)
        messages += told or _turn(given[begin:at], places[begin:at], calls, context)
        calls = []
    if calls:
        messages += Turn(context, calls).close()
    if context.place == "before_turn":
        _join_leading_system(messages)
    return messages or [UserMessage("")]


def _after_summary(messages: list[InputMessage]) -> tuple[Sequence[InputMessage], Sequence[int]]:
    """The messages and their places. A summary stands, as words of the user, for all before it."""
    found = summarised(messages)
    if found is None:
        return messages, range(len(messages))
    index, position = found
    content = messages[index].content
    assert isinstance(content, list)
    summary = content[position]
    assert isinstance(summary, CompactionBlock)
    head = [InputMessage(role="user", content=HEAD + (summary.content or ""))]
    if rest := content[position + 1 :]:
        kept = [*[NOTHING] * (position + 1), *rest]
        head.append(replace(messages[index], content=kept))
    after = range(index + 1, len(messages))
    return head + messages[index + 1 :], [*[index] * len(head), *after]


def _turn(
    messages: Sequence[InputMessage],
    places: Sequence[int],
    calls: Sequence[PendingCall],
    context: Context,
) -> list[ChatMessage]:
    turn = Turn(context, calls)
    for message, index in zip(messages, places, strict=True):
        if message.role == "system":
            turn.system(message, index)
        else:
            turn.user(message, index)
    return turn.close()


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


# --- answers --------------------------------------------------------------------------------------


def _may_be_plain(context: Context) -> bool:
    """Nothing was cleared, and no tool runs here."""
    edits = context.edits
    return not (edits.results or edits.inputs or edits.thinking or context.tools.server)


def _plain_answer(
    message: InputMessage, index: int, context: Context, messages: list[ChatMessage]
) -> list[PendingCall] | None:
    """What ``_answer`` does, on a short way, for texts, reasoning and calls whose ids are new, as
    nearly all answers are; ``None`` for others. Whatever it has done by then is done again.

    It tells blocks apart by their very type: with ``plain_turn`` it is the inner loop of a long
    history, which it makes three times as fast. A test compares the two ways.
    """
    content = message.content
    if type(content) is not list or not content:
        return None
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    pending: list[PendingCall] = []
    for position, block in enumerate(content):
        if type(block) is TextBlock:
            if block.citations is not UNSET:
                return None
            texts.append(block.text)
        elif type(block) is ToolUseBlock:
            if block.id in context.call_ids:
                return None
            call = _call(block, index, position, context)
            calls.append(call)
            pending.append(PendingCall(block.id, call.id, block.name, index, position))
        elif type(block) is ThinkingBlock:
            thoughts.append(thinking.reasoning_of(block, context.seal))
        else:
            return None
    text = texts[0] if len(texts) == 1 else _joined(texts)
    thought = JOINT.join(thoughts) if thoughts else None
    messages.append(_assistant(text, thought, calls, index, context))
    return pending


def _answer(
    message: InputMessage, index: int, context: Context, messages: list[ChatMessage]
) -> list[PendingCall]:
    """Append an earlier answer to ``messages``. Returns its calls that wait for their results."""
    if isinstance(message.content, str):
        messages.append(_assistant(message.content, None, [], index, context))
        return []
    pending: list[PendingCall] = []
    for piece in pieces(message, index, context):
        answer, pending = _spoken(piece, index, context)
        if answer is not None:
            messages.append(answer)
        messages += piece.results
    return pending


def _spoken(
    piece: Piece, index: int, context: Context
) -> tuple[AssistantMessage | None, list[PendingCall]]:
    """Text, reasoning and calls in one message, and the calls that wait."""
    content = piece.message.content or ()
    assert not isinstance(content, str)
    if not content and not piece.calls:
        return None, []
    texts: list[str | None] = []  # None stands for what is no text
    reasoning: list[str] = []
    calls: dict[str, ToolCall] = {}
    pending: list[PendingCall] = []
    # An answer that cites is one text, cut into blocks where the citations are.
    citing = any(isinstance(block, TextBlock) and _cites(block) for block in content)
    cited = ""
    for position, block in enumerate(content, piece.start):
        match block:
            case ThinkingBlock() if index in context.edits.thinking:
                continue
            case ThinkingBlock():
                reasoning.append(thinking.reasoning_of(block, context.seal))
            case ToolUseBlock() if block.id in calls:
                _repeated_call(block, At(index, position), context)
            case ToolUseBlock():
                calls[block.id] = call = _call(block, index, position, context)
                pending.append(PendingCall(block.id, call.id, block.name, index, position))
            case RedactedThinkingBlock():
                context.notes.once(Action.IGNORED, "redacted_thinking", str(At(index, position)))
            case TextBlock() if citing:
                cited += block.text + _marks(block, context)
            case _:
                cited = _say(texts, cited, parts_of(block, At(index, position), context))
    if cited:
        texts.append(cited)
    text = _joined(texts)
    thought = JOINT.join(reasoning) if reasoning else None
    made = [*piece.calls, *calls.values()]
    return _assistant(text, thought, made, index, context), pending


def _say(texts: list[str | None], cited: str, parts: Sequence[ContentPart]) -> str:
    """Add ``parts``, behind the text that cites; what is left of that."""
    if cited and parts:
        texts.append(cited)
        cited = ""
    texts += [part.text if isinstance(part, TextPart) else None for part in parts]
    return cited


def _call(block: ToolUseBlock, index: int, position: int, context: Context) -> ToolCall:
    context.call_ids.add(block.id)
    cleared = block.id in context.edits.inputs
    arguments = "{}" if cleared else arguments_of(block.input, index, position)
    return ToolCall(upstream_id(block.id), FunctionCall(context.tools.name(block.name), arguments))


def _joined(texts: Sequence[str | None]) -> str | None:
    """The texts as DeepSeek's conversion joins an answer: without the empty ones at its head."""
    first = 0
    while first < len(texts) - 1 and texts[first] == "":
        first += 1
    return JOINT.join([text for text in texts[first:] if text is not None]) if texts else None


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
    text: str | None,
    thought: str | None,
    calls: list[ToolCall],
    index: int,
    context: Context,
) -> AssistantMessage:
    """DeepSeek refuses a message with neither content nor calls, so empty text stands there."""
    if thought is None and context.fills_reasoning and (calls or context.tools.functions):
        # DeepSeek demands the field, not what it says; its own converter fills in an empty text.
        if not context.noted_filling:  # the same note for each answer: it is told once
            context.notes.once(Action.REPAIRED, "thinking", f"messages.{index}")
            context.noted_filling = True
        thought = ""
    content = text if text is not None else (None if calls else "")
    if thought is None:
        return AssistantMessage(content=content, tool_calls=calls or None)
    replays = context.dialect.replays_reasoning
    if thought and replays is None:
        context.notes.once(Action.IGNORED, "thinking", f"messages.{index}")
    return AssistantMessage(
        content=content,
        reasoning_content=thought if replays == "reasoning_content" else None,
        reasoning=thought if replays == "reasoning" else None,
        tool_calls=calls or None,
    )
