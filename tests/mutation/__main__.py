"""Change the translation in small ways and count the changes that no test notices.

    python -m tests.mutation                      all modules
    python -m tests.mutation usage stream         some of them
    python -m tests.mutation --every 10           each tenth mutant
    python -m tests.mutation --show usage.17      what a mutant changes

Results are kept in ``.mutants/``. Exits with 1 below ``--below`` percent of noticed changes.
"""

import argparse
import difflib
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.running import (
    KILLED,
    SURVIVED,
    TIMEOUT,
    UNFIT,
    UNREACHED,
    MutationRun,
    Outcome,
)

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "src/deepseek_messages/translation"
RESULTS = ROOT / ".mutants/results.jsonl"
TESTS = ["tests/unit/translation", "tests/golden", "tests/property"]
WITHOUT = ["randomly", "cacheprovider", "xdist", "logging", "junitxml", "schemathesis"]
# Tests that take long and notice nothing that others of the same files do not.
SLOW = "test_linear or test_cache_rate or every_cut or official_sdk or blocks_add_up or test_token_"
PLAIN = ["-q", "-s", "-k", f"not ({SLOW})"]
PLAIN += [*(word for name in WITHOUT for word in ("-p", f"no:{name}"))]


def main() -> int:
    options = arguments()
    sources = modules()
    if options.show:
        for name in options.show:
            show(sources, name)
        return 0
    names = options.modules or list(sources)
    chosen = {name: sources[name] for name in names}
    mutants = [m for name, (_, source) in chosen.items() for m in mutants_of(name, source)]
    mutants = mutants[:: options.every]
    outcomes: list[Outcome] = []

    options.results.parent.mkdir(exist_ok=True)
    results = options.results.open("w")

    def done(outcome: Outcome) -> None:
        outcomes.append(outcome)
        print(row(outcome, sources), file=results, flush=True)
        if options.verbose or len(outcomes) % 250 == 0:
            print(len(outcomes), "of", len(mutants), outcome.mutant.id, outcome.status, flush=True)

    run = MutationRun(chosen, mutants, options.jobs, done)
    os.environ["HYPOTHESIS_PROFILE"] = "few"
    status = pytest.main([*PLAIN, *(options.tests or TESTS)], plugins=[run])
    if run.failed or status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        print("fail without a mutant:", *run.failed or ["the collection"], sep="\n  ")
        return 2
    results.close()
    return report(outcomes, run.left_out, options)


def modules() -> dict[str, tuple[Path, bytes]]:
    """The translation's files, in whatever folder, by names that only one of them has."""
    paths = sorted(path for path in CODE.rglob("*.py") if path.name != "__init__.py")
    found = {path.stem: (path, path.read_bytes()) for path in paths}
    assert len(found) == len(paths), "two modules have one name"
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    add = parser.add_argument
    add("modules", nargs="*", help="names of modules of the translation; all without any")
    add("--every", type=int, default=1, metavar="N", help="each Nth mutant")
    add("--below", type=float, default=90, metavar="PERCENT", help="fail under this share")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    add("--tests", action="append", metavar="PATH", help="other tests than the translation's")
    add("--show", action="append", metavar="ID", help="print what a mutant changes")
    add("--results", type=Path, default=RESULTS, metavar="FILE", help="where outcomes are kept")
    add("--survivors", action="store_true", help="print what each survivor changes")
    add("--verbose", action="store_true", help="print each outcome")
    return parser.parse_args()


def show(sources: dict[str, tuple[Path, bytes]], name: str) -> None:
    module, _, number = name.partition(".")
    path, source = sources[module]
    print(diff(mutants_of(module, source)[int(number) - 1], path, source))


def diff(mutant: Mutant, path: Path, source: bytes) -> str:
    before, after = source.decode(), mutant.of(source).decode()
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path.name}", f"{mutant.id}", n=1, lineterm=""
    )
    return "\n".join(lines)


def row(outcome: Outcome, sources: dict[str, tuple[Path, bytes]]) -> str:
    """A line of the results; for a survivor with what it changes."""
    noticed = outcome.status in (KILLED, TIMEOUT)
    return json.dumps(
        {
            "id": outcome.mutant.id,
            "function": outcome.mutant.function,
            "status": outcome.status,
            "tests": outcome.tests,
            "test": outcome.test,
            "seconds": round(outcome.seconds, 3),
            "diff": "" if noticed else diff(outcome.mutant, *sources[outcome.mutant.module]),
        },
        ensure_ascii=False,
    )


def report(outcomes: list[Outcome], left_out: list[str], options: argparse.Namespace) -> int:
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.mutant.module, Counter())[outcome.status] += 1
    if options.survivors:
        for found in map(json.loads, options.results.read_text().splitlines()):
            if found["status"] in (SURVIVED, UNREACHED):
                print(f"{found['diff']}\n  {found['status']}, {found['tests']} tests\n")
    if left_out:
        print("left out, being slow:", *left_out, sep="\n  ")
    print(f"\n{'':16}{'killed':>8}{'timeout':>8}{'survived':>9}{'unreached':>10}{'':>4}")
    for module, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        start = f"{module:16}{count[KILLED]:8}{count[TIMEOUT]:8}{count[SURVIVED]:9}"
        print(f"{start}{count[UNREACHED]:10}{share(count):8.1f} %")
    unfit = sum(outcome.status == UNFIT for outcome in outcomes)
    print(f"{unfit} more changes could not be put in place and do not count.")
    return int(share(sum(counts.values(), Counter())) < options.below)


def share(count: Counter[str]) -> float:
    """Noticed changes among those that were made, in percent."""
    noticed = count[KILLED] + count[TIMEOUT]
    made = noticed + count[SURVIVED] + count[UNREACHED]
    return 100 * noticed / made if made else 100.0


if __name__ == "__main__":
    sys.exit(main())
