"""Huge malformed bodies: how soon they are refused once they are there, and for how long the event
loop is held meanwhile, which is seen from another connection.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from bench.faults import KEY, Upstream, read_until, server

MILLION = 1_000_000
MOST = 32 * 1024 * 1024  # bytes that are read


def within(messages: str) -> bytes:
    return f'{{"model": "m", "max_tokens": 1, "messages": {messages}}}'.encode()


def filled(begin: bytes, piece: bytes, end: bytes) -> bytes:
    """As many pieces as a body may have bytes."""
    return begin + piece * ((MOST - len(begin) - len(end)) // len(piece)) + end


USER = '{"role": "user", "content": '
HEAD = b'{"model": "m", "max_tokens": 1, "messages": '

# Each is wrong in one place: at its end, where it takes longest to be found.
BODIES: dict[str, Callable[[], bytes]] = {
    "arrays 100,000 deep": lambda: within("[" * 100_000),
    "objects 100,000 deep in a tool's input": lambda: within(
        f'[{USER}[{{"type": "tool_use", "id": "i", "name": "n", "input": '
        + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}]}]"
    ),
    "a million messages that are numbers": lambda: within("[" + "1," * MILLION + "1]"),
    "300,000 messages, the last without content": lambda: within(
        "[" + (USER + '"a"},') * 300_000 + '{"role": "user"}]'
    ),
    "a million blocks in a message, the last unknown": lambda: within(
        f"[{USER}[" + '{"type":"text","text":""},' * MILLION + '{"type":"x"}]}]'
    ),
    "a million keys in a tool's input, then no JSON": lambda: within(
        '[{"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "n", "input": {'
        + ",".join(f'"k{n}":1' for n in range(MILLION)) + "}}]}"
    ),
    "a million items in a schema, then no max_tokens": lambda: (
        b'{"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": [{"name": "t",'
        b' "input_schema": {"enum": [' + b"1," * MILLION + b"1]}}]}"
    ),
    "32 MiB of text, then no JSON": lambda: filled(
        HEAD + b'[{"role": "user", "content": "', b"a", b""
    ),
    "32 MiB of text outside ASCII, then no JSON": lambda: filled(
        HEAD + b'[{"role": "user", "content": "', "\u4f60".encode(), b""
    ),
    "32 MiB of escapes, then no JSON": lambda: filled(
        HEAD + b'[{"role": "user", "content": "', b"\\u4f60", b""
    ),
    "32 MiB of small messages, the last of no role": lambda: filled(
        HEAD + b"[", b'{"role":"user","content":"a"},', b'{"content":"a"}]}'
    ),
    "32 MiB of small arrays": lambda: filled(HEAD + b"[", b"[],", b"1]}"),
    "32 MiB of blanks": lambda: b" " * MOST,
    "32 MiB and a byte": lambda: b" " * (MOST + 1),
}  # fmt: skip


class Pulse:
    """Asks for ``/healthz`` without a break; remembers the longest wait since ``begin``."""

    def __init__(self, port: int) -> None:
        self.longest = 0.0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), 60) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._stop.is_set():
                start = time.perf_counter()
                sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                read_until(sock, b'"ok"')
                self.longest = max(self.longest, time.perf_counter() - start)
                time.sleep(0.0005)


def answered(port: int, body: bytes) -> tuple[float, str]:
    """Seconds from the last byte sent to the answer, and its status."""
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\n"
    head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(head.encode() + body)
        start = time.perf_counter()
        answer = read_until(sock, b'"request_id"')
        return time.perf_counter() - start, answer[9:12].decode()


def measured(port: int) -> Iterator[tuple[str, str, list[float], float]]:
    """Name, status, seconds of three tries, and the longest hold in seconds."""
    for name, make in BODIES.items():
        body = make()
        with Pulse(port) as pulse:
            tries = [answered(port, body) for _ in range(3)]
        yield name, tries[0][1], [seconds for seconds, _ in tries], pulse.longest


def huge() -> None:
    """Measure, and print it."""
    print(
        "| huge body | status | refused after, ms | loop held, ms | target |\n|---|---|---|---|---|"
    )
    with server(Upstream(interval=0.001, words=1)) as (port, _):
        answered(port, within("[]"))
        for name, status, seconds, held in measured(port):
            best = min(seconds) * 1e3
            print(f"| {name} | {status} | {best:.0f} | {held * 1e3:.0f} | 4xx, ≤ 50 ms |")


if __name__ == "__main__":
    huge()
