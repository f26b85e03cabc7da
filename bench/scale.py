"""Many streams at once, what an idle server takes, and how soon it answers."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import NamedTuple, cast

import uvloop

from bench import load, processes
from bench.beside_nginx import Server, added_first_event, both
from bench.bodies import messages_request, script
from bench.figures import Figure

# A stream of 20 events a second.
CHUNKS, INTERVAL_MS = 60, 50

# (streams open, milliseconds that may be added to a first event); the largest first, so that its
# memory is that of a process that has not grown yet.
CROWDS = ((1000, 10.0), (100, 2.0))

# Seconds after which all streams are open, and between the requests whose first event is timed.
SETTLE, APART, PROBES = 1.2, 0.15, 8

# Seconds after the first answer until memory is looked at.
AFTER = 1.0


@dataclass
class Crowd:
    """What a number of streams open at the same time looked like from outside."""

    errors: int
    seconds: float  # of a stream, from its request, median
    flowing: float  # the same, from its first event
    first_event_ms: float
    memory_kb: float  # of the server above what it was before, for each stream


class Read(NamedTuple):
    """A stream that was read: whether it was whole, its seconds, and those from its first event."""

    good: bool
    seconds: float
    flowing: float


class Reader(asyncio.Protocol):
    """Reads a stream to its end as cheaply as it can be done: a thousand of these must not be
    what is slow.
    """

    def __init__(self, request: bytes, done: asyncio.Future[Read]) -> None:
        self._request = request
        self._done = done
        self._good = False
        self._first = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._start = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 200"):
            self._good = True
        if not self._first and load.MARK in data:
            self._first = time.perf_counter()
        if data.endswith(b"0\r\n\r\n"):
            self._end(self._good)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(False)

    def _end(self, good: bool) -> None:
        if not self._done.done():
            now = time.perf_counter()
            self._done.set_result(Read(good, now - self._start, now - (self._first or now)))
            self._transport.close()


async def read_all(port: int, request: bytes, streams: int) -> list[Read]:
    """What reading each stream gave."""
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(streams)]
    for end in ends:
        await loop.create_connection(lambda end=end: Reader(request, end), "127.0.0.1", port)  # type: ignore[misc]
    return await asyncio.wait_for(asyncio.gather(*ends), 120)


async def _run(server: Server, request: bytes, streams: int) -> tuple[list[Read], list[float], int]:
    spawn = asyncio.get_running_loop().create_task
    crowd = spawn(read_all(server.port, request, streams))
    await asyncio.sleep(SETTLE)
    probes = []
    for _ in range(PROBES):
        probes.append(spawn(load.run_async(server.port, request, connections=1, each=1)))
        await asyncio.sleep(APART)
    most = processes.resident_bytes(server.pid)
    found = await asyncio.gather(*probes)
    return await crowd, [first for outcome in found for first in outcome.first_event], most


def crowd(server: Server, streams: int) -> Crowd:
    """Open so many streams, and some more while they are open; read each to its end."""
    request = server.request(stream=True, told=script(CHUNKS, INTERVAL_MS))
    before = processes.resident_bytes(server.pid)
    read, firsts, most = uvloop.run(_run(server, request, streams))
    return Crowd(
        errors=sum(not each.good for each in read),
        seconds=statistics.median(each.seconds for each in read),
        flowing=statistics.median(each.flowing for each in read),
        first_event_ms=1e3 * statistics.median(firsts or [0.0]),
        memory_kb=max(0, most - before) / streams / 1024,
    )


def crowds(rounds: int) -> list[Figure]:
    """What ours adds beside nginx, by the number of streams. Memory is that of the first round:
    a later one finds what the process kept.
    """
    found: dict[int, list[tuple[Crowd, Crowd]]] = {}
    with both() as servers:
        ours, nginx = servers
        alone = added_first_event(servers, rounds)
        for streams, _ in CROWDS:
            found[streams] = [(crowd(ours, streams), crowd(nginx, streams)) for _ in range(rounds)]
    most = found[CROWDS[0][0]]
    return [
        alone,
        *[
            Figure(
                f"added to a first event, {streams} streams open",
                "ms",
                [a.first_event_ms - b.first_event_ms for a, b in found[streams]],
                target,
            )
            for streams, target in reversed(CROWDS)
        ],
        Figure(
            "1,000 streams at 20 events/s, from first event to end, beside nginx",
            "x",
            [a.flowing / b.flowing for a, b in most],
            1.05,
        ),
        Figure(
            "the same from the request on, all being sent at one moment",
            "x",
            [a.seconds / b.seconds for a, b in most],
        ),
        Figure("1,000 streams, errors", "", [sum(a.errors for a, _ in most)], 0),
        Figure("1,000 streams, memory of each", "KB", [most[0][0].memory_kb], 32),
    ]


def starts(rounds: int) -> list[Figure]:
    """Seconds from starting the server to the end of its first answer, and what it then takes."""
    seconds, megabytes = [], []
    request = messages_request(stream=False)
    with processes.upstream() as up:
        for _ in range(rounds):
            start = time.perf_counter()
            with processes.server(up) as (port, pid):
                load.good("start", load.run(port, request, connections=1, each=1))
                seconds.append(time.perf_counter() - start)
                time.sleep(AFTER)  # what is loaded behind the first answer counts, too
                megabytes.append(processes.resident_bytes(pid) / 1e6)
    return [
        Figure("idle memory, a second after a first answer", "MB", megabytes, 60),
        Figure("start to first answer", "s", seconds, 0.6),
    ]
