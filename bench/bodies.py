"""The requests that the benchmarks send, as bytes of HTTP."""

import functools
import hashlib
import json
from typing import Any

from bench import cache_rate

KEY = "bench-" + hashlib.sha256(b"bench").hexdigest()[:24]

SYSTEM = "You answer briefly and truthfully. " * 4
QUESTION = "Tell me about rivers and their deltas. " * 18


def script(chunks: int, interval_ms: float = 0) -> str:
    """Words for the user's text that tell the upstream how to answer this one request."""
    return f"script:{chunks}:{interval_ms:g};"


def http_request(path: str, body: dict[str, Any] | bytes, key: str = KEY) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def messages_request(
    stream: bool,
    *,
    told: str = "",
    model: str = "deepseek-chat",
    path: str = "/anthropic/v1/messages",
    key: str = KEY,
) -> bytes:
    """About 1 KB, as a small program would send it. ``told`` is for the upstream (``script``)."""
    body = {
        "model": model,
        "max_tokens": 512,
        "system": SYSTEM,
        "messages": [{"role": "user", "content": told + QUESTION}],
        "stream": stream,
    }
    return http_request(path, body, key)


def chat_request(stream: bool, *, told: str = "") -> bytes:
    """The same request as a chat server gets it."""
    body = {
        "model": "deepseek-flash",
        "max_tokens": 512,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": told + QUESTION},
        ],
        "stream": stream,
    }
    return http_request("/chat/completions", body)


def claude_code_request(stream: bool) -> bytes:
    """The first request of a session."""
    return http_request("/anthropic/v1/messages", cache_rate.session()[0] | {"stream": stream})


@functools.cache
def session(turns: int, number: int = 0) -> list[bytes]:
    """The first requests of a Claude Code session, each with one turn more than the last.
    Sessions of another number say something else.
    """
    path = "/anthropic/v1/messages?beta=true"
    return [http_request(path, body) for body in cache_rate.session(number)[:turns]]
