"""Hostile bytes: refused and closed, never a 5xx, never a hang, and nothing gets through.

The cases go over real connections, so they hold for whichever protocol reads them.
"""

import json
import re
import socket
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from deepseek_messages.store.keys import KeyFile
from tests.security.raw_cases import (
    CASES,
    CHUNKED,
    CLOSE,
    GET,
    LENGTH,
    POST,
    PROMPT,
    Case,
    chunks,
)
from tests.support.app import Served
from tests.support.gates import WAIT_SECONDS

MAX_ANSWER = 100_000
CLOSED = b"\r\nconnection: close"


def connect(s: Served) -> socket.socket:
    return socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS)


def exchange(s: Served, case: Case) -> bytes:
    """What comes back until the server closes, or, where it need not, has answered."""
    answer = b""
    with connect(s) as sock:
        with suppress(ConnectionError):  # it may close before it has read everything
            sock.sendall(case.sent)
        with suppress(ConnectionResetError):
            while (case.closes or not whole(answer)) and (data := sock.recv(65_536)):
                answer += data
                assert len(answer) < MAX_ANSWER
    return answer


def whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_bytes(server: Callable[..., Served], case: Case) -> None:
    s = server("open")
    answer = exchange(s, case)
    if not answer:
        assert 0 in case.status
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in case.status
    if status >= 400:
        envelope, _ = json.JSONDecoder().raw_decode(body.decode())
        assert envelope["type"] == "error"
        assert f"request-id: {envelope['request_id']}".encode() in head
        assert not case.closes or CLOSED in head, "an idle connection is closed, too, in the end"
        assert s.upstream.played == []
    assert b"deepseek_messages_" not in answer, "a smuggled request was answered"
    assert s.client.get("/healthz").status == 200


def test_there_are_enough_cases() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 60


def test_trailers_are_no_headers(server: Callable[..., Served]) -> None:
    """RFC 9110 §6.5.1: what comes behind a body must not pass for what was checked before it."""
    s = server("keys", auth={"mode": "keys"})
    key = KeyFile(s.state / "keys").create("trailing")
    body = POST + CHUNKED + CLOSE + b"\r\n" + chunks(PROMPT) + b"0\r\n"
    with connect(s) as sock:
        sock.sendall(body + b"x-api-key: " + key.encode() + b"\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_request_that_offers_an_upgrade_is_answered_and_the_connection_kept(
    server: Callable[..., Served],
) -> None:
    """Java's HTTP client offers HTTP/2 with every plain request."""
    s = server("open")
    offer = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    with connect(s) as sock:
        for _ in range(2):
            sock.sendall(POST + offer + LENGTH + b"\r\n" + PROMPT)
            answer = b""
            while not whole(answer):
                answer += sock.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_thousand_pipelined_requests_are_answered_in_order(
    server: Callable[..., Served],
) -> None:
    s = server("open")
    paths = [f"/nothing/{number}" for number in range(1_000)]
    requests = [f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode() for path in paths]
    with connect(s) as sock:
        sender = threading.Thread(target=sock.sendall, args=(b"".join(requests),))
        sender.start()
        answer = b""
        while answer.count(b"HTTP/1.1 404") < len(paths) or not answer.endswith(b"}"):
            data = sock.recv(1_000_000)
            assert data, "closed early"
            answer += data
        sender.join()
    found = re.findall(rb"Not found: GET (/nothing/\d+)", answer)
    assert found == [path.encode() for path in paths]


def test_memory_stays_flat_under_a_flood_of_hostile_bytes(server: Callable[..., Served]) -> None:
    """Heads, chunk sizes and trailers that never end, on many connections that stay open."""
    s = server("open")
    endless = [
        b"GET /" + b"a" * 3_000_000,
        GET + b"x-a: " + b"b" * 3_000_000,
        GET + b"x: y\r\n" * 500_000,
        POST + CHUNKED + b"\r\n" + b"0" * 3_000_000,
        POST + CHUNKED + b"\r\n5;a=" + b"b" * 3_000_000,
        POST + CHUNKED + b"\r\n" + chunks(PROMPT) + b"0\r\n" + b"x: y\r\n" * 500_000,
    ]
    exchange(s, Case("warm", endless[0], frozenset()))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for sent in endless:
            exchange(s, Case("endless", sent, frozenset()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2_000_000
