"""A client that reads nothing of a stream: how much the whole chain takes from the upstream for it.

Counted when the client is cut off, so no more can come. The client's window is as small as it gets;
what the server's own system holds for it is part of what is counted.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import UpstreamSettings
from deepseek_messages.upstreams.http.connection import Connection
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import bounded_protocol
from deepseek_messages.web.serve import bind
from tests.faults.chat_bytes import delta
from tests.faults.test_clients import request
from tests.support.app import served, settings_for
from tests.support.asgi import RunningApp, serve_app
from tests.support.client import STREAM
from tests.support.fake import FINISH, FakeUpstream, text
from tests.support.gates import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

MOST = 512 * 1024
PIECE = 10_000
PIECES = 1_000

THINKING = STREAM | {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@contextmanager
def stalled(app: RunningApp, body: dict[str, Any]) -> Iterator[None]:
    """A client that asks and never reads."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect((app.host, app.port))
        sock.sendall(request(body))
        yield


class Counted(FakeUpstream):
    """Counts the bytes of text that were taken."""

    taken = 0

    async def open(self, call: Any) -> Any:
        stream = await super().open(call)
        read = stream.read

        async def counted() -> Any:
            chunks = await read()
            Counted.taken += PIECE * len(chunks)
            return chunks

        stream.read = counted
        return stream


def test_a_stalled_client_makes_the_server_hold_little_of_an_answer() -> None:
    Counted.taken = 0
    upstream = Counted([*[text("x" * PIECE)] * PIECES, FINISH])
    options = {"listener": bind("127.0.0.1", 0)}
    with (
        served(upstream, server={"write_timeout": 0.2}, server_options=options) as s,
        stalled(s.app, STREAM),
    ):
        upstream.called.require("the call")
        upstream.played[0].closed.require("closing the upstream")
    assert 0 < Counted.taken <= MOST


class Chat:
    """A chat server that streams far more than anybody holds."""

    def __init__(self, piece: bytes) -> None:
        self.piece = piece

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET":
            data = json.dumps({"object": "list", "data": [{"id": "deepseek-chat"}]}).encode()
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": data})
            return
        while (await receive()).get("more_body"):
            pass
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for _ in range(PIECES):
            await send({"type": "http.response.body", "body": self.piece, "more_body": True})


EVENT = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n'
)

# What comes in a piece, and the size of what is made of it in relation to that.
PIECES_OF = {
    "text": (delta(content="x" * PIECE), 1),
    "small pieces": (delta(content="x") * 40, len(EVENT) / len(delta(content="x"))),
    "reasoning": (delta(reasoning_content="x" * PIECE), 1),
}


@pytest.mark.parametrize(("piece", "share"), PIECES_OF.values(), ids=PIECES_OF)
def test_a_stalled_client_makes_the_whole_chain_hold_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: bytes, share: float
) -> None:
    """As bytes that the server read from its upstream's connection."""
    taken = 0
    received = Connection.buffer_updated

    def count(self: Connection, size: int) -> None:
        nonlocal taken
        taken += size
        received(self, size)

    monkeypatch.setattr(Connection, "buffer_updated", count)
    chat = Chat(piece)
    with serve_app(chat, lifespan="off") as below:
        upstream = UpstreamSettings(
            kind="chat", base_url=below.url, dialect="deepseek", proxy_from_env=False
        )
        app = create_app(settings_for(tmp_path, upstream=upstream))
        options = {"http": bounded_protocol(write_timeout=0.2), "proxy_headers": False}
        with serve_app(app, bind("127.0.0.1", 0), **options) as running, stalled(running, THINKING):
            wait_until(lambda: taken > 0)
            wait_until(lambda: running.open_connections == 0)
    assert 0 < taken * share <= MOST
