"""How long a request of megabytes keeps everybody else waiting, seen from outside.

One client asks ``/healthz`` over and over on one connection while another posts a body of 4 MB.
The longest answer while the body was on its way is the longest that the event loop was held; the
median of the answers without such a request is what it takes anyway. nginx, asked in the same way,
tells what of it is the machine's: the client's own work, and other processes.
"""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable

from bench import processes
from bench.bodies import http_request
from bench.figures import Figure
from bench.translation import history

SIZE = 4_000_000
POSTS = 4  # in a round
CALM = 0.3  # seconds of probes before the first

PROBE = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


def read_answer(sock: socket.socket) -> bytes:
    """One answer with a content-length. Raises ``RuntimeError`` when it is cut."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65_536)
        if not more:
            raise RuntimeError(f"closed after {data[:300]!r}")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65_536)
    return head


class Prober(threading.Thread):
    """Notes when each probe was sent and how long its answer took, until told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._sock = socket.create_connection(("127.0.0.1", port), 30)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.taken: list[tuple[float, float]] = []
        self.stop = threading.Event()

    def run(self) -> None:
        with self._sock as sock:
            while not self.stop.wait(0.0005):
                start = time.perf_counter()
                sock.sendall(PROBE)
                read_answer(sock)
                self.taken.append((start, time.perf_counter() - start))


def post(port: int, request: bytes) -> tuple[float, float]:
    """When a post began and ended. Raises ``RuntimeError`` when it was refused."""
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        start = time.perf_counter()
        sock.sendall(request)
        head = read_answer(sock)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        return start, time.perf_counter()


def longest_ms(port: int, request: bytes, posts: int = POSTS) -> float:
    """Milliseconds: of the longest probes during some posts the median, less that of calm ones."""
    prober = Prober(port)
    prober.start()
    time.sleep(CALM)
    began = time.perf_counter()
    spans = [post(port, request) for _ in range(posts)]
    prober.stop.set()
    prober.join()
    calm = statistics.median(taken for start, taken in prober.taken if start < began)
    worst = [
        max(taken for at, taken in prober.taken if at + taken > start and at < end)
        for start, end in spans
    ]
    return 1e3 * (statistics.median(worst) - calm)


def measure(rounds: int) -> list[Figure]:
    """Ours and nginx in turn."""
    body = json.loads(history(SIZE)) | {"stream": False}
    ours = http_request("/anthropic/v1/messages", body)
    passed = http_request("/chat/completions", body)
    found: dict[str, list[float]] = {"ours": [], "nginx": []}
    with (
        processes.upstream() as up,
        processes.server(up) as (our_port, _),
        processes.nginx(up) as (nginx_port, _),
    ):
        sides: list[tuple[str, Callable[[], float]]] = [
            ("nginx", lambda: longest_ms(nginx_port, passed)),
            ("ours", lambda: longest_ms(our_port, ours)),
        ]
        longest_ms(our_port, ours, 1)  # warm-up
        for _ in range(rounds):
            for name, measured in sides:
                found[name].append(measured())
    return [
        Figure("longest wait of others while 4 MB are served", "ms", found["ours"], 10),
        Figure("the same beside nginx passing them through", "ms", found["nginx"]),
    ]
