"""The command itself: help, version, exit codes."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from deepseek_messages import __version__
from deepseek_messages.cli import COMMANDS, main


def test_version() -> None:
    assert (
        CliRunner().invoke(main, ["--version"]).output
        == f"deepseek-messages, version {__version__}\n"
    )


def test_help_lists_every_command_with_a_whole_sentence() -> None:
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    listed = {
        line.split()[0]: line for line in lines if line.startswith("  ") and line.endswith(".")
    }
    assert set(COMMANDS) <= listed.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert (result.exit_code, result.output.startswith("Usage: ")) == (0, True)


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["serve", "--nonsense"], ["serve", "--port", "x"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


@pytest.mark.parametrize(("flags", "first"), [([], "Headers"), (["--markdown"], "# Compatibility")])
def test_compat_prints_the_table(flags: list[str], first: str) -> None:
    assert CliRunner().invoke(main, ["compat", *flags]).output.splitlines()[0] == first


def test_compat_prints_json() -> None:
    rows = json.loads(CliRunner().invoke(main, ["compat", "--json"]).output)
    assert {"id", "how", "what"} <= rows[0].keys()


def test_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deepseek_messages", "--version"], capture_output=True, check=True
    )
    assert __version__.encode() in done.stdout
