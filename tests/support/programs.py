"""Programs that take one JSON order per line and give one JSON answer per line."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.gates import WAIT_SECONDS


class Program:
    """A running one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, **order: str) -> dict[str, Any]:
        """What it answered. Raises ``AssertionError`` when it failed at the order."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the program ended"
        answer: dict[str, Any] = json.loads(line)
        assert "crashed" not in answer, answer["crashed"]
        return answer


@contextmanager
def running_program(command: Sequence[str], **env: str) -> Iterator[Program]:
    """The program, with nothing of our environment, until the block ends."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **env},
    )
    with process:
        try:
            yield Program(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(WAIT_SECONDS)
