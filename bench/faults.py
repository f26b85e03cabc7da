"""``python -m bench.faults``: how fast the server lets go, refuses and stops.

One server process on a scripted upstream; figures in milliseconds, percentiles over many tries.
"""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from bench import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent

KEY = "bench-faults-key"
PROMPT = {
    "model": "deepseek-chat",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": True,
}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
END = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":7,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)
MODELS = b'{"object":"list","data":[{"id":"deepseek-chat","object":"model"}]}'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream:
    """Speaks every ``interval`` seconds, and notes when its peer leaves."""

    def __init__(self, interval: float, words: int) -> None:
        self.interval, self.words = interval, words
        self.closed: list[float] = []
        self.open = 0
        self._lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := sock.recv(65_536):
                if data.startswith(b"GET"):
                    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    sock.sendall(head + b"content-length: %d\r\n\r\n%s" % (len(MODELS), MODELS))
                    continue
                with self._lock:
                    self.open += 1
                try:
                    if self._stream(sock):
                        self.closed.append(time.perf_counter())
                        return
                finally:
                    with self._lock:
                        self.open -= 1

    def _stream(self, sock: socket.socket) -> bool:
        """Whether the peer left before the end."""
        sock.sendall(HEAD)
        for _ in range(self.words):
            sock.sendall(chunk(TEXT))
            sock.settimeout(self.interval)
            try:
                if not sock.recv(65_536):
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
            finally:
                sock.settimeout(None)
        sock.sendall(chunk(END) + chunk(b""))
        return False


@contextmanager
def server(
    upstream: Upstream, *, program: Sequence[str] = ("deepseek_messages",), **settings: object
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The server on ``upstream``: its port and process. ``settings`` are those of ``[server]``;
    ``program`` is the module that is run, and arguments before the program's own.
    """
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "bench.toml")
        config.write_text(
            f'state_dir = "{folder}"\n'
            f'[server]\nport = 0\n{lines}\n[auth]\nmode = "keys"\nkey_digests = ["{digest}"]\n'
            f'[upstream]\nkind = "chat"\nbase_url = "http://127.0.0.1:{upstream.port}"\n'
            'dialect = "deepseek"\napi_key = "bench-upstream-key"\n[log]\nlevel = "error"\n'
        )
        command = [sys.executable, "-m", *program, "serve", "--config", str(config)]
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        environment |= {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
        options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        options["cwd"] = ROOT
        with processes.running(command, **options) as process:
            yield processes.told_port(process), process


def request(key: str = KEY) -> bytes:
    body = json.dumps(PROMPT).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def begin(port: int, key: str = KEY) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(request(key))
    return sock


def read_until(sock: socket.socket, what: bytes) -> bytes:
    data = b""
    while what not in data:
        more = sock.recv(65_536)
        if not more:
            raise RuntimeError(f"closed before {what!r}: {data[-300:]!r}")
        data += more
    return data


def warm_up(port: int) -> None:
    """What is loaded once, as the tokenizer is, is no cost of the request that is measured."""
    for _ in range(20):
        with begin(port) as sock:
            read_until(sock, b"word ")
    time.sleep(2)


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.001)


def show(name: str, values: list[float], target: str) -> None:
    values = sorted(values)
    at = [values[min(len(values) - 1, int(len(values) * q))] for q in (0.5, 0.99)]
    print(f"| {name} | {len(values)} | {at[0]:.1f} | {at[1]:.1f} | {values[-1]:.1f} | {target} |")


def leave(tries: int) -> None:
    """From the client's reset or close to the upstream's connection being closed."""
    upstream = Upstream(interval=60, words=2)
    taken: list[float] = []
    with server(upstream) as (port, _):
        for number in range(tries):
            sock = begin(port)
            read_until(sock, b"word ")
            seen = len(upstream.closed)
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            left = time.perf_counter()
            sock.close()
            until(lambda seen=seen: len(upstream.closed) > seen)  # type: ignore[misc]
            taken.append((upstream.closed[seen] - left) * 1e3)
    show("client gone to upstream closed", taken, "p99 ≤ 50 ms")


def overload(limit: int, tries: int) -> None:
    """Refusals beyond the limit, and the pace of those that were admitted meanwhile."""
    upstream = Upstream(interval=0.02, words=1_000_000)
    with server(upstream, max_concurrency=limit) as (port, _):
        admitted = [begin(port) for _ in range(limit)]
        for sock in admitted:
            read_until(sock, b"word ")
        calm = gaps(admitted[0], 150)
        taken: list[float] = []
        paced: list[float] = []
        watcher = threading.Thread(target=lambda: paced.extend(gaps(admitted[0], 150)))
        watcher.start()
        for _ in range(tries):
            start = time.perf_counter()
            with begin(port) as sock:
                answer = sock.recv(65_536)
            taken.append((time.perf_counter() - start) * 1e3)
            if not (answer.startswith(b"HTTP/1.1 529") and b"retry-after: " in answer):
                raise RuntimeError(answer)
        watcher.join()
        for sock in admitted:
            sock.close()
    show("refusal beyond the limit (529)", taken, "≤ 20 ms")
    show("gap of an admitted stream, calm", calm, "20 ms sent")
    show("gap of an admitted stream, overload", paced, "as calm")


def gaps(sock: socket.socket, number: int) -> list[float]:
    found, last = [], time.perf_counter()
    for _ in range(number):
        sock.recv(65_536)
        now = time.perf_counter()
        found.append((now - last) * 1e3)
        last = now
    return found


def flood(tries: int) -> None:
    """A caller's whole stream beside strangers with wrong keys, and without them."""
    upstream = Upstream(interval=0.0005, words=3)
    stop = threading.Event()
    with server(upstream) as (port, _):

        def ask() -> float:
            start = time.perf_counter()
            with begin(port) as sock:
                read_until(sock, b"message_stop")
            return (time.perf_counter() - start) * 1e3

        def strangers() -> None:
            while not stop.is_set():
                with suppress(OSError), begin(port, "dsm-wrong") as sock:
                    sock.recv(65_536)
                time.sleep(0.005)

        ask()
        calm = [ask() for _ in range(tries)]
        threads = [threading.Thread(target=strangers) for _ in range(4)]
        for thread in threads:
            thread.start()
        beside = [ask() for _ in range(tries)]
        stop.set()
        for thread in threads:
            thread.join()
    show("a short stream, calm", calm, "")
    show("a short stream, wrong-key flood", beside, "as calm")
    print(f"|   ratio of medians {statistics.median(beside) / statistics.median(calm):.2f} |")


def drain() -> None:
    """SIGTERM while streams run: they end whole, new work is refused, the process ends."""
    upstream = Upstream(interval=0.02, words=100)
    with server(upstream) as (port, process):
        streams = [begin(port) for _ in range(20)]
        for sock in streams:
            read_until(sock, b"word ")
        start = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        whole = [b"message_stop" in read_until(sock, b"message_stop") for sock in streams]
        refused = False
        try:
            begin(port).close()
        except OSError:
            refused = True
        code = process.wait(40)
        seconds = time.perf_counter() - start
    print(
        f"| SIGTERM with 20 streams | {sum(whole)} whole, new work refused: {refused}, "
        f"exit {code} after {seconds:.1f} s | ≤ 30 s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--write-timeout", type=float, default=5.0, help="seconds")
    args = parser.parse_args()
    from bench.huge import huge  # noqa: PLC0415
    from bench.leaving import leave_embedded  # noqa: PLC0415 - these build on this file
    from bench.stalled import stalled  # noqa: PLC0415

    print("| what | tries | p50 ms | p99 ms | max ms | target |\n|---|---|---|---|---|---|")
    leave(args.tries)
    leave_embedded(20)
    overload(50, args.tries)
    flood(args.tries)
    drain()
    stalled(50, args.write_timeout)
    huge()


if __name__ == "__main__":
    main()
