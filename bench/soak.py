"""``python -m bench.soak MINUTES [--rate N]``: mixed load with faults on both sides, watched from
outside.

The upstream answers well, slowly, in part, with garbage, with errors, or not at all; clients read
to the end, leave, reset, read slowly, send half a request, a wrong key or no JSON. Once the load
has stopped, tasks, descriptors and open requests must be where they were before it, and objects
nearly so. Memory must not have grown by more than ``MAX_SLOPE``: the median of the slopes between
any two samples (Theil and Sen) of the server's anonymous resident memory, each the least of
``WINDOW`` seconds, after ``WARM_UP``. Exits with 1 if not.
"""

import argparse
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations

from bench.faults import server, until, warm_up
from bench.moody import Load, Moody
from bench.stalled import anonymous_bytes

MAX_SLOPE = 1.0  # MiB in 10 minutes

# Objects that a server may have come to keep under load: it has seen more kinds of answers. One
# that each tenth request leaves behind is seen within five minutes.
MAX_NEW_OBJECTS = 500
CLIENTS = 16

# Seconds that do not count for the slope: connections that idle are kept for 75, caches fill, and
# the collector's older generations get what it will always leave to them for a while. On a slow
# machine it takes as long as so many requests do, and the whole is as much longer.
WARM_UP = 90.0
WARM_REQUESTS = 1_500
WINDOW = 5.0

# Seconds of samples without which a slope says more of the allocator than of leaks.
MIN_MEASURED = 180.0

# The last line of a report without problems.
SOUND = "nothing is left behind"

Sample = tuple[float, int]  # seconds since the start, bytes


@dataclass
class Report:
    """What was seen. ``before`` and ``after`` are of the server without load."""

    seconds: float
    warm_after: float = WARM_UP
    told: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    @property
    def slope(self) -> float | None:
        """MiB in ten minutes; ``None`` when too short a time was measured."""
        measured = [sample for sample in self.samples if sample[0] >= self.warm_after]
        if not measured or measured[-1][0] - measured[0][0] < MIN_MEASURED:
            return None
        return slope(measured)

    @property
    def problems(self) -> list[str]:
        """What is not as it must be."""
        found = [
            f"{name}: {self.before[name]} before, {self.after[name]} after"
            for name in JUDGED
            if self.after[name] > self.before[name]
        ]
        if self.after["objects"] > self.before["objects"] + MAX_NEW_OBJECTS:
            found.append(f"objects: {self.before['objects']} before, {self.after['objects']} after")
        if self.slope is not None and self.slope > MAX_SLOPE:
            found.append(f"memory grows by {self.slope:.2f} MiB in 10 minutes")
        if not self.told["read: whole"]:
            found.append("no answer came whole")
        return found

    def __str__(self) -> str:
        """The figures, for a person."""
        first, last = self.samples[0][1], self.samples[-1][1]
        lines = [
            f"{sum(self.told.values())} requests in {self.seconds / 60:.3g} minutes",
            *(f"  {name}: {number}" for name, number in sorted(self.told.items())),
            f"anonymous memory: {first / 2**20:.1f} MiB at first, {last / 2**20:.1f} MiB at last",
        ]
        if self.slope is not None:
            lines.append(f"  slope after the warm-up: {self.slope:.2f} MiB in 10 minutes")
        for name, value in self.before.items():
            lines.append(f"{name}: {value} before, {self.after.get(name)} after")
        verdict = [f"NOT as it must be: {each}" for each in self.problems] or [SOUND]
        return "\n".join([*lines, *verdict])


JUDGED = ("tasks", "descriptors", "open requests", "open streams")


def slope(samples: list[Sample]) -> float:
    """MiB in ten minutes, by Theil and Sen over the least of each window: single steps up and
    short peaks, as allocators make them, do not count; growth that goes on does.
    """
    windows: dict[int, Sample] = {}
    for at, size in samples:
        window = int(at // WINDOW)
        windows[window] = min(windows.get(window, (at, size)), (at, size), key=lambda s: s[1])
    points = list(windows.values())
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2)]
    return statistics.median(slopes) * 600 / 2**20


class Watch:
    """Looks at a server that runs under ``bench.watched``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, told: pathlib.Path) -> None:
        self._process = process
        self._port = port
        self._told = told

    def __call__(self) -> dict[str, int]:
        """Tasks, objects, descriptors, threads, open requests. The look itself is one of them."""
        proc = pathlib.Path(f"/proc/{self._process.pid}")
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics") as reply:
            metrics = reply.read().decode()
        found = re.findall(r"^deepseek_messages_open_(\w+) (\d+)", metrics, re.MULTILINE)
        return {
            **self._from_inside(),
            "descriptors": len(list((proc / "fd").iterdir())),
            "threads": len(list((proc / "task").iterdir())),
            **{f"open {name}": int(value) for name, value in found},
        }

    def _from_inside(self) -> dict[str, int]:
        self._told.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        until(self._told.exists)
        return dict(json.loads(self._told.read_text()))


def soak(minutes: float, rate: float = 0.0) -> Report:
    """Put the server under load for so long: as much as 16 clients make that ask one time after
    the other, and after the warm-up ``rate`` requests a second (0: no less).
    """
    report = Report(seconds=minutes * 60)
    upstream = Moody()
    with tempfile.TemporaryDirectory() as folder:
        told = pathlib.Path(folder, "told")
        with server(upstream, program=("bench.watched", str(told))) as (port, process):
            watch = Watch(process, port, told)
            warm_up(port)
            report.before = watch()
            upstream.moody = True
            load = Load(port, told=report.told)
            _press(load, rate / CLIENTS, process.pid, report)
            _settle(watch, report)
    return report


def _press(load: Load, rate: float, pid: int, report: Report) -> None:
    threads = [threading.Thread(target=load.client, args=(seed,)) for seed in range(CLIENTS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        longest, warm = 2 * report.seconds, False
        while (now := time.monotonic() - start) < report.seconds:
            if not warm and now >= WARM_UP:
                warm = report.told.total() >= WARM_REQUESTS or report.seconds >= longest
                report.seconds += now - report.warm_after
                report.warm_after = now
                load.rate = rate if warm else 0.0
            report.samples.append((now, anonymous_bytes(pid)))
            time.sleep(1)
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


def _settle(watch: Watch, report: Report) -> None:
    """Give what is under way its time to end."""

    def settled() -> bool:
        time.sleep(0.2)
        report.after = watch()
        return all(report.after[name] <= report.before[name] for name in JUDGED)

    with suppress(TimeoutError):
        until(settled, 240)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: no limit")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server ends with us
    report = soak(args.minutes, args.rate)
    print(report)
    sys.exit(bool(report.problems))


if __name__ == "__main__":
    main()
