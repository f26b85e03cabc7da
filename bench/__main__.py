"""``python -m bench``: the server beside nginx passing bytes through, in one run, as ratios.

Every figure is CPU time of the server process (all its threads and children) from the kernel's
own accounting, over the same scripted upstream and the same client. Rounds alternate between
the two, so that a drift of the machine's speed meets both; the median of the rounds' ratios is
quoted, with the smallest and the largest beside it.
"""

import argparse
import hashlib
import json
import pathlib
import platform
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from bench import load, processes

KEY = "bench-" + hashlib.sha256(b"bench").hexdigest()[:24]


@dataclass(frozen=True)
class Scenario:
    """One row of the table. ``per`` says what the CPU time is divided by."""

    name: str
    per: str  # "request" or "event"
    stream: bool
    chunks: int
    interval_ms: float
    connections: int
    each: int
    target: float


SCENARIOS = (
    Scenario("non-stream request", "request", False, 100, 0, 32, 40, 3.0),
    Scenario("streamed event, paced 5 ms", "event", True, 100, 5, 32, 4, 2.0),
    Scenario("streamed event, flooding", "event", True, 100, 0, 32, 12, 4.0),
)


@dataclass
class Row:
    """A measured row: microseconds per unit, and ratios to nginx."""

    name: str
    per: str
    target: float
    ours_us: float
    nginx_us: float
    ratio: float
    ratio_min: float
    ratio_max: float
    added_first_event_ms: float
    errors: int


def http_request(path: str, body: dict[str, object]) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
        f"content-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def messages_request(stream: bool) -> bytes:
    """About 1 KB, as a small program would send it."""
    body = {
        "model": "deepseek-chat",
        "max_tokens": 512,
        "system": "You answer briefly and truthfully. " * 4,
        "messages": [{"role": "user", "content": "Tell me about rivers and their deltas. " * 18}],
        "stream": stream,
    }
    return http_request("/anthropic/v1/messages", body)


def chat_request(stream: bool) -> bytes:
    body = {
        "model": "deepseek-flash",
        "max_tokens": 512,
        "messages": [
            {"role": "system", "content": "You answer briefly and truthfully. " * 4},
            {"role": "user", "content": "Tell me about rivers and their deltas. " * 18},
        ],
        "stream": stream,
    }
    return http_request("/chat/completions", body)


@contextmanager
def both(scenario: Scenario) -> Iterator[dict[str, tuple[int, int, bytes]]]:
    """The two servers over one upstream: name -> (port, pid, request)."""
    with ExitStack() as stack:
        up = stack.enter_context(processes.upstream(scenario.chunks, scenario.interval_ms))
        nginx_port, nginx_pid = stack.enter_context(processes.nginx(up))
        our_port, our_pid = stack.enter_context(processes.server(up, key=KEY))
        yield {
            "nginx": (nginx_port, nginx_pid, chat_request(scenario.stream)),
            "ours": (our_port, our_pid, messages_request(scenario.stream)),
        }


def measure(scenario: Scenario, rounds: int) -> Row:
    """Alternate rounds of both servers. Raises ``RuntimeError`` when an answer was an error."""
    costs: dict[str, list[float]] = {"nginx": [], "ours": []}
    firsts: dict[str, list[float]] = {"nginx": [], "ours": []}
    errors = 0
    with both(scenario) as servers:
        for number in range(rounds + 1):
            for name, (port, pid, request) in servers.items():
                before = processes.cpu_seconds(pid)
                outcome = load.run(
                    port, request, connections=scenario.connections, each=scenario.each
                )
                spent = processes.cpu_seconds(pid) - before
                errors += outcome.errors
                if outcome.errors:
                    raise RuntimeError(f"{name}: {outcome.errors} errors: {outcome.error_text}")
                if number == 0:
                    continue  # warm-up
                units = outcome.requests * (scenario.chunks if scenario.per == "event" else 1)
                costs[name].append(spent / units * 1e6)
                firsts[name].append(statistics.median(outcome.first_event or [0.0]))
    ratios = [ours / nginx for ours, nginx in zip(costs["ours"], costs["nginx"], strict=True)]
    return Row(
        name=scenario.name,
        per=scenario.per,
        target=scenario.target,
        ours_us=statistics.median(costs["ours"]),
        nginx_us=statistics.median(costs["nginx"]),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        added_first_event_ms=1e3
        * (statistics.median(firsts["ours"]) - statistics.median(firsts["nginx"])),
        errors=errors,
    )


def table(rows: list[Row]) -> str:
    lines = [
        "| CPU of the server per … | ours µs | nginx µs | ratio (min..max) | target |",
        "|---|---|---|---|---|",
    ]
    lines.extend(
        f"| {row.name} | {row.ours_us:.0f} | {row.nginx_us:.1f} "
        f"| {row.ratio:.1f} ({row.ratio_min:.1f}..{row.ratio_max:.1f}) | ≤ {row.target:g} |"
        for row in rows
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each server")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows to this file")
    parser.add_argument("--only", help="only scenarios whose name contains this")
    args = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        if args.only and args.only not in scenario.name:
            continue
        sys.stderr.write(f"{scenario.name} …\n")
        rows.append(measure(scenario, args.rounds))
    print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}\n")
    print(table(rows))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
