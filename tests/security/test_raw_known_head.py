"""Hostile bytes on a connection whose client has sent sound requests before: their head is known
there, and is not read by the parser again (``web/known_head.py``).
"""

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from deepseek_messages.web.protocol import BoundedProtocol
from tests.security.raw_cases import CASES, CLOSE, GET, LENGTH, POST, PROMPT, SMUGGLED, Case
from tests.security.test_raw_http import CLOSED, MAX_ANSWER, connect, whole
from tests.support.app import Served
from tests.support.gates import WAIT_SECONDS

HEAD = POST + LENGTH + b"\r\n"


class Watched(BoundedProtocol):
    """Tells how many bytes were taken from the client at a port: all, once it is gone."""

    changed = threading.Condition()
    taken: dict[int, float] = {}

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._tell(0)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._tell(Watched.taken[self._port] + len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(math.inf)
        super().connection_lost(exc)

    @property
    def _port(self) -> int:
        assert self.client is not None
        return self.client[1]

    def _tell(self, size: float) -> None:
        with Watched.changed:
            Watched.taken[self._port] = size
            Watched.changed.notify_all()


class Line:
    """A connection to a server of ``Watched`` connections."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sent = 0

    def send(self, data: bytes) -> None:
        """Send a packet, maybe the last one."""
        self._sent += len(data)
        with suppress(ConnectionError):  # the server may have closed by now
            self._sock.sendall(data)

    def send_first(self, data: bytes) -> None:
        """Send a packet, and wait until the server has taken it."""
        port = self._sock.getsockname()[1]
        self._sent += len(data)
        self._sock.sendall(data)
        with Watched.changed:
            assert Watched.changed.wait_for(lambda: Watched.taken[port] >= self._sent, WAIT_SECONDS)

    def answer(self, *, closes: bool) -> bytes:
        """What comes back until the server closes, or, where it need not, has answered."""
        found = b""
        with suppress(ConnectionResetError):
            while (closes or not whole(found)) and (data := self._sock.recv(65_536)):
                found += data
                assert len(found) < MAX_ANSWER
        return found


@contextmanager
def acquainted(s: Served) -> Iterator[Line]:
    """A connection that has asked twice in a sound way."""
    with connect(s) as sock:
        line = Line(sock)
        for _ in range(2):
            line.send(HEAD + PROMPT)
            assert line.answer(closes=False).startswith(b"HTTP/1.1 200 ")
        s.upstream.played.clear()
        yield line


@pytest.fixture
def watched(server: Callable[..., Served]) -> Served:
    return server("watched", server_options={"http": Watched})


def check(s: Served, case: Case, answer: bytes) -> None:
    if not answer:
        assert 0 in case.status
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in case.status
    if status >= 400:
        envelope, _ = json.JSONDecoder().raw_decode(body.decode())
        assert f"request-id: {envelope['request_id']}".encode() in head
        assert not case.closes or CLOSED in head, "an idle connection is closed, too, in the end"
        assert s.upstream.played == []
    assert b"deepseek_messages_" not in answer, "a smuggled request was answered"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_bytes_behind_sound_requests(watched: Served, case: Case) -> None:
    with acquainted(watched) as line:
        line.send(case.sent)
        check(watched, case, line.answer(closes=case.closes))
    assert watched.client.get("/healthz").status == 200


IN_TWO = [case for case in CASES if case.sent.partition(b"\r\n\r\n")[2]]


@pytest.mark.parametrize("case", IN_TWO, ids=lambda case: case.name)
def test_hostile_bytes_in_two_packets(watched: Served, case: Case) -> None:
    """The body comes behind its head, as many clients send it."""
    head, blank, body = case.sent.partition(b"\r\n\r\n")
    with acquainted(watched) as line:
        line.send_first(head + blank)
        line.send(body)
        check(watched, case, line.answer(closes=case.closes))
    assert watched.client.get("/healthz").status == 200


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert len(IN_TWO) >= 30


def sized(length: int) -> bytes:
    """The known head, with another length."""
    return POST + b"content-length: %d\r\n\r\n" % length


# Behind the known head: what comes in the next packet, and the statuses of the answers. A client
# whose bytes are malformed gets the answer that it is owed to what came before, and nothing more.
NEXT = GET + CLOSE + b"\r\n"
CHUNKS = POST + LENGTH + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
BODIES: dict[str, tuple[bytes, bytes, list[int]]] = {
    "the whole body": (HEAD, PROMPT + NEXT, [200, 200]),
    "zeros before the length": (
        POST + b"content-length: 000%d\r\n\r\n" % len(PROMPT),
        PROMPT + NEXT,
        [200, 200],
    ),
    "a request as a body": (sized(len(SMUGGLED)), SMUGGLED + NEXT, [400, 200]),
    "no JSON": (sized(4), b"\x00\x00\x00\x00" + NEXT, [400, 200]),
    "more than told": (sized(len(PROMPT)), PROMPT + b"x" * 9 + b"\r\n\r\n", [200]),
    "chunks with a length behind it": (sized(len(PROMPT)), PROMPT + CHUNKS, [200]),
    "told to be shorter": (sized(10), PROMPT + b"\r\n\r\n", [400]),
    "told to be empty": (sized(0), PROMPT + b"\r\n\r\n", [400, 400]),
}


@pytest.mark.parametrize(("head", "body", "statuses"), BODIES.values(), ids=BODIES)
def test_a_body_behind_a_known_head_is_as_long_as_told(
    watched: Served, head: bytes, body: bytes, statuses: list[int]
) -> None:
    with acquainted(watched) as line:
        line.send_first(head)
        line.send(body)
        answer = line.answer(closes=True)
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == statuses
    assert b"deepseek_messages_" not in answer


@pytest.mark.parametrize("left", [1, len(PROMPT)], ids=["a byte", "all of it"])
def test_a_body_behind_a_known_head_that_never_comes_asks_nothing(
    watched: Served, left: int
) -> None:
    with acquainted(watched) as line:
        line.send_first(HEAD)
        line.send(PROMPT[:-left])
    assert watched.client.get("/healthz").status == 200
    assert watched.upstream.played == []
