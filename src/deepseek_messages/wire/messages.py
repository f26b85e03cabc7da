"""The Messages API: request and answer. Their parts: ``content``, ``tools``, ``citations``.

Source: the type definitions of the official SDKs (anthropic 2.12 for Python), API versions
2023-06-01 and 2026-10-21. Unknown fields are tolerated everywhere; fields that we accept and
ignore are declared as raw JSON so that their shape can never refuse a request and their
presence can be noted.

None of these can be part of a reference cycle, so the garbage collector need not know of them
(``gc=False``): a history of 4 MB causes three collections instead of nine.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from deepseek_messages.wire.content import ContentBlock, OutputBlock, TextBlock
from deepseek_messages.wire.raw import Ignored
from deepseek_messages.wire.tools import Tool, ToolChoice

# --- the request ----------------------------------------------------------------------------------

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class JsonSchemaFormat(Struct, frozen=True, gc=False):
    schema: Raw
    type: Literal["json_schema"] = "json_schema"


class OutputConfig(Struct, frozen=True, gc=False):
    effort: Effort | None = None
    format: JsonSchemaFormat | None = None
    task_budget: Ignored = UNSET


class InputMessage(Struct, frozen=True, gc=False):
    """One entry of ``messages``. Which roles are served is decided when it is translated."""

    role: str
    content: str | list[ContentBlock] | None = None
    output_config: OutputConfig | None = None
    clear_at: Ignored = UNSET


class Thinking(Struct, frozen=True, gc=False):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None
    block_binding: Ignored = UNSET


class Metadata(Struct, frozen=True, gc=False):
    user_id: str | None = None


class Compaction(Struct, frozen=True, gc=False):
    type: Literal["summarize"]
    instructions: str | None = None


class Thread(Struct, frozen=True, gc=False):
    type: str
    previous_message_id: str | None = None


class MessagesRequest(Struct, frozen=True, gc=False, kw_only=True):
    """The body of ``POST /v1/messages`` and, without ``max_tokens``, of ``count_tokens``."""

    model: str
    messages: list[InputMessage]
    max_tokens: int | None = None
    system: str | list[TextBlock] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: Ignored = UNSET
    metadata: Metadata | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonSchemaFormat | None = None
    thread: Thread | None = None
    compaction: Compaction | None = None
    # accepted whatever they hold
    cache_control: Ignored = UNSET
    service_tier: Ignored = UNSET
    speed: Ignored = UNSET
    inference_geo: Ignored = UNSET
    container: Ignored = UNSET
    diagnostics: Ignored = UNSET
    context_management: Ignored = UNSET
    mcp_servers: Ignored = UNSET
    fallbacks: Ignored = UNSET
    fallback_credit_token: Ignored = UNSET
    billing_policy: Ignored = UNSET
    safeguards: Ignored = UNSET
    safety_check: Ignored = UNSET
    tags: Ignored = UNSET


# --- the answer -----------------------------------------------------------------------------------

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "compaction",
]


class OutputTokensDetails(Struct, frozen=True, gc=False):
    thinking_tokens: int


class ServerToolUsage(Struct, frozen=True, gc=False):
    web_search_requests: int = 0
    web_fetch_requests: int = 0


class Iteration(Struct, frozen=True, gc=False, kw_only=True):
    """What one call of the model cost."""

    type: Literal["message", "compaction"]
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class Usage(Struct, frozen=True, gc=False, kw_only=True):
    """Token counts. The prompt's size is the sum of the three input counts. ``iterations`` are
    told where the answer began with a summary, whose cost is only there.
    """

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputTokensDetails | UnsetType | None = UNSET
    server_tool_use: ServerToolUsage | UnsetType | None = UNSET
    iterations: tuple[Iteration, ...] | UnsetType = UNSET


class ClearedToolUses(
    Struct, frozen=True, gc=False, tag="clear_tool_uses_20250919", tag_field="type"
):
    cleared_tool_uses: int
    cleared_input_tokens: int


class ClearedThinking(
    Struct, frozen=True, gc=False, tag="clear_thinking_20251015", tag_field="type"
):
    cleared_thinking_turns: int
    cleared_input_tokens: int


AppliedEdit = ClearedToolUses | ClearedThinking


class ContextManagement(Struct, frozen=True, gc=False):
    """What of the request was left out of the prompt because it asked for it."""

    applied_edits: tuple[AppliedEdit, ...]


class Message(Struct, frozen=True, gc=False, kw_only=True, tag="message", tag_field="type"):
    """The answer, whole, or its skeleton in ``message_start``."""

    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[OutputBlock | Raw]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: Usage
    context_management: ContextManagement | UnsetType = UNSET


class OriginalCount(Struct, frozen=True, gc=False):
    """The size before context management."""

    original_input_tokens: int


class TokenCount(Struct, frozen=True, gc=False):
    """The answer of ``POST /v1/messages/count_tokens``."""

    input_tokens: int
    context_management: OriginalCount | UnsetType = UNSET
