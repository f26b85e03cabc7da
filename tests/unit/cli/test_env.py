"""The variables that ``env`` prints, as each shell reads them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deepseek_messages.cli import main
from deepseek_messages.cli.client import Token
from deepseek_messages.cli.env import render

NASTY = 'it\'s $HOME "quoted" `x` \\ back'


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in list(os.environ):
        if name.startswith(("DEEPSEEK_", "ANTHROPIC_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr("deepseek_messages.cli.env.served_window", lambda *_: None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["env", *arguments])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:8000/anthropic"),
        ("ANTHROPIC_AUTH_TOKEN", "none"),
        ("API_TIMEOUT_MS", "600000"),
        ("ANTHROPIC_MODEL", "deepseek-chat"),
        ("ANTHROPIC_SMALL_FAST_MODEL", "deepseek-chat"),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", "deepseek-chat"),
        ("ANTHROPIC_DEFAULT_SONNET_MODEL", "deepseek-chat"),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "deepseek-chat"),
        ("ANTHROPIC_DEFAULT_FABLE_MODEL", "deepseek-chat"),
        ("CLAUDE_CODE_SUBAGENT_MODEL", "deepseek-chat"),
        ("CLAUDE_CODE_MAX_CONTEXT_TOKENS", "1048576"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ],
)
def test_settings_file_has(name: str, value: str) -> None:
    result = run("--upstream", "double", "--shell", "json")
    assert json.loads(result.stdout)["env"][name] == value


def test_bash_reads_values_as_they_are() -> None:
    script = render("bash", {"X": NASTY, "Y": Token("text", NASTY)}) + 'printf "%s|%s" "$X" "$Y"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{NASTY}|{NASTY}"


def test_bash_takes_a_key_from_its_variable() -> None:
    script = render("bash", {"X": Token("variable", "KEY")}) + 'printf %s "$X"'
    env = {"KEY": NASTY, "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == NASTY


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_reads_values_as_they_are() -> None:
    script = render("fish", {"X": NASTY}) + 'printf %s "$X"'
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == NASTY


@pytest.mark.parametrize(
    ("shell", "value", "line"),
    [
        ("fish", NASTY, "set -gx X 'it\\'s $HOME \"quoted\" `x` \\\\ back'"),
        ("powershell", NASTY, "$env:X = 'it''s $HOME \"quoted\" `x` \\ back'"),
        ("bash", Token("variable", "K"), 'export X="$K"'),
        ("fish", Token("variable", "K"), 'set -gx X "$K"'),
        ("powershell", Token("variable", "K"), "$env:X = $env:K"),
    ],
)
def test_quoting(shell: str, value: str | Token, line: str) -> None:
    assert render(shell, {"X": value}) == line + "\n"


def test_unknown_window_is_left_out_and_said() -> None:
    result = run("--upstream", "embedded", "--model", "other.gguf")
    assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS=" not in result.stdout
    assert "context is unknown" in result.stderr


def test_pass_through_names_the_variable_and_not_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_MESSAGES_AUTH_MODE", "pass-through")
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-hidden")
    result = run()
    assert 'export ANTHROPIC_AUTH_TOKEN="$DEEPSEEK_API_KEY"' in result.stdout
    assert "hidden" not in result.output


def test_missing_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-1")  # the server's: callers need one of its own
    result = run()
    assert 'export ANTHROPIC_AUTH_TOKEN="$DEEPSEEK_MESSAGES_KEY"' in result.stdout
    assert "set DEEPSEEK_MESSAGES_KEY to your key first" in result.stderr


@pytest.mark.parametrize("where", ["flag", "variable"])
def test_key_that_is_given_is_printed(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "variable":
        monkeypatch.setenv("DEEPSEEK_MESSAGES_KEY", "dsm-1")
    result = run("--upstream", "double", *(["--key", "dsm-1"] if where == "flag" else []))
    assert "export ANTHROPIC_AUTH_TOKEN=dsm-1\n" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://gateway.test", "https://gateway.test/anthropic"),
        ("https://gateway.test/", "https://gateway.test/anthropic"),
        ("https://gateway.test/v/anthropic", "https://gateway.test/v/anthropic"),
    ],
)
def test_address_of_another_server(url: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.cli.env.served_window", lambda *_: 4096)
    result = run("--upstream", "double", "--url", url)
    assert f"export ANTHROPIC_BASE_URL={base}\n" in result.stdout
    assert "export CLAUDE_CODE_MAX_CONTEXT_TOKENS=4096\n" in result.stdout
    assert "export CLAUDE_CODE_MAX_OUTPUT_TOKENS=1024\n" in result.stdout


def test_another_server_that_does_not_answer_has_no_window_of_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepseek_messages.cli.env.served_window", lambda *_: None)
    result = run("--upstream", "double", "--url", "https://gateway.test")
    assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS" not in result.stdout
    assert "unknown until the server runs" in result.stderr


@pytest.mark.parametrize("url", ["gateway.test", "http://h:port", "file:///etc/passwd"])
def test_address_that_is_none_is_wrong_usage(url: str) -> None:
    result = run("--upstream", "double", "--url", url)
    assert result.exit_code == 2
    assert "is no http:// or https:// URL" in result.stderr


def test_settings_mistake_ends_with_one_line() -> None:
    result = run("--upstream", "nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 'nonsense' is no upstream")
    assert result.stderr.count("\n") == 1


# --- a project's settings file --------------------------------------------------------------------


def test_variables_are_written_into_the_project_and_taken_out(tmp_path: Path) -> None:
    file = tmp_path / ".claude" / "settings.local.json"
    file.parent.mkdir()
    file.write_text('{"permissions": {"allow": ["Bash(ls)"]}}')
    written = run("--upstream", "double", "--write")
    assert written.exit_code == 0, written.output
    tree = json.loads(file.read_text())
    assert tree["permissions"] == {"allow": ["Bash(ls)"]}
    assert tree["env"]["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8000/anthropic"
    assert tree["env"]["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "1048576"
    removed = run("--remove")
    assert removed.exit_code == 0, removed.output
    assert file.read_text() == '{"permissions": {"allow": ["Bash(ls)"]}}'


def test_another_file_may_be_named(tmp_path: Path) -> None:
    result = run("--upstream", "double", "--key", "k", "--write", "mine.json")
    assert "keep the file out of the repository" in result.stderr
    assert json.loads((tmp_path / "mine.json").read_text())["env"]["ANTHROPIC_AUTH_TOKEN"] == "k"
    assert "as it was before" in run("--remove", "mine.json").stdout
    assert not (tmp_path / "mine.json").exists()


def test_nothing_is_written_without_a_key_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("--upstream", "http://192.0.2.1/v1", "--write")
    assert result.exit_code == 1
    assert "DEEPSEEK_API_KEY" in result.stderr
    assert not (tmp_path / ".claude").exists()


def test_unusable_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("[")
    for flag in ("--write", "--remove"):
        result = run("--upstream", "double", flag, "mine.json")
        assert result.exit_code == 1
        assert "mine.json: is not valid JSON" in result.stderr
    assert (tmp_path / "mine.json").read_text() == "["
