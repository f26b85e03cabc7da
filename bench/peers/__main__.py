"""``python -m bench.peers``: other servers of the Messages API before the same scripted upstream.

Installs what can be installed here, starts each, and prints the same rows for all of them beside
nginx, which passes bytes through, and ours. Peers that cannot be installed or started are named
with the reason. They run in a network of their own with nothing but loopback.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack

from bench import processes, report
from bench.figures import short
from bench.install import find_nginx
from bench.peers import isolation, measure
from bench.peers.measure import SCENARIOS, Subject
from bench.peers.programs import ON_REQUEST, PEERS, Peer

RESULTS = pathlib.Path(__file__).parent.parent / "results"
ROUNDS = 3


def installed(wanted: list[Peer]) -> tuple[list[tuple[Peer, pathlib.Path]], list[str]]:
    """The peers that are there, and why others are not."""
    found, failures = [], []
    for peer in wanted:
        try:
            found.append((peer, peer.install()))
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            failures.append(f"{peer.name}: cannot be installed: {one_line(error)}")
    return found, failures


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def run(peers: list[tuple[Peer, pathlib.Path]], rounds: int) -> tuple[list[Subject], list[str]]:
    """Start all, measure all. Raises ``RuntimeError`` when ours or nginx cannot be."""
    failures = []
    with ExitStack() as stack:
        upstream = stack.enter_context(processes.upstream())
        subjects = [measure.nginx(stack, upstream), measure.ours(stack, upstream)]
        for peer, folder in peers:
            sys.stderr.write(f"starting {peer.name} …\n")
            try:
                subjects.append(measure.peer(stack, peer, folder, upstream))
            except (RuntimeError, TimeoutError, OSError, KeyError) as error:
                failures.append(f"{peer.name}: cannot be started: {one_line(error)}")
        sys.stderr.write("measuring …\n")
        measure.measure(subjects, rounds)
    failures += [f"{each.name}: {reason}" for each in subjects for reason in each.failures]
    return subjects, failures


def cell(values: list[float] | None, beside: list[float]) -> str:
    """The median, and by how much it is that of nginx in the same rounds."""
    if not values:
        return "–"
    ratios = [a / b for a, b in zip(values, beside, strict=False)]
    return f"{short(statistics.median(values))} ({statistics.median(ratios):.0f}x)"


def table(subjects: list[Subject]) -> str:
    base = subjects[0]
    heads = [f"{each.name}, µs" for each in SCENARIOS.values()]
    columns = ["", *heads, "first event added, ms", "idle memory, MB", "start, s"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for each in subjects:
        costs = [cell(each.cpu_us.get(name), base.cpu_us[name]) for name in SCENARIOS]
        added = "–"
        if each.first_ms and each is not base:
            more = [a - b for a, b in zip(each.first_ms, base.first_ms, strict=False)]
            added = short(statistics.median(more))
        cells = [each.name, *costs, added, f"{each.idle_mb:.0f}", f"{each.start_s:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def found(subject: Subject) -> dict[str, object]:
    """What the JSON file says of it."""
    names = ("name", "start_s", "idle_mb", "cpu_us", "first_ms", "failures")
    return {name: getattr(subject, name) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=pathlib.Path, default=RESULTS / "peers.json")
    parser.add_argument("--docs", type=pathlib.Path, help="put the table into this page")
    parser.add_argument("--also", nargs="*", choices=ON_REQUEST, default=[], help="large ones")
    args = parser.parse_args()
    processes.stop_cleanly()
    started = time.monotonic()
    wanted = [*PEERS, *(ON_REQUEST[name] for name in args.also)]
    find_nginx()
    peers, failures = installed(wanted)
    if not isolation.inside():
        isolation.enter(sys.argv[1:])
        sys.exit("no network of its own can be made here (unshare --net): peers are not started")
    isolation.raise_loopback()
    if isolation.reaches_out():
        sys.exit("this network reaches further than loopback: peers are not started")
    other = report.other_work()
    subjects, more = run(peers, args.rounds)
    failures += more
    said = [report.head(started, other), table(subjects), *(f"- {each}" for each in failures)]
    text = "\n\n".join(said)
    print(text)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    whole = {"servers": [found(each) for each in subjects], "failures": failures}
    args.json.write_text(json.dumps(whole, indent=2) + "\n")
    if args.docs:
        report.write_page(args.docs, "peers", text)


if __name__ == "__main__":
    main()
