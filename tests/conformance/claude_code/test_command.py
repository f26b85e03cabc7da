"""``deepseek-messages claude`` with the real Claude Code: one command, then an answer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_messages.upstreams.double import Text, Think
from deepseek_messages.upstreams.double.answers import INTRODUCTION
from tests.conformance.claude_code.stage import Stage
from tests.support import toolchain
from tests.support.network import Network

SECONDS = 600  # only ever reached by a test that fails


def execute(
    network: Network, folder: Path, *arguments: str, version: str = toolchain.CLAUDE_CODE[0]
) -> "subprocess.CompletedProcess[str]":
    """Our command with that version on the path, an empty home, and nothing else of ours."""
    env = {
        "PATH": f"{toolchain.claude_code(version).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "IS_SANDBOX": "1",
        "CLAUDE_CODE_TMPDIR": str(folder),
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "ANTHROPIC_API_KEY": "sk-ant-of-another-service",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    process = network.start(
        [sys.executable, "-m", "deepseek_messages", *arguments],
        cwd=folder,
        env=env | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize("version", toolchain.CLAUDE_CODE)
def test_one_command_answers(network: Network, tmp_path: Path, version: str) -> None:
    flags = ("claude", "--upstream", "double")
    done = execute(network, tmp_path, *flags, "-p", "Say whale", version=version)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(INTRODUCTION)
    assert done.stdout.rstrip().endswith("Say whale")
    said = re.search(r"deepseek-messages: (.*)\n", done.stderr)
    assert said, done.stderr
    used = re.fullmatch(
        r"1 message, ([\d,]+) tokens in \(0% from the cache\), [\d,]+ tokens out, "
        r"\$0\.\d{4} at DeepSeek's prices",
        said[1],
    )
    assert used, said[1]
    assert int(used[1].replace(",", "")) > 10_000


def test_failure_of_claude_code_is_the_commands(network: Network, tmp_path: Path) -> None:
    done = execute(network, tmp_path, "claude", "--upstream", "double", "--no-such-flag")
    assert done.returncode == 1
    assert "no-such-flag" in done.stderr
    assert "deepseek-messages:" not in done.stderr


def test_project_keeps_the_variables(stage: Stage, tmp_path: Path) -> None:
    """``env --write``, then plain ``claude`` in the same folder."""
    flags = ("--upstream", "double", "--url", stage.base_url, "--key", "test", "--write")
    written = execute(stage.network, tmp_path, "env", *flags)
    assert written.returncode == 0, written.stderr
    stage.double.expect([Think("A greeting."), Text("Hello there.")])
    plain = stage.network.start(
        [str(toolchain.claude_code(toolchain.CLAUDE_CODE[0])), "-p", "Hi"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLAUDE_CODE_TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = plain.communicate(timeout=SECONDS)
    assert out == "Hello there.\n", err
    assert stage.count == 1
