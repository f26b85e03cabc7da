"""A soak runs beside the whole suite, so that its minutes cost no worker's time.

When everything was asked for, the session starts ``python -m bench.soak`` first, and
``tests/faults/test_soak.py``, which comes late, waits for its report. ``SOAK_MINUTES`` says how
long it takes: 5 in ``make check`` and where ``CI`` is set, else a few seconds.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.rows import is_whole_run

# Requests a second, which take a twentieth of a core.
RATE = 24

# Names the file that the session's soak writes to, and holds locked for as long as it runs.
REPORT = "SOAK_REPORT"


def minutes() -> float:
    """How long to soak."""
    default = 5.0 if os.environ.get("CI") else 0.1
    return float(os.environ.get("SOAK_MINUTES") or default)


def pytest_configure(config: pytest.Config) -> None:
    if sys.platform == "linux" and is_whole_run(config) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Beside(), "soak-beside")


class Beside:
    """The soak of this session."""

    def __init__(self) -> None:
        handle, self._report = tempfile.mkstemp(prefix="soak-", suffix=".txt")
        fcntl.flock(handle, fcntl.LOCK_EX)  # goes with the descriptor to the process alone
        command = [sys.executable, "-m", "bench.soak", str(minutes()), "--rate", str(RATE)]
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle
        )
        os.close(handle)
        os.environ[REPORT] = self._report  # the workers inherit it

    def pytest_unconfigure(self) -> None:
        self._process.terminate()
        self._process.wait()
        os.environ.pop(REPORT, None)
        Path(self._report).unlink()


def report() -> str:
    """What the session's soak says, once it has ended; without one, what one of our own says."""
    beside = os.environ.get(REPORT)
    if beside is None:
        from bench.soak import soak

        return str(soak(minutes(), RATE))
    with Path(beside).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return file.read()
