"""Chat completions, as DeepSeek, vLLM, SGLang, llama.cpp and Ollama speak it.

Source: DeepSeek's API reference (create-chat-completion) and the servers' own field names.
What is sent is strict; what is read is lenient: only fields we use are declared, and each may
be missing or null.

None of these can be part of a reference cycle, so the garbage collector need not know of them
(``gc=False``): a chunk is decoded a tenth faster, and a long history causes a third fewer
collections.
"""

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

# --- the request ----------------------------------------------------------------------------------


class Part(Struct, frozen=True, gc=False, tag_field="type"):
    """Base of the parts of a multi-part content."""


class TextPart(Part, tag="text", frozen=True, gc=False):
    text: str


class ImageUrl(Struct, frozen=True, gc=False, omit_defaults=True):
    url: str
    detail: str | None = None


class ImageUrlPart(Part, tag="image_url", frozen=True, gc=False):
    image_url: ImageUrl


class FileReference(Struct, frozen=True, gc=False):
    file_id: str


class FilePart(Part, tag="file", frozen=True, gc=False):
    file: FileReference


ContentPart = TextPart | ImageUrlPart | FilePart
Content = str | list[ContentPart]


class FunctionCall(Struct, frozen=True, gc=False):
    """``arguments`` is JSON text, exactly as the model or the client wrote it."""

    name: str
    arguments: str


class ToolCall(Struct, frozen=True, gc=False, tag="function", tag_field="type"):
    id: str
    function: FunctionCall


class SystemMessage(Struct, frozen=True, gc=False, tag="system", tag_field="role"):
    content: Content


class UserMessage(Struct, frozen=True, gc=False, tag="user", tag_field="role"):
    content: Content


class AssistantMessage(
    Struct,
    frozen=True,
    gc=False,
    tag="assistant",
    tag_field="role",
    omit_defaults=True,
    kw_only=True,
):
    """``content`` is always sent (null when there is none); the rest only when set."""

    content: str | UnsetType | None = UNSET
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    prefix: bool | None = None
    wo_eos: bool | None = None


class ToolMessage(Struct, frozen=True, gc=False, tag="tool", tag_field="role", kw_only=True):
    tool_call_id: str
    content: Content


ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage


class Function(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None


class FunctionTool(Struct, frozen=True, gc=False, tag="function", tag_field="type"):
    function: Function


class FunctionName(Struct, frozen=True, gc=False):
    name: str


class NamedToolChoice(Struct, frozen=True, gc=False, tag="function", tag_field="type"):
    function: FunctionName


class StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool = True


class ThinkingSwitch(Struct, frozen=True, gc=False):
    type: Literal["enabled", "disabled"]


class JsonSchema(Struct, frozen=True, gc=False, kw_only=True):
    name: str
    schema: Raw
    strict: bool | UnsetType = UNSET


class ResponseFormat(Struct, frozen=True, gc=False, omit_defaults=True):
    type: Literal["text", "json_object", "json_schema"] | UnsetType = UNSET
    json_schema: JsonSchema | None = None


class ChatRequest(Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A chat completion request. ``extra`` is merged into the body by the upstream's encoder
    (fields that only one dialect knows, such as ``chat_template_kwargs``).
    """

    model: str
    messages: list[ChatMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    thinking: ThinkingSwitch | None = None
    reasoning_effort: str | None = None
    user_id: str | None = None
    chat_template_kwargs: dict[str, bool | str] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


# --- the answer, whole or in chunks ---------------------------------------------------------------


class PromptTokensDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None


class CompletionTokensDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class ChatUsage(Struct, frozen=True, gc=False, kw_only=True):
    """Both DeepSeek's names (hit, miss) and OpenAI's (``*_details``)."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_cache_hit_tokens: int | None = None
    prompt_cache_miss_tokens: int | None = None
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class FunctionDelta(Struct, frozen=True, gc=False):
    name: str | None = None
    arguments: str | Raw | None = None


class ToolCallDelta(Struct, frozen=True, gc=False):
    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class ChatDelta(Struct, frozen=True, gc=False):
    """A chunk's ``delta`` or a whole answer's ``message``: the same fields."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    refusal: str | None = None


class ChunkChoice(Struct, frozen=True, gc=False):
    index: int | None = None
    delta: ChatDelta | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM: the stop string or token that matched
    matched_stop: str | int | None = None  # SGLang's name for the same


class ChatChunk(Struct, frozen=True, gc=False):
    """One ``data:`` frame. ``error`` is how vLLM and SGLang report a fault inside a stream."""

    choices: list[ChunkChoice] | None = None
    usage: ChatUsage | None = None
    model: str | None = None
    id: str | None = None
    error: Raw | UnsetType = UNSET


class AnswerChoice(Struct, frozen=True, gc=False):
    message: ChatDelta | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM: the stop string or token that matched
    matched_stop: str | int | None = None  # SGLang's name for the same


class ChatAnswer(Struct, frozen=True, gc=False):
    """A whole (not streamed) chat completion."""

    choices: list[AnswerChoice] | None = None
    usage: ChatUsage | None = None
    model: str | None = None
    id: str | None = None
    error: Raw | UnsetType = UNSET
