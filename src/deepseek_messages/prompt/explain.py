"""What a prompt is made of: the text that DeepSeek's encoder renders, and its tokens by part."""

import json
from collections import Counter

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.prompt.counting import COUNTER, count_text
from deepseek_messages.prompt.encoding import NotEncodable, render
from deepseek_messages.prompt.images import count_image
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    Content,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)


class Part(Struct, frozen=True):
    """Tokens of one kind of content. ``count`` says how many pieces there are of it."""

    name: str
    count: int
    tokens: int


class Explanation(Struct, frozen=True, kw_only=True):
    """A rendered prompt. ``parts`` add up to ``tokens``; ``exact`` is false when an image counts
    at the most it can be.
    """

    prompt: str
    tokens: int
    exact: bool
    parts: list[Part]


def explain(chat: ChatRequest, encoding: Encoding) -> Explanation:
    """The prompt of ``chat``. Raises ``NotEncodable`` when DeepSeek's encoder refuses it."""
    rendered = render(chat, encoding)
    total = COUNTER.count_rendered(rendered)
    tokens: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for message in chat.messages:
        for name, text in _texts(message):
            tokens[name] += count_text(text)
            pieces[name] += 1
    for source in rendered.image_sources:
        tokens["images"] += count_image(source).tokens
        pieces["images"] += 1
    if chat.tools:
        tokens["tools"] = total.tokens - _without_tools(chat, encoding, total.tokens)
        pieces["tools"] = len(chat.tools)
    parts = [Part(name, pieces[name], tokens[name]) for name in pieces]
    framing = total.tokens - sum(part.tokens for part in parts)
    parts.append(Part("framing", len(chat.messages), framing))
    return Explanation(prompt=rendered.prompt, tokens=total.tokens, exact=total.exact, parts=parts)


def _without_tools(chat: ChatRequest, encoding: Encoding, otherwise: int) -> int:
    bare = replace(chat, tools=None, tool_choice=None)
    try:
        return COUNTER.count_rendered(render(bare, encoding)).tokens
    except NotEncodable:
        return otherwise


def _texts(message: ChatMessage) -> list[tuple[str, str]]:
    """The texts of a message, each with the name of its part."""
    match message:
        case SystemMessage(content=content):
            return [("system", _plain(content))]
        case UserMessage(content=content):
            return [("user", _plain(content))]
        case ToolMessage(content=content):
            return [("tool results", _plain(content))]
        case AssistantMessage():
            return _answer(message)


def _answer(message: AssistantMessage) -> list[tuple[str, str]]:
    texts = []
    if isinstance(message.content, str) and message.content:
        texts.append(("assistant", message.content))
    if reasoning := message.reasoning_content or message.reasoning:
        texts.append(("reasoning", reasoning))
    calls = [call.function for call in message.tool_calls or ()]
    return texts + [("tool calls", call.name + call.arguments) for call in calls]


def _plain(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text for part in content if isinstance(part, TextPart))


def chat_json(chat: ChatRequest) -> object:
    """The chat request as the JSON that is sent."""
    return json.loads(msgspec.json.encode(chat))
