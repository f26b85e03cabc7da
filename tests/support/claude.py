"""Drives the real Claude Code binary headlessly: empty environment, own HOME, loopback only."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Start = Callable[..., "subprocess.Popen[Any]"]

TURN_SECONDS = 600  # only ever reached by a test that fails

STREAM_JSON = ("--output-format", "stream-json", "--verbose")


@dataclass
class Turn:
    """What one run of the CLI gave."""

    exit_code: int
    lines: list[dict[str, Any]]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """The closing ``result`` line. Raises ``AssertionError`` when there is none."""
        found = [line for line in self.lines if line.get("type") == "result"]
        assert found, f"no result line; stderr: {self.stderr[-2000:]}"
        return found[-1]

    @property
    def text(self) -> str:
        """The final answer as the user reads it."""
        return str(self.result.get("result", ""))

    def of(self, kind: str, subtype: str | None = None) -> list[dict[str, Any]]:
        """All lines of one ``type`` (and ``subtype``)."""
        return [
            line
            for line in self.lines
            if line.get("type") == kind and subtype in (None, line.get("subtype"))
        ]


@dataclass
class ClaudeCode:
    """One user's Claude Code: a binary, a home and a project folder that outlive a turn.
    ``start`` starts a program as ``subprocess.Popen`` does, wherever the tests want it to run.
    """

    binary: pathlib.Path
    folder: pathlib.Path
    base_url: str
    key: str = "test"
    model: str = "deepseek-chat"
    environment: dict[str, str] = field(default_factory=dict)
    output: tuple[str, ...] = STREAM_JSON
    start: Start = subprocess.Popen

    def __post_init__(self) -> None:
        for name in ("home", "tmp", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> pathlib.Path:
        """The project folder the CLI works in."""
        return self.folder / "work"

    def variables(self) -> dict[str, str]:
        """The whole environment of the CLI: nothing of the caller's own leaks in."""
        aliases = [f"DEFAULT_{alias}_MODEL" for alias in ("HAIKU", "SONNET", "OPUS", "FABLE")]
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "CLAUDE_CODE_TMPDIR": str(self.folder / "tmp"),
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": self.base_url,
            "ANTHROPIC_AUTH_TOKEN": self.key,
            **{f"ANTHROPIC_{name}": self.model for name in ("MODEL", "SMALL_FAST_MODEL", *aliases)},
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "131072",
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "API_TIMEOUT_MS": "600000",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            **self.environment,
        }

    def command(self, prompt: str, *options: str, permissive: bool = True) -> list[str]:
        """The command line of one headless turn."""
        permission = ["--dangerously-skip-permissions"] if permissive else []
        isolation = ["--strict-mcp-config", "--setting-sources", ""]
        return [str(self.binary), "-p", prompt, *self.output, *permission, *isolation, *options]

    def begin(self, prompt: str, *options: str, permissive: bool = True) -> "Running":
        """Start one turn and leave it running; whoever began it ends it."""
        return Running(
            self.start(
                self.command(prompt, *options, permissive=permissive),
                cwd=self.work,
                env=self.variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )

    def turn(self, prompt: str, *options: str, permissive: bool = True) -> Turn:
        """Run one turn to its end. Raises ``TimeoutExpired`` after ten minutes."""
        return self.begin(prompt, *options, permissive=permissive).turn()


class Running:
    """A turn that is going on, in a process group of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def turn(self, seconds: float = TURN_SECONDS) -> Turn:
        """Wait for its end. Raises ``TimeoutExpired``; nothing of it is left running."""
        try:
            stdout, stderr = self.process.communicate(timeout=seconds)
        finally:
            self.end()
        return Turn(self.process.returncode, parse_lines(stdout), stderr)

    def end(self) -> None:
        """Stop whatever of it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def parse_lines(output: str) -> list[dict[str, Any]]:
    """The JSON lines of ``--output-format stream-json``."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
