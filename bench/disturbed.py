"""What well-behaved clients notice of others: each figure is their time beside the disturbance,
divided by their time without it, in turn.

The good traffic is a few clients with short pauses, so that it leaves most of the machine free;
what disturbs does not run in their process.
"""

import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from bench import load, processes
from bench.bodies import messages_request, script
from bench.figures import Figure

GOOD, EACH, PAUSE = 4, 30, 0.01

SLOW_STREAMS = 64
SLOW = script(1_000, 500)

STRANGERS, STRANGERS_PER_SECOND = 8, 400

DEAF = 16
LOUD = script(100_000)


def good_ms(port: int, request: bytes) -> float:
    """Milliseconds that an answer to good traffic takes, median."""
    outcome = load.run(port, request, connections=GOOD, each=EACH, pause=PAUSE)
    return 1e3 * statistics.median(load.good("good traffic", outcome).durations)


def ratios(
    port: int,
    request: bytes,
    disturbance: Callable[[], AbstractContextManager[None]],
    rounds: int,
) -> list[float]:
    """Good traffic beside the disturbance, of good traffic before and after it."""
    found = []
    before = good_ms(port, request)
    for _ in range(rounds):
        with disturbance():
            beside = good_ms(port, request)
        after = good_ms(port, request)
        found.append(2 * beside / (before + after))
        before = after
    return found


@contextmanager
def left_open(port: int, request: bytes, count: int, window: int = 0) -> Iterator[None]:
    """Connections that have sent a request and read nothing. ``window`` bytes of receive buffer."""
    with ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            if window:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.connect(("127.0.0.1", port))
            sock.sendall(request)
        time.sleep(0.5)
        yield


def slow_upstream(rounds: int) -> Figure:
    """One upstream speaks twice a second, another at once; the model decides between them."""
    with ExitStack() as stack:
        tables = [
            f"""
[[upstreams]]
name = "{name}"
kind = "chat"
base_url = "http://127.0.0.1:{stack.enter_context(processes.upstream(model=name))}"
dialect = "deepseek"
model = "{name}"
"""
            for name in ("slow-model", "fast-model")
        ]
        port, _ = stack.enter_context(processes.server("\n".join(tables)))
        slow = messages_request(stream=True, told=SLOW, model="slow-model")
        fast = messages_request(stream=True, told=script(20), model="fast-model")
        values = ratios(port, fast, lambda: left_open(port, slow, SLOW_STREAMS), rounds)
    name = f"a stream of a fast upstream, beside {SLOW_STREAMS} of a slow one"
    return Figure(name, "x", values, 1.1)


def knock(port: int, stop: object) -> None:
    """Wrong keys at a steady pace, until told to stop; in a process of its own."""
    request = messages_request(stream=False, key="bench-wrong-key")
    pause = STRANGERS / STRANGERS_PER_SECOND
    while not stop.is_set():  # type: ignore[attr-defined]
        load.run(port, request, connections=STRANGERS, each=10, pause=pause, expect=401)


@contextmanager
def wrong_keys(port: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    process = spawn.Process(target=knock, args=(port, stop))
    process.start()
    time.sleep(0.7)  # until it has been imported and knocks
    try:
        yield
    finally:
        stop.set()
        process.join(20)
        process.kill()


def strangers(rounds: int) -> Figure:
    """Wrong keys by the hundred each second beside good ones."""
    request = messages_request(stream=True, told=script(20))
    with processes.upstream() as up, processes.server(up) as (port, _):
        values = ratios(port, request, lambda: wrong_keys(port), rounds)
    return Figure(f"a stream beside {STRANGERS_PER_SECOND} wrong keys a second", "x", values)


def most_resident(pid: int, seconds: float) -> int:
    """The largest resident memory of so many seconds."""
    end, most = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        most = max(most, processes.resident_bytes(pid))
        time.sleep(0.05)
    return most


def deaf(rounds: int) -> list[Figure]:
    """Clients that ask for a flood and never read, beside good ones."""
    request = messages_request(stream=True, told=script(20))
    flood = messages_request(stream=True, told=LOUD)
    with processes.upstream() as up, processes.server(up) as (port, pid):
        good_ms(port, request)
        before = processes.resident_bytes(pid)
        with left_open(port, flood, DEAF, window=4096):
            held = (most_resident(pid, 3) - before) / DEAF / 1024
        values = ratios(port, request, lambda: left_open(port, flood, DEAF, window=4096), rounds)
    return [
        Figure(f"a stream beside {DEAF} clients that never read a flood", "x", values),
        Figure("memory held for a client that never reads", "KB", [held], 512),
    ]


def measure(rounds: int) -> list[Figure]:
    return [slow_upstream(rounds), strangers(rounds), *deaf(rounds)]
