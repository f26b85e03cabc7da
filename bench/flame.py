"""``python -m bench.flame``: where the running server's time goes, under each kind of load.

py-spy samples the server's Python stacks while a client loads it. The folded stacks go to
``bench/results/flame`` (speedscope and flamegraph tools read them; ``--svg`` draws flame graphs
instead); the functions whose own time is largest are printed. Time inside a C extension (httptools,
msgspec, the event loop, the kernel) belongs to the Python function that called it.
"""

import argparse
import pathlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import load, processes, report
from bench.bodies import messages_request, script, session

FOLDER = pathlib.Path(__file__).parent / "results" / "flame"
RATE = 400  # samples a second
SHOWN = 10  # functions of each load

# "function (file:line)" as py-spy writes a frame; the file within its package.
FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)$")


@dataclass(frozen=True)
class Load:
    """What the clients send, over and over."""

    name: str
    requests: Sequence[bytes]
    connections: int
    each: int


def loads() -> list[Load]:
    return [
        Load("non-stream requests", [messages_request(stream=False)], 32, 20),
        Load("streams, paced 5 ms", [messages_request(stream=True, told=script(100, 5))], 32, 1),
        Load("streams, flooding", [messages_request(stream=True, told=script(100))], 32, 5),
        Load("coding session", session(50), 1, 50),
    ]


def record(one: Load, seconds: float, kind: str) -> pathlib.Path:
    """Load a server and sample it. Raises ``RuntimeError`` when py-spy may not look at it."""
    suffix = "svg" if kind == "flamegraph" else "folded"
    name = re.sub(r"\W+", "-", one.name)
    file = FOLDER / f"{name}.{suffix}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    spy = [str(pathlib.Path(sys.executable).with_name("py-spy")), "record", "--function"]
    spy += ["--full-filenames", "--format", kind, "--rate", str(RATE)]
    spy += ["--duration", f"{seconds:g}", "--output", str(file)]
    with processes.upstream() as up, processes.server(up) as (port, pid):

        def send() -> None:
            outcome = load.run(
                port, one.requests, connections=one.connections, each=one.each, limit=60
            )
            load.good(one.name, outcome)

        send()  # warm-up
        with subprocess.Popen(
            [*spy, "--pid", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            while process.poll() is None:
                send()
            assert process.stderr is not None
            said = process.stderr.read().decode(errors="replace")
        if process.returncode:
            raise RuntimeError(f"py-spy: {said.strip()[-300:]} (it needs the right to trace)")
    return file


# Threads that wait for work, which py-spy takes for running ones.
WAITING = "concurrent/futures/thread: _worker"

LAYER = re.compile(r"deepseek_messages/(\w+)/")


def stacks(folded: str) -> Iterator[tuple[list[str], int]]:
    """Frames from the outermost to the innermost, and how often they were seen."""
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [short_name(frame) for frame in stack.split(";")]
        if frames[-1] != WAITING:
            yield frames, int(count)


def own_time(folded: str) -> Counter[str]:
    """Samples by the function that was running."""
    found: Counter[str] = Counter()
    for frames, count in stacks(folded):
        found[frames[-1]] += count
    return found


def layer_time(folded: str) -> Counter[str]:
    """Samples by the innermost of our layers that was at work; "none" when none was."""
    found: Counter[str] = Counter()
    for frames, count in stacks(folded):
        layers = [match[1] for match in map(LAYER.match, frames) if match]
        found[layers[-1] if layers else "none"] += count
    return found


def short_name(frame: str) -> str:
    """``package/module.function``, wherever the package is installed."""
    match = FRAME.match(frame)
    if match is None:
        return frame
    file = re.sub(r"^.*/(?:site-packages|src|python3\.\d+)/", "", match["file"])
    return f"{file.removesuffix('.py')}: {match['function']}"


def table(what: str, found: dict[str, Counter[str]]) -> str:
    """A row for each that is among the first of any load; in percent of all samples."""
    shares = {
        name: {function: 100 * count / counts.total() for function, count in counts.items()}
        for name, counts in found.items()
    }
    wanted = {function for counts in found.values() for function, _ in counts.most_common(SHOWN)}
    order = sorted(wanted, key=lambda each: -max(s.get(each, 0) for s in shares.values()))
    lines = [f"| {what}, % | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for function in order:
        cells = [f"{share.get(function, 0):.1f}" for share in shares.values()]
        lines.append(f"| `{function}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.flame", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8, help="of samples, for each load")
    parser.add_argument("--svg", action="store_true", help="draw flame graphs, print no table")
    parser.add_argument("--docs", type=pathlib.Path, help="put the table into this page")
    args = parser.parse_args()
    processes.stop_cleanly()
    if args.svg:
        for each in loads():
            print(record(each, args.seconds, "flamegraph"))
        return
    folded = {each.name: record(each, args.seconds, "raw").read_text() for each in loads()}
    tables = [
        table("layer", {name: layer_time(text) for name, text in folded.items()}),
        table("own time", {name: own_time(text) for name, text in folded.items()}),
    ]
    seconds = f"{args.seconds:g} s of samples for each."
    text = "\n\n".join([f"{report.machine()}; {seconds}", *tables])
    print(text)
    if args.docs:
        report.write_page(args.docs, "flame", text)


if __name__ == "__main__":
    main()
