"""Limits of a connection: the head's size and time, a client that does not read."""

import json
import socket
from contextlib import suppress

import pytest

from deepseek_messages.web import protocol
from tests.support.app import Served, served
from tests.support.client import HELLO, STREAM
from tests.support.clock import SKIPPING, SkippingLoop
from tests.support.fake import FINISH, FakeUpstream, text
from tests.support.gates import WAIT_SECONDS, Gate
from tests.support.raw import Wait

SKIPS = {"loop": SKIPPING}


def connect(s: Served) -> socket.socket:
    return socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS)


def read_all(sock: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            answer += data
    return answer


def jump(s: Served, seconds: float) -> None:
    """Move the clock of a server on a ``SkippingLoop``."""
    assert isinstance(s.app.loop, SkippingLoop)
    s.app.loop.skip(seconds).done.require("the jump")


def envelope_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    assert f"request-id: {found['request_id']}".encode() in head
    return int(head.split()[1]), found["error"]["type"]


MALFORMED = {
    "not HTTP": b"hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "blank before the colon": b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nhost: local\x00host\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: localhost\r\n"
    b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: localhost\r\n"
    b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad length": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
    "connect": b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_malformed_heads_are_400_in_the_envelope(request_bytes: bytes) -> None:
    with served() as s, connect(s) as sock:
        sock.sendall(request_bytes)
        answer = read_all(sock)
    assert envelope_of(answer) == (400, "invalid_request_error")
    assert s.upstream.played == []


BIG = {
    "one long field": b"x-long: " + b"a" * protocol.MAX_HEAD_BYTES + b"\r\n",
    "many fields": b"x: y\r\n" * (protocol.MAX_HEADERS + 1),
    "endless name": b"x" * (2 * protocol.MAX_HEAD_BYTES),
}


@pytest.mark.parametrize("fields", BIG.values(), ids=BIG)
def test_large_heads_are_431_in_the_envelope(fields: bytes) -> None:
    with served() as s, connect(s) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        for start in range(0, len(fields), 4096):
            try:
                sock.sendall(fields[start : start + 4096])
            except ConnectionError:
                break
        with suppress(ConnectionError):
            sock.sendall(b"\r\n")
        answer = read_all(sock)
    assert not answer or envelope_of(answer) == (431, "invalid_request_error")
    assert s.app.open_connections == 0


def test_a_large_head_is_431_whatever_else_is_wrong_with_it() -> None:
    """Its end may come in one packet with the rest, as an endless name without a value."""
    with served() as s, connect(s) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n" + BIG["endless name"] + b"\r\n\r\n")
        answer = read_all(sock)
    assert not answer or envelope_of(answer) == (431, "invalid_request_error")


def test_a_long_request_line_is_refused() -> None:
    with served() as s, connect(s) as sock:
        sock.sendall(b"GET /" + b"a" * protocol.MAX_HEAD_BYTES + b" HTTP/1.1\r\n\r\n")
        assert envelope_of(read_all(sock))[0] == 431


def test_a_body_does_not_count_as_head() -> None:
    body = b"x" * (3 * protocol.MAX_HEAD_BYTES)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    with served() as s, connect(s) as sock:
        sock.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert envelope_of(read_all(sock)) == (400, "invalid_request_error")


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nhost: loc"])
def test_a_slow_head_ends_the_connection(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.05)
    with served() as s, connect(s) as sock:
        sock.sendall(begun)
        assert read_all(sock) == b""


def test_a_slow_second_head_ends_the_connection() -> None:
    with served(server_options=SKIPS) as s, connect(s) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTT")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        jump(s, protocol.HEAD_TIMEOUT)
        assert b"HTTP/1.1" not in read_all(sock)


def test_a_head_that_waits_for_an_answer_is_not_timed() -> None:
    """The next request may begin while an answer is on its way; its clock starts behind it."""
    gate = Gate()
    body = json.dumps(STREAM).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    upstream = FakeUpstream([text("Hel"), Wait(gate), FINISH])
    with served(upstream, server_options=SKIPS) as s, connect(s) as sock:
        sock.sendall(head + body + b"GET / HTT")
        s.upstream.called.require("the call")
        jump(s, 2 * protocol.HEAD_TIMEOUT)
        gate.set()
        answer = b""
        while b"message_stop" not in answer:
            data = sock.recv(65536)
            assert data, answer
            answer += data
        jump(s, protocol.HEAD_TIMEOUT)
        assert b"HTTP/1.1" not in read_all(sock)


UNFINISHED = {
    "a byte of a body": (b"content-length: 9\r\n", b"x"),
    "a whole body": (b"content-length: 9\r\n", b"123456789"),
    "a piece of a chunk": (b"transfer-encoding: chunked\r\n", b"9\r\nx"),
    "a blank line": (b"", b"\r\n"),
}


@pytest.mark.parametrize(("field", "later"), UNFINISHED.values(), ids=UNFINISHED)
@pytest.mark.parametrize("path", [b"GET /healthz", b"POST /v1/messages"])
def test_what_comes_behind_an_answer_does_not_hold_the_connection(
    path: bytes, field: bytes, later: bytes
) -> None:
    """A stranger is answered before its body has come; the rest of it must come in time as well."""
    options = SKIPS | {"timeout_keep_alive": 5}
    with served(auth={"mode": "keys"}, server_options=options) as s, connect(s) as sock:
        sock.sendall(path + b" HTTP/1.1\r\nhost: localhost\r\n" + field + b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 ")
        sock.sendall(later)
        jump(s, 5.0)
        assert read_all(sock) == b""


def test_a_long_answer_is_not_cut_by_the_head_clock() -> None:
    gate = Gate()
    upstream = FakeUpstream([text("Hel"), Wait(gate), FINISH])
    with served(upstream, server_options=SKIPS) as s, s.client.stream() as stream:
        stream.next()
        jump(s, 2 * protocol.HEAD_TIMEOUT)
        gate.set()
        assert stream.rest()[-1]["type"] == "message_stop"


def test_a_client_that_never_reads_is_cut_off() -> None:
    pieces = [text("x" * 60_000)] * 2_000
    with served(FakeUpstream([*pieces, FINISH]), server={"write_timeout": 0.05}) as s:
        connection = s.client.send("POST", "/v1/messages", STREAM)
        s.upstream.called.require("the call")
        s.upstream.played[0].closed.require("closing the upstream")
        connection.close()


def test_two_requests_at_once_are_answered_in_order() -> None:
    first = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    second = b"GET /api/hello HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with served() as s, connect(s) as sock:
        sock.sendall(first + second)
        answer = read_all(sock)
    assert answer.index(b'"status":"ok"') < answer.index(b"deepseek-messages")


OFFER = b"upgrade: h2c\r\n"


def test_many_offers_of_another_protocol_in_one_packet_are_all_declined() -> None:
    one = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n" + OFFER + b"\r\n"
    last = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with served() as s, connect(s) as sock:
        sock.sendall(one * 1_000 + last)
        assert read_all(sock).count(b"HTTP/1.1 200 ") == 1_001


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close, upgrade\r\n",
        b"GET / HTTP/1.0\r\nconnection: upgrade\r\n",
    ],
    ids=["close", "1.0"],
)
def test_a_declined_offer_leaves_the_rest_of_the_head_as_it_was(head: bytes) -> None:
    with served() as s, connect(s) as sock:
        sock.sendall(head + OFFER + b"\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


def posted(path: str, body: object, *, version: str = "1.1", fields: str = "") -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/{version}\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n"
    return f"{head}{fields}\r\n".encode() + data


ANSWERED = {
    "a request that another follows": posted("/v1/messages", STREAM) * 2,
    "a whole answer": posted("/v1/messages", HELLO),
    "a count": posted("/v1/messages/count_tokens", HELLO),
    "a refusal": posted("/v1/messages", {}),
}


@pytest.mark.parametrize("asked", ANSWERED.values(), ids=ANSWERED)
def test_what_is_no_request_ends_the_connection_behind_the_answers(asked: bytes) -> None:
    """A length counted in characters is shorter than the body: its error is the one to tell."""
    with served() as s, connect(s) as sock:
        sock.sendall(asked + b"}]}")
        answer = read_all(sock)
    assert answer.count(b"HTTP/1.1 ") == asked.count(b"POST ")
    assert answer.endswith((b"}", b"0\r\n\r\n"))
    assert b"Malformed" not in answer


BEHIND = {
    "garbage": b"garbage\r\n\r\n" * 10_000,
    "a head too large": b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000,
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_what_comes_while_an_answer_is_written_does_not_cut_it(behind: bytes) -> None:
    gate = Gate()
    upstream = FakeUpstream([text("one"), Wait(gate), text("two"), FINISH])
    with served(upstream) as s, connect(s) as sock:
        sock.sendall(posted("/v1/messages", STREAM))
        upstream.called.require("the call")
        sock.sendall(behind)
        sock.sendall(behind)
        assert s.client.get("/healthz").status == 200  # what was sent before was read before
        gate.set()
        assert read_all(sock).endswith(b'message_stop"}\n\n\r\n0\r\n\r\n')


@pytest.mark.parametrize("fields", ["", "connection: keep-alive\r\n", "expect: 100-continue\r\n"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_client_of_http_1_0_is_answered_in_its_terms(path: str, fields: str) -> None:
    """RFC 9112 6.1: no chunks; RFC 9110 10.1.1: no interim answer, whatever it asks for."""
    with served() as s, connect(s) as sock:
        sock.sendall(posted(path, STREAM, version="1.0", fields=fields))
        head, _, body = read_all(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"transfer-encoding" not in head
    assert head.count(b"connection: close") == 1
    assert body.endswith((b'message_stop"}\n\n', b"}"))
    assert body.startswith((b"event: message_start\n", b'{"input_tokens"'))
