"""Clients that do not take an answer which is complete already, and connections that are gone."""

import gc
import json
import socket
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import bounded_protocol
from deepseek_messages.web.serve import bind
from tests.faults.test_clients import connected, request, reset
from tests.support.app import served, settings_for
from tests.support.client import HELLO, STREAM
from tests.support.clock import SKIPPING, SkippingLoop
from tests.support.fake import FINISH, FakeUpstream, text
from tests.support.gates import WAIT_SECONDS, wait_until
from tests.support.servers import serve_app

pytestmark = pytest.mark.usefixtures("no_leaks")


# Bytes of an answer that the system and the connection hold without anybody being asked to wait.
UNREAD = 200_000


@pytest.mark.parametrize("fields", ["", "connection: close\r\n"], ids=["kept", "closed"])
@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "stream"])
def test_who_leaves_a_complete_answer_unread_is_cut_off(
    body: dict[str, object], fields: str
) -> None:
    upstream = FakeUpstream([text("x" * UNREAD), FINISH])
    options = {"listener": bind("127.0.0.1", 0)}  # which bounds what the system holds
    with (
        served(upstream, server={"write_timeout": 0.1}, server_options=options) as s,
        socket.socket() as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect((s.app.host, s.app.port))
        sock.sendall(request(body, fields=fields))
        upstream.called.require("the call")
        upstream.played[0].closed.require("closing the upstream")
        wait_until(lambda: s.app.open_connections == 0)


def read_slowly(upstream: FakeUpstream, size: int, seconds: float) -> bytes:
    """The whole answer, read ``size`` bytes at a time by a client that waits ``seconds`` each time,
    of a server whose ``write_timeout`` is 100 s.
    """
    options = {"listener": bind("127.0.0.1", 0), "loop": SKIPPING}
    with (
        served(upstream, server={"write_timeout": 100.0}, server_options=options) as s,
        socket.socket() as sock,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.connect((s.app.host, s.app.port))
        sock.sendall(request(STREAM, fields="connection: close\r\n"))
        answer = b""
        while data := sock.recv(size):
            answer += data
            assert isinstance(s.app.loop, SkippingLoop)
            s.app.loop.skip(seconds).done.require("the jump")
    return answer


def test_who_reads_slowly_in_the_end_gets_all() -> None:
    """All takes far longer than ``write_timeout``, and no part of it does."""
    answer = read_slowly(FakeUpstream([text("x" * 5 * UNREAD), FINISH]), 4_096, 2.0)
    assert len(answer) / 4_096 * 2.0 > 2 * 100.0
    assert b"event: message_stop" in answer


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what the system takes is known")
def test_who_reads_very_slowly_is_not_taken_for_one_who_reads_nothing() -> None:
    """What he takes in ``write_timeout`` is less than the system asks for at a time."""
    upstream = FakeUpstream([text("x" * UNREAD) for _ in range(3)] + [FINISH])
    assert b"event: message_stop" in read_slowly(upstream, 2_048, 10.0)


WHOLE = {
    "id": "c",
    "choices": [{"index": 0, "message": {"content": "x" * 20_000}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3},
}
MODELS = {"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}


class Chat:
    """A chat server that answers at once and counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asking = scope["method"] == "POST"
        while asking and (await receive()).get("more_body"):
            pass
        body = json.dumps(WHOLE if asking else MODELS).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})
        self.asked += asking


def test_who_asks_on_and_reads_nothing_is_not_answered_on(tmp_path: Path) -> None:
    """Each request comes alone, behind one that was answered: nothing is left to wait for it."""
    chat = Chat()
    with serve_app(chat, lifespan="off") as below:
        upstream = UpstreamSettings(
            kind="chat", base_url=below.url, dialect="deepseek", proxy_from_env=False
        )
        app = create_app(settings_for(tmp_path, upstream=upstream))
        options = {"http": bounded_protocol(write_timeout=WAIT_SECONDS), "proxy_headers": False}
        with (
            serve_app(app, bind("127.0.0.1", 0), **options) as running,
            socket.socket() as sock,
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.connect((running.host, running.port))
            asked = -1
            while chat.asked > asked:  # until one more is not answered within a while
                asked = chat.asked
                assert asked < 100, "answered on and on"
                sock.sendall(request(HELLO))
                end = time.monotonic() + 0.5
                while chat.asked == asked and time.monotonic() < end:
                    time.sleep(0.005)


def test_a_connection_that_was_reset_is_let_go_at_once() -> None:
    with served(server_options={"timeout_keep_alive": 2 * WAIT_SECONDS}) as s:
        with connected(s) as sock:
            sock.sendall(request(HELLO))
            sock.recv(65_536)
            (made,) = s.app.server.server_state.connections
            kept = weakref.ref(made)
            del made
            reset(sock)
        wait_until(lambda: s.app.open_connections == 0)
        wait_until(lambda: gc.collect() >= 0 and kept() is None)
