"""However a request is written and cut into packets, every way to the application gives the same
answer, leaves the same in log and metrics, and asks the upstream for the same.
"""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import structlog

from deepseek_messages.web.protocol import BoundedProtocol
from deepseek_messages.web.short_answer import ShortAnswer
from tests.faults.chat_bytes import DONE, USAGE, delta
from tests.support.client import HELLO, STREAM, Client
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import ReadRequest, Step, answer, raw_upstream
from tests.support.short import GOOD, MODELS, serving

KEY = b"X-Api-Key: sk-caller"
HEAD = [b"POST /v1/messages HTTP/1.1", b"Host: localhost", KEY, b"Connection: keep-alive"]
WORDS = json.dumps(HELLO).encode()
EVENTS = answer(delta(content="Hi") + delta("stop", USAGE, content="") + DONE)


class Ordinary(BoundedProtocol):
    """Takes no short cut: ASGI's messages, and a task for each request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._short_cut = False


def head(old: bytes = b"", new: bytes = b"") -> list[bytes]:
    """The lines of the usual head, with ``new`` instead of ``old``."""
    return [line.replace(old, new) for line in HEAD] if old else HEAD


def chunked(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


LENGTH = b"content-length: %d" % len(WORDS)
CASES: dict[str, tuple[list[bytes], bytes]] = {
    "as before": ([*HEAD, LENGTH], WORDS),
    "a stream": (
        [*HEAD, b"content-length: %d" % len(json.dumps(STREAM))],
        json.dumps(STREAM).encode(),
    ),
    "other case": ([*head(KEY, KEY.upper().replace(b"SK-CALLER", b"sk-caller")), LENGTH], WORDS),
    "other order": ([HEAD[0], LENGTH, *HEAD[1:]], WORDS),
    "a query": ([*head(b"messages", b"messages?beta=true&x=%00"), LENGTH], WORDS),
    "an escape": ([*head(b"messages", b"m%65ssages"), LENGTH], WORDS),
    "slashes": ([*head(b"/v1/", b"//v1//"), LENGTH], WORDS),
    "absolute": ([*head(b"/v1/", b"http://localhost/v1/"), LENGTH], WORDS),
    "another method": ([*head(b"POST", b"PUT"), LENGTH], WORDS),
    "another host": ([*head(b"localhost", b"evil.example"), LENGTH], WORDS),
    "two hosts": ([*HEAD, b"host: localhost", LENGTH], WORDS),
    "a local origin": ([*HEAD, b"origin: http://localhost:3000", LENGTH], WORDS),
    "a foreign origin": ([*HEAD, b"origin: https://evil.example", LENGTH], WORDS),
    "no key": ([*head(KEY, b"x: y"), LENGTH], WORDS),
    "a bearer": ([*head(KEY, b"Authorization: bearer sk-caller"), LENGTH], WORDS),
    "two keys": ([*HEAD, b"authorization: Bearer sk-other", LENGTH], WORDS),
    "a key that is none": ([*head(b"sk-caller", b"sk\xe9"), LENGTH], WORDS),
    "a session": ([*HEAD, b"x-claude-code-session-id: s", LENGTH], WORDS),
    "a coding": ([*HEAD, b"content-encoding: gzip", LENGTH], WORDS),
    "an expectation": ([*HEAD, b"expect: a-miracle", LENGTH], WORDS),
    "to be closed": ([*head(b"keep-alive", b"close"), LENGTH], WORDS),
    "an offer": ([*head(b"keep-alive", b"upgrade"), b"upgrade: h2c", LENGTH], WORDS),
    "HTTP/1.0": ([*head(b"HTTP/1.1", b"HTTP/1.0"), LENGTH], WORDS),
    "in chunks": ([*HEAD, b"transfer-encoding: chunked"], chunked(WORDS)),
    "too much": ([*HEAD, b"content-length: 3000"], WORDS.ljust(3000)),
    "too much in chunks": ([*HEAD, b"transfer-encoding: chunked"], chunked(WORDS.ljust(3000))),
    "no JSON": ([*HEAD, b"content-length: 4"], b"\xff{}\x00"),
    "nothing": ([*HEAD, b"content-length: 0"], b""),
    "zeros": ([*HEAD, b"content-length: 000%d" % len(WORDS)], WORDS),
    "many fields": ([*HEAD, *[b"x: y"] * 90, LENGTH], WORDS),
    "too many fields": ([*HEAD, *[b"x: y"] * 100, LENGTH], WORDS),
}


# Those that go the short way.
SHORT = {
    *("as before", "a stream", "other case", "other order", "a query", "a bearer", "two keys"),
    *("a session", "zeros", "many fields"),
}

SETTINGS: dict[str, Any] = {"auth": {"mode": "pass-through"}, "server": {"max_body_bytes": 1_000}}


def asked(sock: socket.socket, *packets: bytes) -> bytes:
    """What comes back for these packets, up to the end of a whole answer or the connection."""
    for packet in packets:
        sock.sendall(packet)
    found = b""
    while not _whole(found) and (data := sock.recv(65_536)):
        found += data
    return found


def _whole(found: bytes) -> bool:
    top, blank, body = found.partition(b"\r\n\r\n")
    length = re.search(rb"\ncontent-length: (\d+)", top)
    return bool(blank) and (len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n"))


def told(directory: Path, way: type[BoundedProtocol], case: str) -> tuple[Any, ...]:
    """What the case gets behind a usual request, in one packet and in two, and what it leaves."""
    lines, body = CASES[case]
    top, usual = b"\r\n".join([*lines, b"", b""]), b"\r\n".join([*HEAD, LENGTH, b"", WORDS])
    turn: list[Step] = [ReadRequest(), GOOD, ReadRequest(), EVENTS if case == "a stream" else GOOD]
    with (
        raw_upstream([ReadRequest(), MODELS, *turn, *turn]) as upstream,
        structlog.testing.capture_logs() as log,
        serving(directory, upstream, way, **SETTINGS) as served,
    ):
        address = served.host, served.port
        answers = []
        for packets in ([top + body], [top, body]):
            with socket.create_connection(address, WAIT_SECONDS) as sock:
                assert asked(sock, usual).startswith(b"HTTP/1.1 200 ")
                answers.append(plain(asked(sock, *packets)))
        counted = Client(*address).get("/metrics").body.decode()
        requests = [
            (each.method, each.target, each.headers[1:], each.body)  # the first names the port
            for each in upstream.connections[0].requests
        ]
    counts = re.findall(r"^deepseek_messages_(?:requests|tokens|open).*", counted, re.MULTILINE)
    apart = {"ms", "first_event_ms", "request_id"}
    lines_left = [{k: v for k, v in entry.items() if k not in apart} for entry in log]
    return answers, lines_left, sorted(counts), requests


def plain(found: bytes) -> tuple[list[bytes], bytes]:
    """The lines of an answer's head, and its body: without dates, names, and sizes of chunks."""
    found = re.sub(rb"(req|msg)_[0-9a-f]+", rb"\1_", re.sub(rb"date: .*", b"date:", found))
    top, _, body = found.partition(b"\r\n\r\n")
    return sorted(top.splitlines()), re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body)


@pytest.mark.parametrize("case", CASES)
def test_every_way_gives_the_same(tmp_path: Path, taken: list[ShortAnswer], case: str) -> None:
    ordinary = told(tmp_path, Ordinary, case)
    assert not taken
    assert told(tmp_path, BoundedProtocol, case) == ordinary
    assert len(taken) == (3 if case in SHORT else 1)  # but for the first, which asks for models
