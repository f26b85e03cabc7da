"""Several processes behind one socket: all serve, all stop, and one that ends ends all."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

Start = Callable[[str], subprocess.Popen[str]]

SERVER = """
    import os, signal, sys
    from deepseek_messages.web.workers import WorkersError, run_workers

    def work(ready):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        os.write(1, b"worker %d\\n" % os.getpid())
        ready()
        {body}

    try:
        run_workers(2, work, lambda: os.write(1, b"ready\\n"))
    except WorkersError as error:
        sys.exit(str(error))
"""
WAIT = "signal.pause()"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(body: str) -> subprocess.Popen[str]:
        script = tmp_path / "server.py"
        script.write_text(textwrap.dedent(SERVER).format(body=body))
        process = subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def workers_of(output: IO[str] | None) -> list[int]:
    """The workers' process ids, once all of them are ready."""
    assert output is not None
    found = []
    while (line := output.readline().split()) != ["ready"]:
        assert line, "ended before it was ready"
        found.append(int(line[1]))
    return found


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_worker(start: Start, sig: signal.Signals) -> None:
    process = start(WAIT)
    workers = workers_of(process.stdout)
    assert len(set(workers)) == 2
    process.send_signal(sig)
    assert process.wait() == 0
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_worker_that_ends_unasked_ends_the_server(start: Start) -> None:
    process = start(WAIT)
    os.kill(workers_of(process.stdout)[0], signal.SIGKILL)
    assert process.wait() == 1
    assert process.stderr.read() == "a worker process ended; its log says why\n"


def test_workers_do_not_outlive_the_server(start: Start) -> None:
    process = start(WAIT)
    workers_of(process.stdout)
    process.kill()
    assert process.stdout.read() == ""  # it ends once nobody holds it


def test_workers_that_cannot_start_end_the_server(start: Start) -> None:
    process = start("sys.exit(3)")
    assert process.wait() == 1
