"""A guess at a prompt's size, for models whose tokenizer is not at hand.

Source: DeepSeek's page "Token & Token Usage": an English character is about 0.3 tokens, a Chinese
one about 0.6.
"""

import msgspec

from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    ContentPart,
    TextPart,
)

PER_ASCII = 0.3
PER_OTHER = 0.6
# What an image is counted at when its size cannot be known here: the most it can take in V4.1
# (``deepseek-recipe``). Counting too much makes a client compact early; counting too little makes
# its next request fail.
MOST_IMAGE_TOKENS = 1024

PER_MESSAGE = 4  # role tokens and what stands between messages


def estimate_text(text: str) -> int:
    """About how many tokens ``text`` is. Never 0 for a text that is not empty."""
    ascii_characters = len(text) if text.isascii() else sum(map(str.isascii, text))
    others = len(text) - ascii_characters
    return round(ascii_characters * PER_ASCII + others * PER_OTHER + 0.49)


def estimate_prompt(chat: ChatRequest) -> int:
    """About how many tokens the prompt of ``chat`` is: messages, tools, and images at the most
    that one can take.
    """
    tokens = sum(_message(message) + PER_MESSAGE for message in chat.messages)
    if chat.tools:
        tokens += estimate_text(msgspec.json.encode(chat.tools).decode())
    return tokens


def _message(message: ChatMessage) -> int:
    if isinstance(message, AssistantMessage):
        calls = message.tool_calls or ()
        texts = [call.function.name + call.function.arguments for call in calls]
        texts += [message.content or "", message.reasoning_content or message.reasoning or ""]
        return sum(map(estimate_text, texts))
    if isinstance(message.content, str):
        return estimate_text(message.content)
    return sum(map(_part, message.content))


def _part(part: ContentPart) -> int:
    return estimate_text(part.text) if isinstance(part, TextPart) else MOST_IMAGE_TOKENS
