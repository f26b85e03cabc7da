"""Drives the real Claude Code binary headlessly: empty environment, own HOME, loopback only."""

import json
import os
import pathlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import toolchain

TURN_SECONDS = 120


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
    """One user's Claude Code: a binary, a home and a project folder that outlive a turn."""

    binary: pathlib.Path
    folder: pathlib.Path
    base_url: str
    key: str = "test"
    model: str = "deepseek-chat"
    environment: dict[str, str] = field(default_factory=dict)

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
            "API_TIMEOUT_MS": "60000",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            **self.environment,
        }

    def command(self, prompt: str, *options: str, permissive: bool = True) -> list[str]:
        """The command line of one headless turn."""
        permission = ["--dangerously-skip-permissions"] if permissive else []
        output = ["--output-format", "stream-json", "--verbose"]
        isolation = ["--strict-mcp-config", "--setting-sources", ""]
        return [str(self.binary), "-p", prompt, *output, *permission, *isolation, *options]

    def turn(self, prompt: str, *options: str, permissive: bool = True) -> Turn:
        """Run one turn to its end. Raises ``TimeoutExpired`` after two minutes."""
        done = subprocess.run(
            self.command(prompt, *options, permissive=permissive),
            check=False,
            cwd=self.work,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TURN_SECONDS,
        )
        return Turn(done.returncode, parse_lines(done.stdout), done.stderr)


def parse_lines(output: str) -> list[dict[str, Any]]:
    """The JSON lines of ``--output-format stream-json``."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def claude_code(
    version: str,
    folder: pathlib.Path,
    base_url: str,
    environment: Mapping[str, str] | None = None,
) -> ClaudeCode:
    """A fresh user of that version of the CLI."""
    assert os.path.isabs(folder)
    return ClaudeCode(
        toolchain.claude_code(version), folder, base_url, environment=dict(environment or {})
    )
