"""The Messages API: request, content blocks, tools, answer.

Source: the type definitions of the official SDKs (anthropic 2.12 for Python), API versions
2023-06-01 and 2026-10-21. Unknown fields are tolerated everywhere; fields that we accept and
ignore are declared as raw JSON so that their shape can never refuse a request and their
presence can be noted. Tool schemas and tool inputs stay raw: they pass byte for byte.

None of these can be part of a reference cycle, so the garbage collector need not know of them
(``gc=False``): a history of 4 MB causes three collections instead of nine.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

# A field that is accepted whatever its shape, and only looked at for being there.
Ignored = Raw | UnsetType

EMPTY_OBJECT = Raw(b"{}")


class Block(Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """Base of everything that has a ``type`` inside ``content``."""


# --- sources of images and documents ------------------------------------------------------------


class Source(Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """Base of where an image or document comes from."""


class Base64Source(Source, tag="base64", frozen=True, gc=False):
    media_type: str
    data: str


class UrlSource(Source, tag="url", frozen=True, gc=False):
    url: str


class FileSource(Source, tag="file", frozen=True, gc=False):
    file_id: str


class PlainTextSource(Source, tag="text", frozen=True, gc=False):
    data: str
    media_type: str = "text/plain"


class ContentSource(Source, tag="content", frozen=True, gc=False):
    content: "str | list[TextBlock | ImageBlock]"


ImageSource = Base64Source | UrlSource | FileSource
DocumentSource = Base64Source | UrlSource | FileSource | PlainTextSource | ContentSource


# --- blocks that both sides send ------------------------------------------------------------------


class TextBlock(Block, tag="text", frozen=True, gc=False):
    text: str
    citations: Ignored = UNSET
    cache_control: Ignored = UNSET


class ThinkingBlock(Block, tag="thinking", frozen=True, gc=False):
    """``signature`` may be empty, missing or another vendor's; ``thinking`` may be empty."""

    thinking: str = ""
    signature: str | None = None


class RedactedThinkingBlock(Block, tag="redacted_thinking", frozen=True, gc=False):
    data: str = ""


class ToolUseBlock(Block, tag="tool_use", frozen=True, gc=False):
    id: str
    name: str
    input: Raw = EMPTY_OBJECT
    caller: Ignored = UNSET
    cache_control: Ignored = UNSET


class ServerToolUseBlock(Block, tag="server_tool_use", frozen=True, gc=False):
    id: str
    name: str
    input: Raw = EMPTY_OBJECT


# --- blocks that only clients send ----------------------------------------------------------------


class ImageBlock(Block, tag="image", frozen=True, gc=False):
    source: ImageSource
    cache_control: Ignored = UNSET


class CitationsSetting(Struct, frozen=True, gc=False):
    enabled: bool | None = None


class DocumentBlock(Block, tag="document", frozen=True, gc=False):
    source: DocumentSource
    title: str | None = None
    context: str | None = None
    citations: CitationsSetting | None = None
    cache_control: Ignored = UNSET


class SearchResultBlock(Block, tag="search_result", frozen=True, gc=False):
    source: str
    title: str
    content: list[TextBlock]
    citations: CitationsSetting | None = None
    cache_control: Ignored = UNSET


class ToolReferenceBlock(Block, tag="tool_reference", frozen=True, gc=False):
    tool_name: str
    cache_control: Ignored = UNSET


class ContainerUploadBlock(Block, tag="container_upload", frozen=True, gc=False):
    file_id: str


class UnknownBlock(Block, tag="unknown", frozen=True, gc=False):
    """A block whose ``type`` this version does not know; ``raw`` is its JSON as it came."""

    original_type: str
    raw: Raw = EMPTY_OBJECT


ToolResultContent = (
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolReferenceBlock | UnknownBlock
)


class ToolResultBlock(Block, tag="tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: str | list[ToolResultContent] | None = None
    is_error: bool | None = None
    cache_control: Ignored = UNSET


class WebSearchToolResultBlock(Block, tag="web_search_tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: Raw


class WebFetchToolResultBlock(Block, tag="web_fetch_tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: Raw


class CodeExecutionToolResultBlock(Block, tag="code_execution_tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: Raw


class BashCodeExecutionToolResultBlock(
    Block, tag="bash_code_execution_tool_result", frozen=True, gc=False
):
    tool_use_id: str
    content: Raw


class TextEditorCodeExecutionToolResultBlock(
    Block, tag="text_editor_code_execution_tool_result", frozen=True, gc=False
):
    tool_use_id: str
    content: Raw


class ToolSearchToolResultBlock(Block, tag="tool_search_tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: Raw


class McpToolUseBlock(Block, tag="mcp_tool_use", frozen=True, gc=False):
    id: str
    name: str
    server_name: str = ""
    input: Raw = EMPTY_OBJECT


class McpToolResultBlock(Block, tag="mcp_tool_result", frozen=True, gc=False):
    tool_use_id: str
    content: Raw = EMPTY_OBJECT
    is_error: bool | None = None


class CompactionBlock(Block, tag="compaction", frozen=True, gc=False):
    content: str | None = None
    encrypted_content: str | None = None
    signature: str | None = None


class NamedTool(Struct, frozen=True, gc=False):
    """The part of a ``tool_addition`` / ``tool_removal`` that names its tool."""

    name: str | None = None
    tool_name: str | None = None


class ToolAdditionBlock(Block, tag="tool_addition", frozen=True, gc=False):
    tool: NamedTool


class ToolRemovalBlock(Block, tag="tool_removal", frozen=True, gc=False):
    tool: NamedTool


ContentBlock = (
    TextBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ToolReferenceBlock
    | ContainerUploadBlock
    | ServerToolUseBlock
    | WebSearchToolResultBlock
    | WebFetchToolResultBlock
    | CodeExecutionToolResultBlock
    | BashCodeExecutionToolResultBlock
    | TextEditorCodeExecutionToolResultBlock
    | ToolSearchToolResultBlock
    | McpToolUseBlock
    | McpToolResultBlock
    | CompactionBlock
    | ToolAdditionBlock
    | ToolRemovalBlock
    | UnknownBlock
)


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


class ToolChoice(Struct, frozen=True, gc=False):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Tool(Struct, frozen=True, gc=False, kw_only=True):
    """A tool entry of any kind: custom (``type`` absent, null or ``custom``), one of Anthropic's
    client tools, or a server tool. Kinds are told apart by ``type`` alone, never by ``name``.
    """

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[Raw] | None = None
    allowed_callers: list[str] | None = None
    cache_control: Ignored = UNSET
    # server tools and Anthropic's client tools
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: Ignored = UNSET
    max_characters: int | None = None
    display_width_px: int | None = None
    display_height_px: int | None = None
    display_number: int | None = None
    max_content_tokens: int | None = None
    citations: CitationsSetting | None = None
    mcp_server_name: str | None = None
    default_config: Ignored = UNSET
    configs: Ignored = UNSET


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


# --- where an answer points to --------------------------------------------------------------------


class Citation(Struct, frozen=True, gc=False, tag_field="type", kw_only=True):
    """Base of what a text block's ``citations`` hold. All indexes count from 0 and end before
    their end; pages count from 1.
    """

    cited_text: str


class CharLocation(Citation, tag="char_location", frozen=True, gc=False, kw_only=True):
    document_index: int
    document_title: str | None = None
    start_char_index: int
    end_char_index: int
    file_id: str | None = None


class PageLocation(Citation, tag="page_location", frozen=True, gc=False, kw_only=True):
    document_index: int
    document_title: str | None = None
    start_page_number: int
    end_page_number: int
    file_id: str | None = None


class ContentBlockLocation(
    Citation, tag="content_block_location", frozen=True, gc=False, kw_only=True
):
    document_index: int
    document_title: str | None = None
    start_block_index: int
    end_block_index: int
    file_id: str | None = None


class SearchResultLocation(
    Citation, tag="search_result_location", frozen=True, gc=False, kw_only=True
):
    search_result_index: int
    source: str
    title: str | None = None
    start_block_index: int
    end_block_index: int


class WebSearchResultLocation(
    Citation, tag="web_search_result_location", frozen=True, kw_only=True
):
    """``cited_text`` is the beginning of what is quoted."""

    url: str
    title: str | None = None
    encrypted_index: str


Location = (
    CharLocation
    | PageLocation
    | ContentBlockLocation
    | SearchResultLocation
    | WebSearchResultLocation
)


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


class OutputTextBlock(Block, tag="text", frozen=True, gc=False):
    text: str
    citations: list[Raw] | UnsetType = UNSET


class OutputThinkingBlock(Block, tag="thinking", frozen=True, gc=False):
    thinking: str
    signature: str


class OutputToolUseBlock(Block, tag="tool_use", frozen=True, gc=False):
    id: str
    name: str
    input: Raw


class RawOutputBlock(Struct, frozen=True, gc=False):
    """A block that is passed on as JSON (results of server tools); ``raw`` holds its ``type``."""

    raw: Raw


class OutputCompactionBlock(Block, tag="compaction", frozen=True, gc=False):
    """``content`` is null when the summary failed."""

    content: str | None
    encrypted_content: str | None = None


OutputBlock = OutputTextBlock | OutputThinkingBlock | OutputToolUseBlock | OutputCompactionBlock


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
