"""What chat servers send, as bytes and as frames, and how a test reads it through the client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.upstreams.base import ChatStream, UpstreamCall
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.wire.chat import ChatChunk, ChatRequest, UserMessage

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def call(*, stream: bool = True, text: str = "Hello", **more: Any) -> UpstreamCall:
    """One small request."""
    request = ChatRequest(
        model="deepseek-chat", messages=[UserMessage(content=text)], stream=stream
    )
    return UpstreamCall(request=request, **more)


def frame(value: Any) -> bytes:
    """One ``data:`` frame."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(finish: str | None = None, usage: Any = None, **fields: Any) -> bytes:
    """One chunk as DeepSeek's API frames it."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish, "logprobs": None}
    return frame(
        {"id": "c", "object": "chat.completion.chunk", "choices": [choice], "usage": usage}
    )


def tool_delta(arguments: str, *, first: bool = False, index: int = 0) -> bytes:
    """A piece of a tool call; ``first`` carries its id and name."""
    function: dict[str, str] = {"arguments": arguments}
    entry: dict[str, Any] = {"index": index, "function": function}
    if first:
        entry |= {"id": f"call_{index}", "type": "function"}
        function["name"] = "get_weather"
    return delta(tool_calls=[entry])


def whole(content: str | None = "Hello!", **more: Any) -> bytes:
    """A whole answer's JSON."""
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "choices": [choice], "usage": USAGE}).encode()


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[ChatHttpUpstream]:
    """A client of the server at ``url``; fails the test when it leaves a task behind."""
    options.setdefault("dialect", DEEPSEEK)
    before = asyncio.all_tasks()
    upstream = ChatHttpUpstream(base_url=url, **options)
    try:
        yield upstream
    finally:
        await upstream.aclose()
        for _ in range(5):  # cancelled tasks end in the loop's next rounds
            await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def read_all(stream: ChatStream) -> list[ChatChunk]:
    """Every chunk until the clean end."""
    chunks: list[ChatChunk] = []
    while batch := await stream.read():
        chunks.extend(batch)
    await stream.aclose()
    return chunks


def text_of(chunks: list[ChatChunk]) -> str:
    """Content, reasoning and tool arguments, in order."""
    parts: list[str] = []
    for chunk in chunks:
        for choice in chunk.choices or []:
            if choice.delta is None:
                continue
            parts += [choice.delta.reasoning_content or "", choice.delta.content or ""]
            calls = choice.delta.tool_calls or []
            parts += [str(c.function.arguments or "") for c in calls if c.function]
    return "".join(parts)
