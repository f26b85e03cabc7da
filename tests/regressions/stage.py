"""The application in front of a chat server that says exactly what a test tells it to."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepseek_messages.settings import AuthSettings, Settings, UpstreamSettings
from deepseek_messages.web.app import create_app
from tests.support.client import HELLO, Client, Reply
from tests.support.servers import serve_app
from tests.support.sse import Event, assert_lawful, blocks_of

JSON = dict[str, Any]


class ChatServer:
    """An ASGI application that plays the next scripted answer for each chat request."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.script: deque[tuple[int, Mapping[str, str], Sequence[bytes]]] = deque()
        self.requests: list[JSON] = []
        self.headers: list[dict[str, str]] = []
        self.listed = 0

    async def __call__(self, scope: JSON, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if not scope["path"].endswith("/chat/completions"):
            self.listed += 1
            await self._list(scope["path"], send)
            return
        self.requests.append(json.loads(body))
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        status, headers, pieces = self.script.popleft() if self.script else DEFAULT
        await _reply(send, status, headers, pieces)

    async def _list(self, path: str, send: Any) -> None:
        if not path.endswith("/models"):
            await _reply(send, 404, {"content-type": "application/json"}, [b"{}"])
            return
        models = {"object": "list", "data": [{"id": self.model, "object": "model"}]}
        await _reply(send, 200, {"content-type": "application/json"}, [json.dumps(models).encode()])


async def _reply(send: Any, status: int, headers: Mapping[str, str], pieces: Any) -> None:
    fields = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


SSE = {"content-type": "text/event-stream"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(finish: str | None = None, /, **delta: Any) -> JSON:
    """A chunk with one choice."""
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(**more: Any) -> JSON:
    """The last chunk of a stream that was asked for its usage."""
    return {"id": "c", "choices": [], "usage": USAGE | more}


def tool(index: int | None = 0, **more: Any) -> JSON:
    """An entry of ``tool_calls``: ``id``, ``name``, ``arguments``; what is missing is absent."""
    entry: JSON = {} if index is None else {"index": index}
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    return entry | more | ({"function": function} if function else {})


def frames(*parts: Any, done: bool = True) -> bytes:
    """Chunks (dicts) and raw lines (bytes) as a stream."""
    lines = [
        p if isinstance(p, bytes) else b"data: " + json.dumps(p).encode() + b"\n\n" for p in parts
    ]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


DEFAULT = (200, SSE, [frames(chunk(content="Hello"), chunk("stop"), usage())])


class Stage:
    """A client, the application, and the chat server behind it."""

    def __init__(self, server: ChatServer, client: Client) -> None:
        self.server = server
        self.client = client

    def clear(self) -> None:
        """Forget what was."""
        self.server.script.clear()
        self.server.requests.clear()
        self.server.headers.clear()

    def streams(self, *parts: Any, done: bool = True, size: int | None = None) -> None:
        """The next answer is this stream, in pieces of ``size`` bytes."""
        data = frames(*parts, done=done)
        step = size or len(data) or 1
        self.server.script.append(
            (200, SSE, [data[n : n + step] for n in range(0, len(data), step)])
        )

    def answers(self, body: object, status: int = 200, **headers: str) -> None:
        """The next answer is this whole one."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"content-type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.server.script.append((status, fields, [data]))

    def ask(self, *, path: str = "/v1/messages", **fields: Any) -> Reply:
        """One request; fields go over a small valid one."""
        return self.client.post(HELLO | fields, path)

    def events(self, **fields: Any) -> list[Event]:
        """The events of a streamed answer that was served."""
        reply = self.ask(stream=True, **fields)
        assert reply.status == 200, reply.body
        return assert_lawful(reply.events())

    def blocks(self, **fields: Any) -> list[JSON]:
        """The content blocks of a streamed answer."""
        return blocks_of(self.events(**fields))

    def served(self, **fields: Any) -> JSON:
        """A whole answer that was served."""
        reply = self.ask(**fields)
        assert reply.status == 200, reply.body
        found: JSON = reply.json()
        return found

    @property
    def sent(self) -> JSON:
        """The last chat request."""
        return self.server.requests[-1]


@contextmanager
def running_stage(
    state: Path, dialect: str, model: str = "deepseek-flash", **options: Any
) -> Iterator[Stage]:
    """A server that is open to everybody, on a chat server that speaks ``dialect``."""
    server = ChatServer(model)
    with serve_app(server) as behind:
        upstream = UpstreamSettings(
            kind="chat", base_url=behind.url, dialect=dialect, model=model, proxy_from_env=False
        )
        settings = Settings(
            upstream=upstream, auth=AuthSettings(mode="open"), state_dir=state, **options
        )
        with serve_app(create_app(settings)) as running:
            yield Stage(server, Client(running.host, running.port))


def error_stop(events: Sequence[Event]) -> str | None:
    """The error that ended a stream, or ``None``."""
    return events[-1]["error"]["message"] if events[-1]["type"] == "error" else None


def stop_reason(events: Sequence[Event]) -> str:
    """How a stream ended."""
    (found,) = [
        event["delta"]["stop_reason"] for event in events if event["type"] == "message_delta"
    ]
    reason: str = found
    return reason
