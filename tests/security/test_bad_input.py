"""Whatever a client sends: Anthropic's envelope, a 4xx, never 422 and never 5xx."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.app import Served
from tests.support.client import HELLO

# max_tokens, messages, a message, a block: each of the wrong JSON type
WRONG: list[Any] = [None, True, 7, -1, 1.5, "text", [], {}, [[]], [None], {"a": {}}]

BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "word": b"hello",
    "number": b"7",
    "null": b"null",
    "array": b"[]",
    "string": b'"text"',
    "open": b'{"model": "m", "messages": [',
    "two documents": b"{}{}",
    "comma": b'{"model": "m",}',
    "single quotes": b"{'model': 'm'}",
    "NaN": b'{"model": "m", "max_tokens": NaN, "messages": []}',
    "infinity": b'{"model": "m", "max_tokens": 1e999, "messages": []}',
    "invalid UTF-8": b'{"model": "\xff\xfe", "max_tokens": 1, "messages": []}',
    "UTF-16": json.dumps(HELLO).encode("utf-16"),
    "lone surrogate": b'{"model": "\\ud800", "max_tokens": 1, "messages": []}',
    "NUL": b'{"model": "m\x00", "max_tokens": 1, "messages": []}',
    "deep arrays": b'{"model": "m", "max_tokens": 1, "messages": ' + b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep tool schema": b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],'
    b'"tools":[{"name":"t","input_schema":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}]}",
    "long number": b'{"model": "m", "max_tokens": ' + b"9" * 10_000 + b', "messages": []}',
    "form": b"model=m&messages=x",
    "multipart": b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb\r\n--x--',
    "many messages": json.dumps(
        HELLO | {"messages": [{"role": "user", "content": "a"}] * 100_001}
    ).encode(),
} | {
    f"{field} is {json.dumps(value)}": json.dumps(HELLO | {field: value}).encode()
    for field in ("model", "messages", "max_tokens")
    for value in WRONG
    if not (field == "max_tokens" and value == 7) and not (field == "model" and value == "text")
}

CONTENT: dict[str, Any] = {
    f"content is {json.dumps(value)}": value for value in WRONG if value not in ("text", [], None)
} | {
    "block without type": [{"text": "a"}],
    "type is a number": [{"type": 7}],
    "text is a number": [{"type": "text", "text": 7}],
    "image without source": [{"type": "image"}],
    "image of unknown source": [{"type": "image", "source": {"type": "pigeon"}}],
    "tool_use without id": [{"type": "tool_use", "name": "t", "input": {}}],
    "tool_result without id": [{"type": "tool_result", "content": "x"}],
}


def check(reply: Any) -> None:
    status, kind, message = reply.error()
    assert 400 <= status < 500
    assert status != 422
    assert kind == "invalid_request_error"
    assert message
    assert len(reply.body) < 4_000


# Counting may do without max_tokens.
COUNT_BODIES = {name: body for name, body in BODIES.items() if not name.startswith("max_tokens")}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies(server: Callable[..., Served], body: bytes) -> None:
    s = server("open")
    check(s.client.ask("POST", "/v1/messages", body))
    assert s.upstream.played == []


@pytest.mark.parametrize("body", COUNT_BODIES.values(), ids=COUNT_BODIES)
def test_bodies_to_count(server: Callable[..., Served], body: bytes) -> None:
    check(server("open").client.ask("POST", "/v1/messages/count_tokens", body))


@pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_contents(server: Callable[..., Served], role: str, content: Any) -> None:
    body = HELLO | {
        "messages": [{"role": "user", "content": "a"}, {"role": role, "content": content}]
    }
    reply = server("open").client.post(body)
    check(reply)
    assert reply.error()[2].startswith("messages.1.content")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/json;v=1"]
)
def test_the_content_type_does_not_matter(server: Callable[..., Served], content_type: str) -> None:
    reply = server("open").client.post(HELLO, content_type=content_type)
    assert reply.status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "x" * 500])
def test_compressed_bodies_are_refused_clearly(server: Callable[..., Served], coding: str) -> None:
    reply = server("open").client.post(HELLO, content_encoding=coding)
    assert reply.error()[0] == 400
    assert reply.json()["error"]["details"] == {"error_code": "request_body_encoding_unsupported"}


def test_identity_is_no_coding(server: Callable[..., Served]) -> None:
    assert server("open").client.post(HELLO, content_encoding="identity").status == 200


QUERIES = ["limit=0", "limit=x", "limit=-1", "limit=1001", "after_id=nobody", "lifecycle=old",
           "after_id=a&before_id=b", "limit=" + "9" * 5_000]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_queries_of_the_model_list(server: Callable[..., Served], query: str) -> None:
    check(server("open").client.get(f"/v1/models?{query}"))


@pytest.mark.parametrize("query", ["", "beta=true", "%ff=%00", "&&&===", "a=" + "x" * 10_000])
def test_any_query_is_tolerated_elsewhere(server: Callable[..., Served], query: str) -> None:
    assert server("open").client.post(HELLO, f"/v1/messages?{query}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"anthropic-version": "1999-01-01"},
        {"anthropic-beta": "no-such-beta,another"},
        {"anthropic-version": "\xff"},
        {"x-claude-code-session-id": "\xff" * 100},
        {"user-agent": "\xff" * 200},
        {"x-stainless-retry-count": "many"},
        {"accept": "image/png"},
        {"accept-encoding": "br, zstd"},
    ],
    ids=str,
)
def test_odd_headers_are_tolerated(server: Callable[..., Served], headers: dict[str, str]) -> None:
    assert server("open").client.ask("POST", "/v1/messages", HELLO, headers).status == 200
