"""``python -m bench``: the server beside nginx passing bytes through, in one run, as ratios.

Rounds alternate between the sides, so that a drift of the machine's speed meets both; the median
of the rounds is quoted, with the smallest and the largest beside it. The command ends with an
error that names every target that even the best round missed.
"""

import argparse
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Callable

from bench import (
    beside_nginx,
    disturbed,
    embedded,
    hold,
    processes,
    report,
    scale,
    sessions,
    translation,
    workers,
)
from bench.figures import FIGURES, Figure, Pair, Section, beside
from bench.install import find_nginx

RESULTS = pathlib.Path(__file__).parent / "results"

QUICK_ROUNDS, ROUNDS = 2, 5

# Rows that take seconds a round, and whose rounds are long enough to be few.
FEW = 3


def cpu(rounds: int) -> list[Section]:
    with beside_nginx.both() as servers:
        pairs = [
            beside_nginx.measure(servers, scenario, rounds) for scenario in beside_nginx.SCENARIOS
        ]
    return [Section("CPU of the server", beside("per …", "nginx"), pairs)]


def translations(rounds: int) -> list[Section]:
    pairs = [translated(name, body, rounds) for name, body in translation.requests()]
    return [Section("Translation of a request", beside("translating …", "bare"), pairs)]


def translated(name: str, body: bytes, rounds: int) -> Pair:
    """One decode, translation and encode, beside the bare decode and encode."""
    ours, bare = [], []
    for number in range(rounds + 1):
        taken = translation.timed(lambda: translation.ours(body), 0.15)
        least = translation.timed(lambda: translation.bare(body), 0.15)
        if number:
            ours.append(taken)
            bare.append(least)
    return Pair(name, "µs", ours, bare, 2.0)


def counting(rounds: int) -> list[Section]:
    """Each round in a process of its own: what was counted is remembered."""
    grown = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for _ in range(rounds):
            first, again = pool.apply(translation.count_growth)
            grown.append(again / first)
    name = "counting a conversation that grew by 1 %, part of the first count"
    return [Section("Counting tokens", FIGURES, [Figure(name, "x", grown, 0.1)])]


def played(rounds: int) -> list[Section]:
    pairs, figures = sessions.measure(min(rounds, FEW))
    return [
        Section("Coding sessions", beside("CPU of a …", "nginx"), pairs),
        Section("Time of a coding session's turns", FIGURES, figures),
    ]


def figures(
    title: str, measure: Callable[[int], list[Figure]], most: int = ROUNDS
) -> Callable[[int], list[Section]]:
    """A part that gives one table of figures."""
    return lambda rounds: [Section(title, FIGURES, measure(min(rounds, most)))]


PARTS: dict[str, Callable[[int], list[Section]]] = {
    "cpu": cpu,
    "translation": translations,
    "counting": counting,
    "start": figures("Start", scale.starts),
    "hold": figures("One request of 4 MB", hold.measure),
    "crowds": figures("Many streams at once", scale.crowds, FEW),
    "workers": figures("Several workers", workers.measure),
    "embedded": figures("The model in the process", embedded.measure),
    "sessions": played,
    "disturbed": figures("Beside others who misbehave", disturbed.measure),
}


def run(parts: list[str], rounds: int) -> tuple[list[Section], list[str]]:
    """The tables, and why some are missing."""
    sections: list[Section] = []
    failures = []
    for part in parts:
        start = time.monotonic()
        sys.stderr.write(f"{part} … ")
        sys.stderr.flush()
        try:
            sections += PARTS[part](rounds)
        except (RuntimeError, TimeoutError, OSError) as error:
            failures.append(f"{part}: not measured: {type(error).__name__}: {error}")
        sys.stderr.write(f"{time.monotonic() - start:.0f} s\n")
    return sections, failures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measured rounds of each side")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds")
    parser.add_argument("--json", type=pathlib.Path, default=RESULTS / "bench.json")
    parser.add_argument("--docs", type=pathlib.Path, help="put the tables into this page")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="only these parts")
    args = parser.parse_args()
    processes.stop_cleanly()
    started = time.monotonic()
    find_nginx()
    other = report.other_work()
    rounds = QUICK_ROUNDS if args.quick else args.rounds
    sections, failures = run(args.only or list(PARTS), rounds)
    text = report.text(sections, report.head(started, other), failures)
    print(text)
    report.write_json(args.json, sections, failures)
    if args.docs:
        report.write_page(args.docs, "measured", text)
    late = report.missed(sections)
    if failures or late:
        sys.exit("\n".join(["targets missed by more than the noise:", *late, *failures]))


if __name__ == "__main__":
    main()
