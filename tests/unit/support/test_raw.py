"""The scripted TCP server."""

import http.client
import socket

import pytest

from tests.support.gates import WAIT_SECONDS
from tests.support.servers import (
    Cut,
    Gate,
    HalfClose,
    Reached,
    ReadRequest,
    Reset,
    Stall,
    Wait,
    answer,
    chunk,
    pieces,
    raw_upstream,
    split,
)


def post(port: int, body: object = b"{}", **headers: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        client.request("POST", "/chat?x=1", body=body, headers=headers)
        response = client.getresponse()
        return response.status, response.read()
    finally:
        client.close()


def test_answers_and_records_the_request(no_leaks):
    with raw_upstream([ReadRequest(), answer(b"[1]", 429, {"x-a": "b"})]) as upstream:
        assert post(upstream.port, b'{"a":1}', authorization="Bearer k") == (429, b"[1]")
        request = upstream.request()
    assert (request.method, request.target, request.body) == ("POST", "/chat?x=1", b'{"a":1}')
    assert request.header("Authorization") == "Bearer k"


def test_reads_a_chunked_request(no_leaks):
    with raw_upstream([ReadRequest(), answer(b"{}")]) as upstream:
        post(upstream.port, iter([b"ab", b"cde"]))
        assert upstream.request().body == b"abcde"


@pytest.mark.parametrize("steps", [pieces(b"abcdef"), split(b"abcdef", 2, 4), [b"abcdef"]])
def test_sends_every_piece(steps, no_leaks):
    with (
        raw_upstream(steps) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS) as peer,
    ):
        assert peer.makefile("rb").read() == b"abcdef"


def test_holds_back_until_the_gate_opens(no_leaks):
    gate, reached = Gate(), Gate()
    with (
        raw_upstream([b"a", Reached(reached), Wait(gate), b"b"]) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS) as peer,
    ):
        assert peer.recv(10) == b"a"
        reached.require()
        gate.set()
        assert peer.recv(10) == b"b"


def test_cut_ends_with_fin(no_leaks):
    with (
        raw_upstream([b"a", Cut(), b"never"]) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS) as peer,
    ):
        assert peer.makefile("rb").read() == b"a"


def test_reset_ends_with_rst(no_leaks):
    gate = Gate()
    with (
        raw_upstream([Wait(gate), Reset()]) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS) as peer,
    ):
        gate.set()
        with pytest.raises(ConnectionResetError):
            peer.recv(10)


def test_tells_when_the_peer_left_while_it_stalls(no_leaks):
    with raw_upstream([Stall()]) as upstream:
        with socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS):
            assert not upstream.connection().peer_closed.is_set()
        upstream.connection().peer_closed.require()


def test_reads_on_after_a_half_close(no_leaks):
    with (
        raw_upstream([b"a", HalfClose(), Stall()]) as upstream,
        socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS) as peer,
    ):
        assert peer.makefile("rb").read() == b"a"
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        upstream.connection().peer_closed.require()
        assert upstream.connection().received.startswith(b"GET /")


def test_each_connection_plays_its_own_script_and_the_last_repeats(no_leaks):
    with raw_upstream([ReadRequest(), answer(b"1")], [ReadRequest(), answer(b"2")]) as upstream:
        assert [post(upstream.port)[1] for _ in range(3)] == [b"1", b"2", b"2"]


def test_stops_while_a_connection_stalls(no_leaks):
    with raw_upstream([Stall()]) as upstream:
        peer = socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_SECONDS)
        upstream.connection()
    with peer:
        assert peer.recv(1) == b""


def test_a_chunk_is_http_chunked_coding():
    assert chunk(b"hello world, 16b") == b"10\r\nhello world, 16b\r\n"
    assert chunk(b"") == b"0\r\n\r\n"
