"""Several processes behind one socket: all serve, all stop, and one that dies is replaced."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from deepseek_messages.web.app import _UNKEPT, _seal_key
from deepseek_messages.web.workers import MOST_DEATHS

Start = Callable[..., subprocess.Popen[str]]

SERVER = """
    import os, signal, sys
    from deepseek_messages.web.workers import WorkersError, run_workers

    def work(number, ready):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        os.write(1, b"worker %d\\n" % os.getpid())
        os.write(1, b"number %d\\n" % number)
        ready()
        os.write(1, b"serves %d\\n" % os.getpid())
        {body}

    def refused():
        raise BlockingIOError(11, "no more processes")

    {before}
    try:
        run_workers(
            2,
            work,
            lambda: os.write(1, b"ready\\n"),
            lambda number: os.write(1, b"free %d\\n" % number),
            lambda: os.write(1, b"stopping\\n"),
        )
    except WorkersError as error:
        sys.exit(str(error))
"""
WAIT = "signal.pause()"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(body: str, before: str = "") -> subprocess.Popen[str]:
        script = tmp_path / "server.py"
        script.write_text(textwrap.dedent(SERVER).format(body=body, before=before))
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
        if line[0] == "worker":
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


def numbers(output: IO[str] | None, word: str) -> Iterator[int]:
    """The process ids that are told with this word, as they come."""
    assert output is not None
    for line in output:
        if line.startswith(f"{word} "):
            yield int(line.split()[1])


def test_a_worker_that_dies_is_replaced_and_the_others_stay(start: Start) -> None:
    process = start(WAIT)
    dead, other = workers_of(process.stdout)
    os.kill(dead, signal.SIGKILL)
    new = next(each for each in numbers(process.stdout, "serves") if each not in (dead, other))
    os.kill(other, 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    for worker in (other, new):
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_number_is_free_before_another_worker_gets_it(start: Start) -> None:
    process = start(WAIT)
    dead, _ = workers_of(process.stdout)
    os.kill(dead, signal.SIGKILL)
    assert process.stdout is not None
    lines = (line.split() for line in process.stdout)
    told = (tuple(line) for line in lines if line[0] in ("free", "number"))
    kind, number = next(told)
    assert kind == "free"
    assert next(told) == ("number", number)


def test_one_death_after_the_other_ends_the_server(start: Start) -> None:
    process = start(WAIT)
    dying, other = workers_of(process.stdout)
    known = {dying, other}
    for _ in range(MOST_DEATHS):
        os.kill(dying, signal.SIGKILL)
        dying = next(each for each in numbers(process.stdout, "serves") if each not in known)
        known.add(dying)
    os.kill(dying, signal.SIGKILL)
    assert process.wait() == 1
    assert process.stderr.read() == "worker processes ended; the log says why\n"
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")
def test_the_signal_to_read_settings_again_reaches_every_worker(start: Start) -> None:
    process = start(
        "signal.signal(signal.SIGHUP, lambda *_: os.write(1, b'told %d\\n' % os.getpid()));"
        " os.write(1, b'listens %d\\n' % os.getpid());"
        " [signal.pause() for _ in range(9)]"
    )
    listening = numbers(process.stdout, "listens")
    workers = {next(listening), next(listening)}
    process.send_signal(signal.SIGHUP)
    told = numbers(process.stdout, "told")
    assert {next(told), next(told)} == workers
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_workers_do_not_outlive_the_server(start: Start) -> None:
    process = start(WAIT)
    workers_of(process.stdout)
    process.kill()
    assert process.stdout is not None
    assert "ready" not in process.stdout.read()  # it ends once nobody holds it


def test_a_signal_to_a_worker_just_born_is_not_taken_for_the_servers(start: Start) -> None:
    process = start(
        WAIT,
        before="fork = os.fork; forks = iter([fork, fork]);"
        " born = lambda: fork() or os.kill(os.getpid(), signal.SIGTERM) or 0;"
        " os.fork = lambda: next(forks, born)()",
    )
    dead, _ = workers_of(process.stdout)
    os.kill(dead, signal.SIGKILL)
    assert process.wait() == 1  # the worker ended before it served; the server was told nothing
    assert process.stderr is not None
    assert process.stderr.read() == "worker processes ended; the log says why\n"


def test_no_process_for_another_worker_ends_the_server_after_its_answers(start: Start) -> None:
    process = start(
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked 1\\n'), os._exit(0)));"
        " signal.pause()",
        before="fork = os.fork; forks = iter([fork, fork]);"
        " os.fork = lambda: next(forks, refused)()",
    )
    dead, _ = workers_of(process.stdout)
    os.kill(dead, signal.SIGKILL)
    assert process.wait() == 1
    assert process.stdout is not None
    said = process.stdout.read()
    assert said.count("asked 1") == 1
    assert "worker not replaced" in said
    assert process.stderr is not None
    assert process.stderr.read() == "worker processes ended; the log says why\n"


def test_workers_that_cannot_start_end_the_server(start: Start) -> None:
    process = start("sys.exit(3)")
    assert process.wait() == 1


def test_workers_open_each_others_seals_where_no_key_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "file" / "state"
    assert _seal_key(nowhere) == _seal_key(nowhere) == _UNKEPT  # made before they are
