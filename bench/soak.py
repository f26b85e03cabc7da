"""``python -m bench.soak MINUTES``: mixed load with faults on both sides, watched from outside.

The upstream answers well, slowly, in part, with garbage, with errors, or not at all; clients read
to the end, leave, reset, read slowly, send half a request, a wrong key or no JSON. Once the load
has stopped, descriptors, threads and open requests must be where they were before it, and memory
must not have grown by more than ``MAX_SLOPE`` over the second half. Exits with 1 if not.
"""

import argparse
import pathlib
import random
import re
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress

from bench import processes
from bench.faults import (
    END,
    HEAD,
    TEXT,
    Upstream,
    begin,
    chunk,
    request,
    server,
    until,
    warm_up,
)

MAX_SLOPE = 1.0  # MiB in 10 minutes
MIN_MINUTES = 10  # a slope over less says more of the allocator than of leaks
CLIENTS = 16


class Moody(Upstream):
    """An upstream that fails in every way, by chance, the same chance in every run."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        self.moody = False
        super().__init__(interval=0.002, words=30)

    def _stream(self, sock: socket.socket) -> bool:
        mood = self.chance.random() if self.moody else 0.0
        if mood < 0.6:
            return super()._stream(sock)
        if mood < 0.65:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mood < 0.70:
            sock.sendall(HEAD + chunk(TEXT) * 3)
        elif mood < 0.75:
            sock.sendall(HEAD + chunk(TEXT) + chunk(b"data: nonsense\n\n"))
        elif mood < 0.80:
            sock.sendall(b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}")
            return False
        elif mood < 0.85:
            sock.sendall(b"HTTP/1.1 429 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n")
            return False
        elif mood < 0.9:
            sock.sendall(HEAD + chunk(TEXT))
            sock.settimeout(3)
            with suppress(TimeoutError):
                sock.recv(1)
        elif mood < 0.95:
            sock.sendall(HEAD + chunk(TEXT * 2_000) + chunk(END) + chunk(b""))
            return False
        else:
            sock.sendall(HEAD[:40])
        sock.close()
        return True


def client(port: int, stop: threading.Event, seed: int, told: Counter[str]) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        what = chance.choice(WAYS)
        try:
            told[f"{what.__name__}: {what(port, chance)}"] += 1
        except (OSError, RuntimeError) as error:
            told[f"{what.__name__}: {type(error).__name__}"] += 1


def read(port: int, _: random.Random) -> str:
    with begin(port) as sock:
        return answer(sock)


def leave(port: int, chance: random.Random) -> str:
    with begin(port) as sock:
        sock.recv(chance.choice((1, 100, 1_000)))
        if chance.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "left"


def leave_at_once(port: int, _: random.Random) -> str:
    begin(port).close()
    return "left"


def dawdle(port: int, chance: random.Random) -> str:
    with begin(port) as sock:
        sock.settimeout(2)
        for _ in range(chance.randrange(20)):
            with suppress(TimeoutError):
                if not sock.recv(64):
                    break
            time.sleep(0.01)
    return "left"


def half(port: int, chance: random.Random) -> str:
    whole = request()
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(whole[: chance.randrange(len(whole))])
    return "left"


def stranger(port: int, _: random.Random) -> str:
    with begin(port, "dsm-wrong") as sock:
        return sock.recv(65_536)[9:12].decode()


def nonsense(port: int, chance: random.Random) -> str:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(chance.randbytes(200) + b"\r\n\r\n")
        return sock.recv(65_536)[9:12].decode() or "closed"


WAYS = (read, read, read, read, leave, leave, leave_at_once, dawdle, half, stranger, nonsense)


def answer(sock: socket.socket) -> str:
    data = b""
    while True:
        more = sock.recv(65_536)
        data += more
        if b"event: message_stop" in data:
            return "whole"
        if b"event: error" in data:
            return "error event"
        status = data[9:12].decode()
        if not more or (status not in ("", "200") and b"request_id" in data):
            return status or "closed"


def look(process: subprocess.Popen[bytes], port: int) -> dict[str, int]:
    """Descriptors, threads, open requests."""
    proc = pathlib.Path(f"/proc/{process.pid}")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        metrics = reply.read().decode()
    found = re.findall(r"^deepseek_messages_open_(\w+) (\d+)", metrics, re.MULTILINE)
    return {
        "descriptors": len(list((proc / "fd").iterdir())),
        "threads": len(list((proc / "task").iterdir())),
        **{f"open {name}": int(value) for name, value in found},
    }


def slope(samples: list[tuple[float, int]]) -> float:
    """MiB in ten minutes over the second half."""
    later = samples[len(samples) // 2 :]
    line = statistics.linear_regression([t for t, _ in later], [size for _, size in later])
    return line.slope * 600 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    minutes = parser.parse_args().minutes
    upstream, stop, told = Moody(), threading.Event(), Counter[str]()
    samples: list[tuple[float, int]] = []
    with server(upstream) as (port, process):
        warm_up(port)
        before = look(process, port)
        upstream.moody = True
        threads = [
            threading.Thread(target=client, args=(port, stop, seed, told))
            for seed in range(CLIENTS)
        ]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        while (now := time.monotonic() - start) < minutes * 60:
            samples.append((now, processes.resident_bytes(process.pid)))
            time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        after: dict[str, int] = {}

        def settled() -> bool:
            time.sleep(0.2)
            after.update(look(process, port))
            return all(after[name] <= before[name] for name in before if name != "threads")

        with suppress(TimeoutError):
            until(settled, 60)
    grown = slope(samples)
    print(f"{sum(told.values())} requests in {minutes:g} minutes, {CLIENTS} clients at a time")
    for name, number in sorted(told.items()):
        print(f"  {name}: {number}")
    print(
        f"resident memory: {samples[0][1] >> 20} MiB at first, {samples[-1][1] >> 20} MiB at last"
    )
    print(f"  slope of the second half: {grown:.1f} MiB in 10 minutes")
    for name, value in before.items():
        print(f"{name}: {value} before, {after.get(name)} after")
    bad = [name for name in before if name != "threads" and after[name] > before[name]]
    if minutes >= MIN_MINUTES and grown > MAX_SLOPE:
        bad.append("memory")
    if bad:
        print(f"NOT back where it was: {', '.join(bad)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
