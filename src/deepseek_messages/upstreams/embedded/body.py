"""A chat request as the body that the engine takes."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    FunctionTool,
    StreamOptions,
)

_encoder = msgspec.json.Encoder()

# What goes with every request. Progress reports come once per batch of the prompt: the first says
# that a slot has taken the request, and each is a chance to stop it.
_ALWAYS = {"return_progress": True, "cache_prompt": True}

# With a grammar: the tools stay in the prompt, but the text is ours to read; thinking would not
# fit the grammar.
_HELD = {
    "tool_choice": "none",
    "reasoning_format": "none",
    "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
}

_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')


def plain_body(request: ChatRequest) -> bytes:
    """The body for an answer in the model's own form."""
    return _encode(_prepared(request), _ALWAYS)


def held_body(request: ChatRequest, grammar: str) -> bytes:
    """The body for an answer that a grammar holds to a form. Stop strings are left out: one
    inside a value would end the text before it is whole.
    """
    bare = replace(
        _prepared(request),
        tool_choice=None,
        parallel_tool_calls=None,
        response_format=None,
        chat_template_kwargs=None,
        stop=None,
    )
    return _encode(bare, {**_ALWAYS, **_HELD, "grammar": grammar})


def _prepared(request: ChatRequest) -> ChatRequest:
    """Without what the engine does not know; always streamed, so that it can be stopped."""
    return replace(
        request,
        messages=[_message(message) for message in request.messages],
        tools=[_tool(tool) for tool in request.tools] if request.tools else None,
        stream=True,
        stream_options=StreamOptions(),
        thinking=None,
        reasoning_effort=None,
        user_id=None,
    )


def _message(message: ChatMessage) -> ChatMessage:
    """The engine refuses an assistant message that has neither content nor calls."""
    if isinstance(message, AssistantMessage) and not message.content and not message.tool_calls:
        return replace(message, content="")
    return message


def _tool(tool: FunctionTool) -> FunctionTool:
    if tool.function.parameters is not UNSET:
        return tool
    return replace(tool, function=replace(tool.function, parameters=_NO_PARAMETERS))


def _encode(request: ChatRequest, extras: Mapping[str, Any]) -> bytes:
    head = _encoder.encode(extras)
    return head[:-1] + b"," + _encoder.encode(request)[1:]
