"""Clients that never read a stream without end: what the server holds for each of them, and when
it cuts them off.
"""

import pathlib
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from bench.faults import END, HEAD, TEXT, Upstream, begin, chunk, read_until, request, server, until

PIECE = chunk(TEXT * 100)

# What the scripted side lets the kernel hold, in bytes: what is counted is to be the server's.
SMALL = 4096


class Flood(Upstream):
    """Sends as fast as it is read, ``size`` bytes once ``endless`` is unset; counts what is taken
    from each answer.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.endless = False
        self.taken: list[int] = []
        super().__init__(interval=0, words=0)

    def _stream(self, sock: socket.socket) -> bool:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        with self._lock:
            number = len(self.taken)
            self.taken.append(0)
        with suppress(OSError):
            sock.sendall(HEAD)
            while self.endless or self.taken[number] < self.size:
                sock.sendall(PIECE)
                self.taken[number] += len(PIECE)
            sock.sendall(chunk(END) + chunk(b""))
            return False
        return True


def anonymous_bytes(pid: int) -> int:
    """Resident memory without the pages of files, which come and go with what is read."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def never_reads(port: int) -> socket.socket:
    """A client that asks and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    sock.connect(("127.0.0.1", port))
    sock.sendall(request())
    return sock


def still(value: Callable[[], int], seconds: float = 1.0) -> None:
    """Return once ``value`` has not changed for so long."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.02)
        if (now := value()) != last:
            last, since = now, time.monotonic()


def in_time(port: int, clients: int) -> None:
    """So many whole answers at the same time: what they need is no cost of those that stall."""

    def read() -> None:
        with begin(port) as sock:
            read_until(sock, b"message_stop")

    threads = [threading.Thread(target=read) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def stalled(clients: int, write_timeout: float) -> None:
    """Measure, and print it."""
    upstream = Flood(size=500_000)
    with server(upstream, write_timeout=write_timeout) as (port, process):
        for _ in range(2):
            in_time(port, clients)
        upstream.taken.clear()
        upstream.closed.clear()
        upstream.endless = True
        before = anonymous_bytes(process.pid)
        start = time.perf_counter()
        socks = [never_reads(port) for _ in range(clients)]
        until(lambda: len(upstream.taken) == clients)
        still(lambda: sum(upstream.taken), min(1.0, write_timeout / 3))
        held = (anonymous_bytes(process.pid) - before) / clients / 1024
        taken = statistics.mean(upstream.taken) / 1024
        until(lambda: len(upstream.closed) == clients, write_timeout * 3 + 30)
        last = time.perf_counter() - start
        for sock in socks:
            sock.close()
    print(
        f"| {clients} clients that never read, write_timeout {write_timeout:g} s | "
        f"{held:.0f} KiB each ({taken:.0f} KiB of the upstream's, with kernel buffers), "
        f"all cut off after {last:.1f} s | ≤ 512 KiB |"
    )
