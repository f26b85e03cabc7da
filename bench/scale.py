"""Many streams at once: the time they add, whether they keep pace, what memory they take."""

import asyncio
import statistics
import subprocess
import time
from dataclasses import dataclass

from bench import load, processes


@dataclass
class Crowd:
    """What a number of streams open at the same time looked like from outside."""

    streams: int
    errors: int
    seconds: float  # of a stream, median
    first_event_ms: float
    memory_kb: float  # of the server above idle, for each stream


# Seconds after which all streams are open, and between the requests whose first event is timed.
SETTLE, APART, PROBES = 1.2, 0.15, 8


async def _run(
    port: int, request: bytes, pid: int, streams: int
) -> tuple[load.Outcome, load.Outcome, int]:
    spawn = asyncio.get_running_loop().create_task
    crowd = spawn(load.run_async(port, request, connections=streams, each=1, limit=120))
    await asyncio.sleep(SETTLE)
    probes = []
    for _ in range(PROBES):
        probes.append(spawn(load.run_async(port, request, connections=1, each=1, limit=120)))
        await asyncio.sleep(APART)
    most = processes.resident_bytes(pid)
    found = await asyncio.gather(*probes)
    firsts = [time for outcome in found for time in outcome.first_event]
    return await crowd, load.Outcome(first_event=firsts), most


def crowd(port: int, pid: int, request: bytes, streams: int) -> Crowd:
    """Open so many streams, and some more while they are open; read each to its end."""
    load.run(port, request, connections=8, each=1)
    before = processes.resident_bytes(pid)
    outcome, probed, most = asyncio.run(_run(port, request, pid, streams))
    return Crowd(
        streams=streams,
        errors=outcome.errors,
        seconds=statistics.median(outcome.durations),
        first_event_ms=1e3 * statistics.median(probed.first_event or [0.0]),
        memory_kb=max(0, most - before) / streams / 1024,
    )


def start_to_answer(key: str, request: bytes) -> tuple[float, float]:
    """Seconds from starting the server to the end of its first answer, and MB it then takes."""
    with processes.upstream(1, 0) as up:
        start = time.perf_counter()
        with processes.server(up, key=key) as (port, pid):
            load.run(port, request, connections=1, each=1)
            return time.perf_counter() - start, processes.resident_bytes(pid) / 1e6


def machine() -> str:
    """The machine in words."""
    found = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    names = [line.split(":", 1)[1].strip() for line in found.splitlines() if "Model name" in line]
    count = [
        line.split(":", 1)[1].strip() for line in found.splitlines() if line.startswith("CPU(s)")
    ]
    return f"{count[0] if count else '?'} x {names[0] if names else 'unknown processor'}"
