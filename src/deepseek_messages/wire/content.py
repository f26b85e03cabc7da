"""Content blocks: what a request's messages and an answer are made of.

Tool inputs stay raw: they pass byte for byte. ``gc=False``: see ``wire.messages``.
"""

from msgspec import UNSET, Raw, Struct, UnsetType

from deepseek_messages.wire.citations import CitationsSetting
from deepseek_messages.wire.raw import EMPTY_OBJECT, Ignored


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


# --- blocks of an answer --------------------------------------------------------------------------


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


class OutputCompactionBlock(Block, tag="compaction", frozen=True, gc=False):
    """``content`` is null when the summary failed."""

    content: str | None
    encrypted_content: str | None = None


OutputBlock = OutputTextBlock | OutputThinkingBlock | OutputToolUseBlock | OutputCompactionBlock
