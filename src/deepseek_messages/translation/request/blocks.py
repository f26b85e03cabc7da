"""Content blocks: one function per kind, to the parts of a chat message."""

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import Raw, Struct, field

from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.result_text import fetched_documents
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.request import documents
from deepseek_messages.translation.request.edits import CLEARED, NO_EDITS, Edits
from deepseek_messages.translation.request.system import JOINT, SystemPlace
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.chat import (
    Content,
    ContentPart,
    FilePart,
    FileReference,
    ImageUrl,
    ImageUrlPart,
    TextPart,
)
from deepseek_messages.wire.content import (
    Base64Source,
    BashCodeExecutionToolResultBlock,
    CodeExecutionToolResultBlock,
    CompactionBlock,
    ContainerUploadBlock,
    ContentBlock,
    ContentSource,
    DocumentBlock,
    FileSource,
    ImageBlock,
    McpToolResultBlock,
    McpToolUseBlock,
    PlainTextSource,
    RedactedThinkingBlock,
    SearchResultBlock,
    ServerToolUseBlock,
    TextBlock,
    TextEditorCodeExecutionToolResultBlock,
    ThinkingBlock,
    ToolAdditionBlock,
    ToolReferenceBlock,
    ToolRemovalBlock,
    ToolResultBlock,
    ToolSearchToolResultBlock,
    ToolUseBlock,
    UnknownBlock,
    UrlSource,
    WebFetchToolResultBlock,
    WebSearchToolResultBlock,
)

IMAGE_NOTE = "[image left out: this model cannot see images]"


class Context(Struct, kw_only=True):
    """What every block's function may need: the upstream's abilities and where notes go."""

    dialect: Dialect
    notes: Notes
    seal: Seal
    tools: ToolBook
    sees: bool
    place: SystemPlace
    fills_reasoning: bool  # every assistant turn must carry reasoning
    references: list[str]  # lines that show the tools this message refers to
    call_ids: set[str] = field(default_factory=set)  # of all calls in the history
    citable: Library = field(default_factory=Library)  # what the answer may cite
    edits: Edits = NO_EDITS  # what of the history is left out
    noted_filling: bool = False  # it is in the notes that reasoning was filled in


class At(Struct, frozen=True):
    """Where a block stands; written out only when a note or a refusal needs it."""

    message: int
    block: int
    inner: int | None = None

    def __str__(self) -> str:
        path = f"messages.{self.message}.content.{self.block}"
        return path if self.inner is None else f"{path}.content.{self.inner}"


def parts_of(  # noqa: C901, PLR0911, PLR0912 - one case for each kind of block
    block: ContentBlock, at: At, context: Context
) -> Sequence[ContentPart]:
    """The parts that stand for ``block`` in a user's turn or a tool's result. What the upstream
    cannot take becomes a short text that the model can read, with a note.
    """
    match block:
        case TextBlock():
            return (TextPart(block.text),)
        case ImageBlock():
            return (_image(block, at, context),)
        case DocumentBlock():
            return _document(block, at, context)
        case SearchResultBlock():
            return _search_result(block, at, context)
        case ToolReferenceBlock():
            _refer(block.tool_name, at, context)
            return (TextPart(block.tool_name),)
        case ContainerUploadBlock():
            return _replaced(f"file {block.file_id}", "container_upload", at, context)
        case CompactionBlock():
            return (TextPart(block.content),) if block.content else ()
        case UnknownBlock():
            return _replaced(f"block of type {block.original_type}", "unknown_block", at, context)
        case ToolAdditionBlock():
            name = block.tool.name or block.tool.tool_name or ""
            _refer(name, at, context)
            return ()
        case ToolRemovalBlock():
            name = block.tool.name or block.tool.tool_name or ""
            context.notes.once(Action.EMULATED, "tool_removal", str(at))
            return (TextPart(f"The tool {name} is no longer available."),)
        case ThinkingBlock() | RedactedThinkingBlock():
            context.notes.once(Action.IGNORED, str(block.__struct_config__.tag), str(at))
            return ()
        case ToolResultBlock():
            return result_parts(block, at, context)
        case ToolUseBlock() | ServerToolUseBlock() | McpToolUseBlock():
            return _past_call(block, at, context)
        case (
            WebSearchToolResultBlock()
            | WebFetchToolResultBlock()
            | CodeExecutionToolResultBlock()
            | BashCodeExecutionToolResultBlock()
            | TextEditorCodeExecutionToolResultBlock()
            | ToolSearchToolResultBlock()
            | McpToolResultBlock()
        ):
            return _past_result(block, at, context)
        case _:
            assert_never(block)


def _refer(name: str, at: At, context: Context) -> None:
    line = context.tools.refer(name, str(at))
    if line is not None:
        context.references.append(line)


# --- images and documents -------------------------------------------------------------------------


def _image(block: ImageBlock, at: At, context: Context) -> ContentPart:
    if not context.sees:
        context.notes.add(Action.REPLACED, "image", str(at))
        return TextPart(IMAGE_NOTE)
    match block.source:
        case Base64Source(media_type=media_type, data=data):
            return ImageUrlPart(ImageUrl(f"data:{media_type};base64,{data}"))
        case UrlSource(url=url):
            return ImageUrlPart(ImageUrl(url))
        case FileSource(file_id=file_id):
            return FilePart(FileReference(file_id))
        case _:
            assert_never(block.source)


def _document(block: DocumentBlock, at: At, context: Context) -> Sequence[ContentPart]:
    """Text, content and read pages in full, with title and context; others by a note."""
    if documents.is_citable(block):
        context.notes.once(Action.EMULATED, "citations", str(at))
    library = context.citable
    match block.source:
        case PlainTextSource(data=text):
            return documents.text_document(block, text, library)
        case ContentSource() as source:
            return _content(block, source, at, context)
        case Base64Source(media_type=kind):
            what = f"document ({kind})"
        case UrlSource(url=url):
            what = f"document at {url}"
        case FileSource(file_id=file_id):
            what = f"document {file_id}"
        case _:
            assert_never(block.source)
    library.skip(search_result=False)
    return _replaced(f'{what} "{block.title}"' if block.title else what, "document", at, context)


def _content(
    block: DocumentBlock, source: ContentSource, at: At, context: Context
) -> Sequence[ContentPart]:
    """Content blocks, or the pages of a PDF."""
    library = context.citable
    if isinstance(source.content, str):
        return documents.text_document(block, source.content, library)
    if not isinstance(source, documents.PagesSource):
        parts = [parts_of(item, at, context) for item in source.content]
        return documents.blocks_document(block, parts, library)
    context.notes.once(Action.EMULATED, "document.pdf", str(at))
    pages = [
        item.text if isinstance(item, TextBlock) else _image(item, at, context)
        for item in source.content
    ]
    return documents.pages_document(block, pages, library)


def _search_result(block: SearchResultBlock, at: At, context: Context) -> Sequence[ContentPart]:
    if documents.is_citable(block):
        context.notes.once(Action.EMULATED, "citations", str(at))
    return documents.search_result(block, context.citable)


# --- blocks of server tools, as replayed history --------------------------------------------------


def _past_call(
    block: ToolUseBlock | ServerToolUseBlock | McpToolUseBlock, at: At, context: Context
) -> Sequence[ContentPart]:
    """A call outside the chat format's tool calls, as text the model can read."""
    context.notes.once(Action.REPLACED, str(block.__struct_config__.tag), str(at))
    return (TextPart(f"[called {block.name} with {bytes(block.input).decode()}]"),)


def _past_result(
    block: WebSearchToolResultBlock
    | WebFetchToolResultBlock
    | CodeExecutionToolResultBlock
    | BashCodeExecutionToolResultBlock
    | TextEditorCodeExecutionToolResultBlock
    | ToolSearchToolResultBlock
    | McpToolResultBlock,
    at: At,
    context: Context,
) -> Sequence[ContentPart]:
    kind = str(block.__struct_config__.tag)
    context.notes.once(Action.REPLACED, kind, str(at))
    if isinstance(block, ToolSearchToolResultBlock):
        for name in _references(block.content):
            _refer(name, at, context)
    if isinstance(block, WebFetchToolResultBlock):
        for _ in range(fetched_documents(block.content)):
            context.citable.skip(search_result=False)  # it counts, as when it was fetched
    return (TextPart(f"[{kind.replace('_', ' ')}: {_readable(block.content)}]"),)


class _Reference(Struct):
    tool_name: str = ""


class _SearchContent(Struct):
    tool_references: list[_Reference] = []


def _references(content: Raw) -> list[str]:
    try:
        found = msgspec.json.decode(content, type=_SearchContent).tool_references
    except msgspec.ValidationError:
        return []
    return [reference.tool_name for reference in found if reference.tool_name]


# Fields that only Anthropic's servers can read.
_UNREADABLE = frozenset({"encrypted_content", "encrypted_index", "encrypted_stdout", "signature"})


def _readable(content: Raw) -> str:
    """Result content as JSON without its encrypted parts."""
    return msgspec.json.encode(_without_secrets(msgspec.json.decode(content))).decode()


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        if value.get("type") == "base64":
            return {**value, "data": "[left out]"}
        return {k: _without_secrets(v) for k, v in value.items() if k not in _UNREADABLE}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return value


def _replaced(what: str, word: str, at: At, context: Context) -> Sequence[ContentPart]:
    context.notes.add(Action.REPLACED, word, str(at))
    return (TextPart(f"[{what} left out: it cannot be shown to this model]"),)


# --- tool results ---------------------------------------------------------------------------------

# DeepSeek's protocol has no field for a failed call, so the model is told in words, always the
# same ones.
ERROR_MARK = "[tool error]"


def result_parts(block: ToolResultBlock, at: At, context: Context) -> list[ContentPart]:
    """The content of a tool's result; an error is marked in its text."""
    if block.tool_use_id in context.edits.results:
        return _cleared(block, context.citable)
    parts: list[ContentPart] = []
    if isinstance(block.content, str):
        parts.append(TextPart(block.content))
    elif block.content is not None:
        for index, item in enumerate(block.content):
            parts.extend(parts_of(item, At(at.message, at.block, index), context))
    if block.is_error:
        first = parts[0] if parts else None
        if isinstance(first, TextPart):
            parts[0] = TextPart(f"{ERROR_MARK} {first.text}")
        else:
            parts.insert(0, TextPart(ERROR_MARK))
    return parts


def _cleared(block: ToolResultBlock, library: Library) -> list[ContentPart]:
    """A result that context management cleared; its sources still count."""
    for item in block.content if isinstance(block.content, list) else ():
        if isinstance(item, DocumentBlock | SearchResultBlock):
            library.skip(search_result=isinstance(item, SearchResultBlock))
    return [TextPart(CLEARED)]


# --- putting parts together -----------------------------------------------------------------------


def content_of(parts: Sequence[ContentPart]) -> Content:
    """A string when there is only text, otherwise parts with neighbouring texts joined."""
    if not parts:
        return ""
    if len(parts) == 1:
        return parts[0].text if isinstance(parts[0], TextPart) else list(parts)
    joined: list[ContentPart] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
            continue
        if texts:
            joined.append(TextPart(JOINT.join(texts)))
            texts = []
        joined.append(part)
    if not joined:
        return JOINT.join(texts)
    if texts:
        joined.append(TextPart(JOINT.join(texts)))
    return joined
