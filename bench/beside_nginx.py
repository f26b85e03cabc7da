"""CPU time of the server beside nginx, which passes the same bytes through.

Every figure is the CPU time of the server process (all its threads and children) from the kernel's
own accounting, over the same scripted upstream and the same client. Rounds alternate between the
two, so that a drift of the machine's speed meets both.
"""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import load, processes
from bench.bodies import chat_request, messages_request, script
from bench.figures import Figure, Pair


@dataclass(frozen=True)
class Scenario:
    """One row of the table. ``per`` says what the CPU time is divided by."""

    name: str
    per: str  # "request" or "event"
    chunks: int
    interval_ms: float
    each: int
    target: float | None
    connections: int = 32

    @property
    def stream(self) -> bool:
        return self.per == "event"

    @property
    def told(self) -> str:
        return script(self.chunks, self.interval_ms)

    @property
    def units(self) -> int:
        return self.chunks if self.stream else 1


SCENARIOS = (
    Scenario("non-stream request", "request", 1, 0, 40, 3.0),
    Scenario("streamed event, paced 5 ms", "event", 100, 5, 4, 2.0),
    Scenario("streamed event, flooding", "event", 100, 0, 12, 4.0),
    Scenario("streamed event, flooding, 1,000 queued", "event", 1000, 0, 3, 4.0),
)


@dataclass(frozen=True)
class Server:
    """Something that answers on ``port``. ``request`` makes what it is asked."""

    name: str
    port: int
    pid: int
    chat: bool  # speaks chat completions (nginx passing through), not Messages

    def request(self, stream: bool, told: str = "") -> bytes:
        if self.chat:
            return chat_request(stream, told=told)
        return messages_request(stream, told=told)


@contextmanager
def both() -> Iterator[tuple[Server, Server]]:
    """Ours and nginx over one upstream."""
    with ExitStack() as stack:
        up = stack.enter_context(processes.upstream())
        nginx = Server("nginx", *stack.enter_context(processes.nginx(up)), chat=True)
        yield Server("ours", *stack.enter_context(processes.server(up)), chat=False), nginx


def cost(server: Server, scenario: Scenario, fewer: int = 1) -> tuple[float, load.Outcome]:
    """CPU microseconds per unit of one round. Raises ``RuntimeError`` when an answer was an error.
    ``fewer`` divides the number of requests.
    """
    before = processes.cpu_seconds(server.pid)
    outcome = load.run(
        server.port,
        server.request(scenario.stream, scenario.told),
        connections=scenario.connections,
        each=max(1, scenario.each // fewer),
    )
    spent = processes.cpu_seconds(server.pid) - before
    load.good(server.name, outcome)
    return spent / (outcome.requests * scenario.units) * 1e6, outcome


def measure(servers: tuple[Server, Server], scenario: Scenario, rounds: int) -> Pair:
    """Alternate rounds of both, after one that warms up."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        for server in servers:
            micros, _ = cost(server, scenario)
            if number:
                found[server.name].append(micros)
    return Pair(scenario.name, "µs", found["ours"], found["nginx"], scenario.target)


def first_event_ms(server: Server, probes: int) -> float:
    """Milliseconds to a stream's first event, one stream at a time, median."""
    request = server.request(stream=True, told=script(1))
    outcome = load.good(server.name, load.run(server.port, request, connections=1, each=probes))
    return 1e3 * statistics.median(outcome.first_event)


def added_first_event(servers: tuple[Server, Server], rounds: int) -> Figure:
    """What ours adds to the first event of a stream that is alone."""
    ours, nginx = servers
    values = [first_event_ms(ours, 50) - first_event_ms(nginx, 50) for _ in range(rounds + 1)][1:]
    return Figure("added to a first event, 1 stream open", "ms", values, 0.5)
