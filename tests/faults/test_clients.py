"""What clients do: leave at any stage, do not read, write slowly, send half, reset."""

import contextlib
import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deepseek_messages.service.tasks import running
from deepseek_messages.translation import limits
from deepseek_messages.web import bodies, paused
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from tests.support.app import Served, served
from tests.support.client import HELLO, STREAM, read_reply
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import WAIT_SECONDS, Gate, wait_until
from tests.support.raw import Reached, Wait

pytestmark = pytest.mark.usefixtures("no_leaks")

KEYS = {"mode": "pass-through"}


def request(body: object = STREAM, *, fields: str = "") -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n"
    return f"{head}{fields}\r\n".encode() + data


@contextlib.contextmanager
def connected(s: Served) -> Iterator[socket.socket]:
    with socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS) as sock:
        yield sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


LEAVING = {"closes": socket.socket.close, "resets": reset}

HALF = ToolCallDelta(index=0, id="c", function=FunctionDelta(name="get", arguments='{"ci'))


def part(**fields: Any) -> ChatChunk:
    return ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(**fields))])


# Where the answer stands when the client leaves: what the upstream has done until then.
STAGES = {
    "before the upstream accepts": lambda gate: [Reached(gate), SILENCE, OPEN],
    "after the upstream accepted": lambda gate: [OPEN, Reached(gate), SILENCE],
    "mid text": lambda gate: [OPEN, text("Hel"), Reached(gate), SILENCE],
    "mid thinking": lambda gate: [OPEN, part(reasoning_content="Let"), Reached(gate), SILENCE],
    "half a tool call": lambda gate: [OPEN, part(tool_calls=[HALF]), Reached(gate), SILENCE],
    "after the text": lambda gate: [OPEN, text("Hello"), FINISH, Reached(gate), SILENCE],
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_client_that_leaves_stops_the_upstream(stage, stream, leave) -> None:  # type: ignore[no-untyped-def]
    gate = Gate()
    upstream = FakeUpstream(stage(gate))
    with served(upstream) as s:
        with connected(s) as sock:
            sock.sendall(request(STREAM if stream else HELLO))
            gate.require("the stage")
            leave(sock)
        upstream.played[0].closed.require("closing the upstream")
        upstream.scripts = [[text("Hello"), FINISH]]
        assert s.client.post(HELLO).status == 200
    assert running() == 0


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("cut", [1, 30, 90, -1], ids=["line", "head", "head end", "body"])
def test_half_a_request_asks_nothing(cut: int, leave) -> None:  # type: ignore[no-untyped-def]
    with served() as s:
        with connected(s) as sock:
            sock.sendall(request()[:cut])
            leave(sock)
        assert s.client.get("/healthz").status == 200
        assert s.upstream.played == []


def test_a_request_of_single_bytes_is_answered() -> None:
    with served() as s, connected(s) as sock:
        for byte in request(HELLO, fields="connection: close\r\n"):
            sock.sendall(bytes([byte]))
        assert sock.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_half_a_body_is_refused_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_IDLE_TIMEOUT", 0.05)
    with served() as s, connected(s) as sock:
        sock.sendall(request()[:-5])
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"timeout_error"' in answer
    assert s.upstream.played == []


def test_a_body_that_trickles_is_refused_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then must not hold a connection for ever."""
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.2)
    with served() as s, connected(s) as sock:
        data = request(HELLO | {"system": "x" * 100_000})
        sock.sendall(data[:500])
        sock.settimeout(0.02)
        answer = b""
        for byte in data[500:]:
            with contextlib.suppress(OSError):
                sock.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                answer += sock.recv(65_536)
            if answer:
                break
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_chunk_that_never_comes_is_refused_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "BODY_IDLE_TIMEOUT", 0.05)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    with served() as s, connected(s) as sock:
        sock.sendall(head + b"ffffffffffffffff\r\n{")
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_never_reads_holds_little_and_is_cut_off() -> None:
    """The upstream is read no faster than the client reads, and stopped when it never does."""
    pieces = [text("x" * 10_000)] * 5_000
    with served(FakeUpstream([*pieces, FINISH]), server={"write_timeout": 0.2}) as s:
        with connected(s) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.sendall(request())
            s.upstream.called.require("the call")
            s.upstream.played[0].closed.require("closing the upstream")
        assert s.client.get("/healthz").status == 200
    assert running() == 0


def test_the_limit_of_unsent_bytes_is_on_the_listener() -> None:
    from deepseek_messages.web.serve import bind

    with bind("127.0.0.1", 0) as listener:
        found = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    assert found == limits.MAX_UNSENT_BYTES


def test_pipelined_streams_are_answered_in_order_and_whole() -> None:
    with served() as s, connected(s) as sock:
        sock.sendall(request() + request(HELLO) + request(fields="connection: close\r\n"))
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"event: message_stop") == 2
    whole = answer.index(b'"content":[{')
    assert answer.index(b"event: message_stop") < whole < answer.rindex(b"event: message_start")


def test_a_client_that_leaves_its_pipeline_stops_every_upstream_call() -> None:
    gate = Gate()
    upstream = FakeUpstream([text("a"), Reached(gate), SILENCE], [text("never asked"), FINISH])
    with served(upstream) as s:
        with connected(s) as sock:
            sock.sendall(request() * 5)
            gate.require("the first answer")
        upstream.played[0].closed.require("closing the upstream")
        assert s.client.get("/healthz").status == 200
    assert len(upstream.played) <= 1
    assert running() == 0


BEHIND = {
    "messages": request(HELLO),
    "another": b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "large": request(HELLO | {"system": "x" * 100_000}),
}


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells of an end behind unread bytes"
)
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_a_client_that_leaves_while_nothing_is_read_from_it_stops_the_upstream(
    behind: bytes,
    leave: Callable[[socket.socket], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paused, "LOOK_EVERY", 0.01)
    gate = Gate()
    upstream = FakeUpstream([text("a"), Reached(gate), SILENCE])
    with served(upstream) as s:
        with connected(s) as sock:
            sock.sendall(request(HELLO))  # nothing is written to the client either
            gate.require("the answer")
            (connection,) = s.app.server.server_state.connections
            sock.sendall(behind)
            wait_until(lambda: connection.flow.read_paused)
            leave(sock)
        upstream.played[0].closed.require("closing the upstream")
    assert len(upstream.played) == 1
    assert running() == 0


def test_one_key_above_its_share_waits_and_others_do_not() -> None:
    gate = Gate()
    upstream = FakeUpstream([OPEN, text("a"), Wait(gate), FINISH])
    with served(upstream, auth=KEYS, server={"max_concurrency_per_key": 1}) as s:
        held = s.client.send("POST", "/v1/messages", HELLO, {"x-api-key": "sk-one"})
        upstream.called.require("the call")
        refused = s.client.post(HELLO, x_api_key="sk-one")
        assert refused.error()[:2] == (429, "rate_limit_error")
        assert refused.headers["retry-after"] == "1"
        gate.set()
        assert s.client.post(HELLO, x_api_key="sk-two").status == 200
        assert read_reply(held).status == 200
        held.close()
        assert s.client.post(HELLO, x_api_key="sk-one").status == 200
