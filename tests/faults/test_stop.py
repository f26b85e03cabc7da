"""The whole program told to stop: running answers end whole, new work is refused, nothing hangs."""

import signal
import sys
from pathlib import Path

import pytest

from tests.faults.chat_bytes import DONE, USAGE, delta
from tests.support.client import STREAM
from tests.support.gates import WAIT_SECONDS, Gate, wait_until
from tests.support.servers import ReadRequest, Wait, answer, chunk, chunked_sse_head, raw_upstream
from tests.support.serving import serve_program

MODELS = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_a_stream_end_whole_and_refuses_new_work(tmp_path: Path, workers: int) -> None:
    gate = Gate()
    end = delta("stop", USAGE, content="") + DONE
    stream = [
        ReadRequest(),
        chunked_sse_head(),
        chunk(delta(content="Hel")),
        Wait(gate),
        chunk(delta(content="lo") + end),
        chunk(b""),
    ]
    with (
        raw_upstream([ReadRequest(), MODELS], stream) as upstream,
        serve_program(tmp_path, upstream.url, f"workers = {workers}") as program,
        program.client.stream(STREAM) as answered,
    ):
        for _ in range(3):
            answered.next()
        program.process.send_signal(signal.SIGTERM)
        refused = False
        while not refused:
            try:
                program.client.get("/healthz")
            except ConnectionRefusedError:
                refused = True
            except ConnectionResetError:  # it was waiting when the last one stopped to listen
                continue
        gate.set()
        assert answered.rest()[-1]["type"] == "message_stop"
        assert program.process.wait(WAIT_SECONDS) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_what_still_runs(tmp_path: Path, workers: int) -> None:
    stream = [ReadRequest(), chunked_sse_head(), chunk(delta(content="Hel")), Wait(Gate())]
    settings = f"drain_seconds = 600\nworkers = {workers}"
    with (
        raw_upstream([ReadRequest(), MODELS], stream) as upstream,
        serve_program(tmp_path, upstream.url, settings) as program,
        program.client.stream(STREAM) as answered,
    ):
        for _ in range(3):
            answered.next()
        program.process.send_signal(signal.SIGTERM)
        # Each worker says so: a second signal that comes before the first was heard is none.
        wait_until(lambda: (tmp_path / "log").read_text().count('"stopping"') == workers)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(WAIT_SECONDS) == 0
