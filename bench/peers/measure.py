"""The same measurements for every server, in turn, over one scripted upstream."""

import contextlib
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from bench import load, processes
from bench.beside_nginx import Scenario
from bench.bodies import chat_request, messages_request, script
from bench.peers.programs import Peer

# Servers that take milliseconds for a request get fewer of them in a round.
FEW = 8
START_LIMIT = 120.0  # seconds until a first answer

SCENARIOS = {
    "request": Scenario("CPU per request", "request", 1, 0, 40, None),
    "paced": Scenario("CPU per event, paced 5 ms", "event", 100, 5, 4, None),
    "flood": Scenario("CPU per event, flooding", "event", 100, 0, 12, None),
}
FIRST_EVENTS = 20

Request = Callable[[bool, str], bytes]


@dataclass
class Subject:
    """A server that runs, and what was measured of it: a value for each round."""

    name: str
    port: int
    pid: int
    request: Request
    start_s: float
    idle_mb: float
    fewer: int = 1
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    first_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def peer_process(peer: Peer, folder: pathlib.Path, upstream: int) -> Iterator[tuple[int, int]]:
    """The peer, listening: (port, pid). Raises ``RuntimeError`` with the end of its log."""
    port = processes.free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        started = peer.start(folder, pathlib.Path(home), port, upstream)
        environment = {"PATH": os.environ["PATH"], "HOME": home, **started.environment}
        log = pathlib.Path(home, "log")
        with (
            log.open("wb") as said,
            processes.running(
                started.command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                cwd=home,
            ) as process,
        ):
            try:
                processes.wait_for_port(port, process, START_LIMIT)
            except (RuntimeError, TimeoutError) as error:
                tail = log.read_text(errors="replace")[-300:].strip()
                raise RuntimeError(f"{error}: {tail}") from error
            yield port, process.pid


def await_answer(port: int, request: bytes, limit: float) -> None:
    """Ask until the first good answer. Raises ``RuntimeError``."""
    deadline = time.monotonic() + limit
    error = ""
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError, OSError):
            outcome = load.run(port, request, connections=1, each=1, limit=30)
            if not outcome.errors:
                return
            error = outcome.error_text
        time.sleep(0.1)
    raise RuntimeError(f"no good answer in {limit:.0f} s: {error}")


def started(
    stack: ExitStack,
    name: str,
    process: AbstractContextManager[tuple[int, int]],
    request: Request,
    fewer: int = 1,
) -> Subject:
    """Start a server and time it to its first answer. Raises ``RuntimeError``."""
    begin = time.perf_counter()
    with ExitStack() as inner:
        port, pid = inner.enter_context(process)
        await_answer(port, request(False, ""), 20)
        seconds = time.perf_counter() - begin
        stack.push(inner.pop_all())
    time.sleep(1)
    return Subject(name, port, pid, request, seconds, processes.resident_bytes(pid) / 1e6, fewer)


def nginx(stack: ExitStack, upstream: int) -> Subject:
    def request(stream: bool, told: str) -> bytes:
        return chat_request(stream, told=told)

    return started(stack, "nginx (passes through)", processes.nginx(upstream), request)


def ours(stack: ExitStack, upstream: int) -> Subject:
    def request(stream: bool, told: str) -> bytes:
        return messages_request(stream, told=told)

    return started(stack, "deepseek-messages", processes.server(upstream), request)


def peer(stack: ExitStack, one: Peer, folder: pathlib.Path, upstream: int) -> Subject:
    def request(stream: bool, told: str) -> bytes:
        return messages_request(stream, told=told, model=one.model, path=one.path)

    return started(stack, one.name, peer_process(one, folder, upstream), request, FEW)


def one_round(subject: Subject, kept: bool) -> None:
    """Measure everything once; ``kept`` is false for the round that warms up."""
    for name, scenario in SCENARIOS.items():
        before = processes.cpu_seconds(subject.pid)
        outcome = load.run(
            subject.port,
            subject.request(scenario.stream, scenario.told),
            connections=scenario.connections,
            each=max(1, scenario.each // subject.fewer),
        )
        spent = processes.cpu_seconds(subject.pid) - before
        load.good(f"{subject.name}, {scenario.name}", outcome)
        if kept:
            units = outcome.requests * scenario.units
            subject.cpu_us.setdefault(name, []).append(spent / units * 1e6)
    stream = subject.request(True, script(1))
    outcome = load.run(subject.port, stream, connections=1, each=FIRST_EVENTS)
    if kept:
        subject.first_ms.append(1e3 * statistics.median(outcome.first_event))


def measure(subjects: list[Subject], rounds: int) -> None:
    """Rounds in turn. Who fails is asked no more, and the reason is noted."""
    for number in range(rounds + 1):
        for subject in subjects:
            if subject.failures:
                continue
            try:
                one_round(subject, kept=number > 0)
            except (RuntimeError, TimeoutError, OSError, statistics.StatisticsError) as error:
                subject.failures.append(f"{type(error).__name__}: {error}"[:300])
