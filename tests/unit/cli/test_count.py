"""Counting a request's prompt at the command line."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepseek_messages.cli import main

HELLO = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DEEPSEEK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DEEPSEEK_MESSAGES_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_counts_a_file(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(HELLO))
    result = CliRunner().invoke(main, ["count", "request.json"])
    # <begin of sentence> <User> Hello <Assistant> </think>
    assert (result.exit_code, result.output) == (0, "5\n")


def test_counts_standard_input_for_another_model() -> None:
    text = json.dumps(HELLO)
    counted = {
        model: int(CliRunner().invoke(main, ["count", "-", "--model", model], input=text).stdout)
        for model in ("deepseek-chat", "deepseek-v4-pro", "claude-opus-4-1")
    }
    assert counted == {"deepseek-chat": 5, "deepseek-v4-pro": 5, "claude-opus-4-1": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Error: "),
        ('{"model": "m", "messages": 3}', "Error: messages: "),
        ('{"messages": []}', "Error: model: "),
    ],
)
def test_mistake_is_named_by_path(text: str, message: str) -> None:
    result = CliRunner().invoke(main, ["count", "-"], input=text)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stdout == ""


def test_file_that_is_not_there_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["count", "absent.json"]).exit_code == 2
