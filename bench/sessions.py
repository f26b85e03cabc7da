"""Coding sessions as Claude Code plays them: each request holds the conversation so far."""

import statistics
from dataclasses import dataclass

from bench import load, processes
from bench.beside_nginx import Server, both
from bench.bodies import session
from bench.figures import Figure, Pair

TURNS = 50
AT_ONCE, FIRST_TURNS = 64, 6


@dataclass
class Played:
    """CPU microseconds per turn, milliseconds of a turn (median), and of the slowest hundredth."""

    cpu_us: float
    median_ms: float
    p99_ms: float


def played(server: Server, requests: list[bytes], connections: int) -> Played:
    """Play so many sessions at once. Raises ``RuntimeError`` when an answer was an error."""
    before = processes.cpu_seconds(server.pid)
    outcome = load.run(server.port, requests, connections=connections, each=len(requests))
    spent = processes.cpu_seconds(server.pid) - before
    load.good(server.name, outcome)
    taken = sorted(outcome.durations)
    return Played(
        cpu_us=spent / outcome.requests * 1e6,
        median_ms=1e3 * statistics.median(taken),
        p99_ms=1e3 * taken[int(len(taken) * 0.99)],
    )


def side_by_side(turns: int, at_once: int, rounds: int) -> list[tuple[Played, Played]]:
    """Ours and nginx in turn, after a round that warms up. Each round is a session of its own, so
    that no turn has been seen before.
    """
    with both() as servers:
        found = [
            tuple(played(server, session(turns, number), at_once) for server in servers)
            for number in range(rounds + 1)
        ]
    return found[1:]  # type: ignore[return-value]


def pair(name: str, found: list[tuple[Played, Played]]) -> Pair:
    return Pair(name, "µs", [a.cpu_us for a, _ in found], [b.cpu_us for _, b in found])


def measure(rounds: int) -> tuple[list[Pair], list[Figure]]:
    """A session alone, from about 90 to 130 KB a request, and the beginnings of 64 at once."""
    one = side_by_side(TURNS, 1, rounds)
    many = side_by_side(FIRST_TURNS, AT_ONCE, rounds)
    added = [a.median_ms - b.median_ms for a, b in one]
    slowest = [a.p99_ms / a.median_ms for a, _ in many]
    return (
        [
            pair(f"turn of a Claude Code session of {TURNS}, 100 events each", one),
            pair(f"the same, {AT_ONCE} sessions at once", many),
        ],
        [
            Figure("added to a turn of a Claude Code session", "ms", added),
            Figure(
                f"{AT_ONCE} sessions at once: slowest hundredth of turns, by the median",
                "x",
                slowest,
            ),
        ],
    )
