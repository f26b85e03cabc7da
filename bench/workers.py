"""What a second worker brings, on a machine whose cores the client and the upstream share.

With two cores, the throughput of two workers says little of the server: half of the machine makes
and answers the requests. So the capacity is computed from the CPU time that the workers took while
all of them were busy: a worker with a core of its own would serve ``requests / CPU seconds`` a
second, and so many workers that share the connections serve all requests once the busiest of them
has served its own. That counts what workers cost each other (caches, locks of the kernel, uneven
shares), and leaves out what client and upstream take. The raw throughput stands beside it.

The request is a whole one of Claude Code's (80 KB, answered at once and not streamed): it costs
the server ten times what client and upstream spend on it, so that these leave room for two workers
on two cores, and the counting of its tokens, which runs in threads of its own, is not in the way.
"""

import time
from dataclasses import dataclass

from bench import load, processes
from bench.bodies import claude_code_request
from bench.figures import Figure

WORKERS = 2
CONNECTIONS, EACH = 64, 16


@dataclass
class Round:
    """Requests a second: as measured, and with a core for each worker; how even the shares were
    (1 is even), and how much of the time the least busy worker ran.
    """

    measured: float
    capacity: float
    evenness: float
    busy: float


def serving(pid: int, workers: int) -> list[int]:
    """The processes that serve, once all have been started. Raises ``TimeoutError``."""
    if workers == 1:
        return [pid]
    deadline = time.monotonic() + 30
    while True:
        found = [each for each in processes.children(pid) if each != pid]
        if len(found) == workers:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {workers} workers, but {found}")
        time.sleep(0.05)


def one_round(port: int, pids: list[int], request: bytes) -> Round:
    before = [processes.cpu_seconds(pid) for pid in pids]
    outcome, seconds = load.timed_run(port, request, connections=CONNECTIONS, each=EACH)
    load.good("workers", outcome)
    spent = [processes.cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
    return Round(
        measured=outcome.requests / seconds,
        capacity=outcome.requests / max(spent),
        evenness=sum(spent) / len(spent) / max(spent),
        busy=min(spent) / seconds,
    )


def measure(rounds: int) -> list[Figure]:
    """Two workers beside one, in turn."""
    request = claude_code_request(stream=False)
    found: list[tuple[Round, Round]] = []
    with (
        processes.upstream() as up,
        processes.server(up) as (one_port, one_pid),
        processes.server(up, workers=WORKERS) as (many_port, many_pid),
    ):
        many_pids = serving(many_pid, WORKERS)
        for number in range(rounds + 1):
            one = one_round(one_port, [one_pid], request)
            many = one_round(many_port, many_pids, request)
            if number:
                found.append((one, many))
    return [
        Figure(
            f"{WORKERS} workers, capacity by CPU time, of {WORKERS} times that of one",
            "x",
            [many.capacity / one.capacity / WORKERS for one, many in found],
            0.9,
            at_least=True,
        ),
        Figure(
            f"{WORKERS} workers, throughput measured, of that of one",
            "x",
            [many.measured / one.measured for one, many in found],
        ),
        Figure(
            f"{WORKERS} workers, part of the time that the less busy one ran",
            "x",
            [many.busy for _, many in found],
        ),
        Figure(
            f"{WORKERS} workers, evenness of their shares",
            "x",
            [many.evenness for _, many in found],
        ),
    ]
