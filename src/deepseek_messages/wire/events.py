"""The events of a streamed Messages answer.

Source: Anthropic's streaming contract as the official SDKs read it. Each event is one
``event:`` line with the name, one ``data:`` line with this JSON, and an empty line.
"""

from msgspec import UNSET, Raw, Struct, UnsetType

from deepseek_messages.wire.errors import ErrorDetail
from deepseek_messages.wire.messages import ContextManagement, Message, StopReason, Usage


class Event(Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of all events; ``type`` repeats the event's name."""


# --- how a block begins ---------------------------------------------------------------------------


class BlockStart(Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of what ``content_block_start`` announces."""


class TextStart(BlockStart, tag="text", frozen=True):
    text: str = ""


class ThinkingStart(BlockStart, tag="thinking", frozen=True):
    thinking: str = ""
    signature: str = ""


class ToolUseStart(BlockStart, tag="tool_use", frozen=True):
    id: str
    name: str
    input: dict[str, object] = {}


class ServerToolUseStart(BlockStart, tag="server_tool_use", frozen=True):
    id: str
    name: str
    input: dict[str, object] = {}


class McpToolUseStart(BlockStart, tag="mcp_tool_use", frozen=True):
    id: str
    name: str
    server_name: str
    input: dict[str, object] = {}


class CompactionStart(BlockStart, tag="compaction", frozen=True):
    content: str | None = None
    encrypted_content: str | None = None


ContentBlockStartBody = (
    TextStart
    | ThinkingStart
    | ToolUseStart
    | ServerToolUseStart
    | McpToolUseStart
    | CompactionStart
    | Raw
)


# --- how a block grows ----------------------------------------------------------------------------


class Delta(Struct, frozen=True, tag_field="type", kw_only=True):
    """Base of what ``content_block_delta`` adds."""


class TextDelta(Delta, tag="text_delta", frozen=True):
    text: str


class ThinkingDelta(Delta, tag="thinking_delta", frozen=True):
    thinking: str


class SignatureDelta(Delta, tag="signature_delta", frozen=True):
    signature: str


class InputJsonDelta(Delta, tag="input_json_delta", frozen=True):
    partial_json: str


class CitationsDelta(Delta, tag="citations_delta", frozen=True):
    citation: Raw


class CompactionDelta(Delta, tag="compaction_delta", frozen=True):
    """The whole summary."""

    content: str | None
    encrypted_content: str | None = None


AnyDelta = (
    TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta | CitationsDelta | CompactionDelta
)


# --- the events -----------------------------------------------------------------------------------


class MessageStart(Event, tag="message_start", frozen=True):
    message: Message


class ContentBlockStart(Event, tag="content_block_start", frozen=True):
    index: int
    content_block: ContentBlockStartBody


class ContentBlockDelta(Event, tag="content_block_delta", frozen=True):
    index: int
    delta: AnyDelta


class ContentBlockStop(Event, tag="content_block_stop", frozen=True):
    index: int


class MessageDeltaBody(Struct, frozen=True):
    stop_reason: StopReason | None
    stop_sequence: str | None = None


class MessageDelta(Event, tag="message_delta", frozen=True):
    """``usage`` holds totals; they replace those of ``message_start``."""

    delta: MessageDeltaBody
    usage: Usage
    context_management: ContextManagement | UnsetType = UNSET


class MessageStop(Event, tag="message_stop", frozen=True):
    pass


class Ping(Event, tag="ping", frozen=True):
    pass


class ErrorEvent(Event, tag="error", frozen=True):
    """Ends a stream whose answer is not whole; nothing follows it."""

    error: ErrorDetail
    request_id: str | None = None


StreamEvent = (
    MessageStart
    | ContentBlockStart
    | ContentBlockDelta
    | ContentBlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorEvent
)
