"""Whole answers: a chat answer as chunks, and the events of a stream folded into a Message.

There is one translation of answers, not two: a whole chat answer goes through the same stream of
events, and what a client gets when it does not stream is those events folded.
"""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation.answer.chat_json import decode_answer
from deepseek_messages.translation.answer.partial_json import close_truncated
from deepseek_messages.translation.faults import Fault, FaultKind, cut
from deepseek_messages.wire.chat import (
    AnswerChoice,
    ChatAnswer,
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    ToolCallDelta,
)
from deepseek_messages.wire.content import (
    OutputBlock,
    OutputCompactionBlock,
    OutputTextBlock,
    OutputThinkingBlock,
    OutputToolUseBlock,
)
from deepseek_messages.wire.errors import STATUS_TO_TYPE, ErrorDetail
from deepseek_messages.wire.events import (
    AnyDelta,
    CitationsDelta,
    CompactionDelta,
    CompactionStart,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStartBody,
    ErrorEvent,
    InputJsonDelta,
    McpToolUseStart,
    MessageDelta,
    MessageStart,
    MessageStop,
    ServerToolUseStart,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)
from deepseek_messages.wire.messages import Message

__all__ = ["chunks_of", "decode_answer", "fold"]

_TYPE_TO_STATUS = {error_type: status for status, error_type in reversed(STATUS_TO_TYPE.items())}


def chunks_of(answer: ChatAnswer) -> list[ChatChunk]:
    """The chunks that a whole answer stands for: its first choice's content and finish reason,
    then its usage. The calls are numbered by their place.
    """
    chunks: list[ChatChunk] = []
    if answer.choices:
        choices = [_choice(answer.choices[0])]
        chunks.append(
            ChatChunk(choices=choices, model=answer.model, id=answer.id, error=answer.error)
        )
    elif answer.error is not UNSET:
        chunks.append(ChatChunk(error=answer.error))
    if answer.usage is not None:
        chunks.append(ChatChunk(choices=[], usage=answer.usage, model=answer.model, id=answer.id))
    return chunks


def _choice(choice: AnswerChoice) -> ChunkChoice:
    message = choice.message or ChatDelta()
    calls = message.tool_calls or []
    return ChunkChoice(
        index=0,
        delta=replace(message, tool_calls=[_numbered(n, call) for n, call in enumerate(calls)]),
        finish_reason=choice.finish_reason,
        stop_reason=choice.stop_reason,
        matched_stop=choice.matched_stop,
    )


def _numbered(index: int, call: ToolCallDelta) -> ToolCallDelta:
    return replace(call, index=index)


# --- folding --------------------------------------------------------------------------------------


class _Open:
    """A block whose events are being read."""

    def __init__(self, start: ContentBlockStartBody) -> None:
        self.start = start
        self.parts: list[str] = []
        self.signature = start.signature if isinstance(start, ThinkingStart) else ""
        self.citations: list[Raw] = []
        self.summary: str | None = None

    def add(self, delta: AnyDelta) -> None:
        match delta:
            case TextDelta(text=text) | ThinkingDelta(thinking=text):
                self.parts.append(text)
            case InputJsonDelta(partial_json=text):
                self.parts.append(text)
            case SignatureDelta(signature=signature):
                self.signature = signature
            case CitationsDelta(citation=citation):
                self.citations.append(citation)
            case CompactionDelta(content=summary):
                self.summary = summary

    def block(self) -> OutputBlock | Raw:
        text = "".join(self.parts)
        match self.start:
            case TextStart(text=begun):
                return (
                    OutputTextBlock(text=begun + text, citations=self.citations)
                    if self.citations
                    else OutputTextBlock(text=begun + text)
                )
            case ThinkingStart(thinking=begun):
                return OutputThinkingBlock(thinking=begun + text, signature=self.signature)
            case ToolUseStart(id=call_id, name=name):
                arguments = Raw((close_truncated(text) if text else "{}").encode())
                return OutputToolUseBlock(id=call_id, name=name, input=arguments)
            case ServerToolUseStart() | McpToolUseStart() as start:
                block = msgspec.to_builtins(start)
                block["input"] = Raw((close_truncated(text) if text else "{}").encode())
                return Raw(msgspec.json.encode(block))
            case CompactionStart():
                return OutputCompactionBlock(content=self.summary)
            case _:
                return self.start


def fold(events: Iterable[StreamEvent]) -> Message:
    """The Message that a stream's events amount to, as the official SDKs accumulate it.

    A tool input that the token limit cut off is closed at its last complete value. Raises
    ``Fault``: the one that the ``error`` event tells, or a cut when ``message_stop`` is missing.
    """
    message: Message | None = None
    blocks: list[_Open] = []
    for event in events:
        match event:
            case MessageStart(message=message):
                pass
            case ContentBlockStart(content_block=start):
                blocks.append(_Open(start))
            case ContentBlockDelta(delta=delta):
                blocks[-1].add(delta)
            case MessageDelta(delta=body, usage=usage, context_management=context) if (
                message is not None
            ):
                message = replace(
                    message,
                    stop_reason=body.stop_reason,
                    stop_sequence=body.stop_sequence,
                    usage=usage,
                    context_management=context,
                )
            case MessageStop() if message is not None:
                return replace(message, content=[block.block() for block in blocks])
            case ErrorEvent(error=error):
                raise _fault(error)
            case _:
                pass
    raise cut()


def _fault(error: ErrorDetail) -> Fault:
    return Fault(
        FaultKind.REPORTED,
        error.message,
        status=502 if error.type == "api_error" else _TYPE_TO_STATUS[error.type],
        error_type=error.type,
    )
