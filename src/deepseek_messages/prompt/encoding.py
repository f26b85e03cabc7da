"""A chat request as the prompt text that DeepSeek's own encoder makes of it.

Source: ``deepseek-recipe``, DeepSeek's published conversion of chat requests and its encodings
V4 (``deepseek-v4-pro``) and V4.1 (``deepseek-flash``). It is a native library of 11 MB, so it is
loaded by the first prompt, not by the import of this module.
"""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FilePart,
    ImageUrl,
    ImageUrlPart,
    ThinkingSwitch,
)

if TYPE_CHECKING:
    import deepseek_recipe as recipe

# Stands for an image that is named by a file id: the encoder only takes data and URLs.
FILE_IMAGE = ImageUrlPart(ImageUrl("https://file.invalid/"))


class NotEncodable(ValueError):
    """DeepSeek's encoder refuses the request; its message says why."""


@cache
def encoder(encoding: Encoding) -> "recipe.DeepseekV4Encoding | recipe.DeepseekV41Encoding":
    """DeepSeek's own encoder."""
    import deepseek_recipe as recipe  # noqa: PLC0415 - see above

    return recipe.DeepseekV4Encoding() if encoding == "v4" else recipe.DeepseekV41Encoding()


@cache
def options() -> "recipe.ConversionOptions":
    """The encoder knows models by name; these are ours, one per encoding."""
    import deepseek_recipe as recipe  # noqa: PLC0415 - see above

    return (
        recipe.ConversionOptions()
        .with_model_alias("v4", recipe.ModelVersion.DeepseekV4Pro)
        .with_model_alias("v4.1", recipe.ModelVersion.DeepseekV41Flash)
    )


def conversation(chat: ChatRequest, encoding: Encoding) -> "recipe.Conversation":
    """The conversation a chat request means. Raises ``NotEncodable``."""
    import deepseek_recipe as recipe  # noqa: PLC0415 - see above

    body = msgspec.json.encode(in_encoder_terms(chat, encoding))
    try:
        return recipe.ChatCompletionRequest(body).convert(options()).conversation
    except recipe.ConversionError as refusal:
        raise NotEncodable(str(refusal)) from refusal


def render(chat: ChatRequest, encoding: Encoding) -> "recipe.RenderedPrompt":
    """The prompt of a chat request, its special tokens marked. Raises ``NotEncodable``."""
    try:
        return encoder(encoding).render_conversation(conversation(chat, encoding))
    except (RuntimeError, ValueError) as refusal:
        raise NotEncodable(str(refusal)) from refusal


def segments(rendered: "recipe.RenderedPrompt") -> Iterator[tuple[str, bool]]:
    """The prompt in pieces, in order: text, and whether it is one explicit special token."""
    prompt, done = rendered.prompt, 0
    for start, end in rendered.special_ranges:
        if done < start:
            yield prompt[done:start], False
        yield prompt[start:end], True
        done = end
    if done < len(prompt):
        yield prompt[done:], False


def in_encoder_terms(chat: ChatRequest, encoding: Encoding) -> ChatRequest:
    """The fields that the prompt depends on, in DeepSeek's own names. Limits, sampling and
    streaming are left out: a value out of range is no reason not to count.
    """
    return ChatRequest(
        model=encoding,
        messages=[_message(message) for message in chat.messages],
        tools=chat.tools,
        tool_choice=chat.tool_choice,
        thinking=chat.thinking or _template_switch(chat),
        reasoning_effort=chat.reasoning_effort,
        response_format=chat.response_format,
    )


def _template_switch(chat: ChatRequest) -> ThinkingSwitch | None:
    """Thinking as servers with chat templates are told (``chat_template_kwargs.thinking``)."""
    switch = (chat.chat_template_kwargs or {}).get("thinking")
    if switch is None:
        return None
    return ThinkingSwitch("enabled" if switch else "disabled")


def _message(message: ChatMessage) -> ChatMessage:
    """A message in the encoder's terms: reasoning under DeepSeek's name, files as images."""
    if isinstance(message, AssistantMessage):
        if message.reasoning is None:
            return message
        return replace(message, reasoning_content=message.reasoning, reasoning=None)
    if isinstance(message.content, str):
        return message
    parts = [FILE_IMAGE if isinstance(part, FilePart) else part for part in message.content]
    return replace(message, content=parts)
