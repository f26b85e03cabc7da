"""A user's settings file survives our variables."""

import json
import os
import stat
from pathlib import Path

import pytest

from deepseek_messages.cli.claude_settings import (
    BACKUP_SUFFIX,
    SettingsFileError,
    remove,
    write,
)

OURS = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1/anthropic", "ANTHROPIC_MODEL": "deepseek-chat"}
NAMES = {*OURS, "CLAUDE_CODE_MAX_CONTEXT_TOKENS"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".claude" / "settings.local.json"


def given(path: Path, tree: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = tree if isinstance(tree, str) else json.dumps(tree)
    path.write_text(text)
    return text


def read(path: Path) -> object:
    return json.loads(path.read_text())


def test_file_is_made(path: Path) -> None:
    write(path, OURS)
    assert read(path) == {"env": OURS}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it holds a key"


def test_made_file_is_deleted_again(path: Path) -> None:
    write(path, OURS)
    assert remove(path, NAMES)
    assert list(path.parent.iterdir()) == []


def test_everything_else_stays_in_its_order(path: Path) -> None:
    before = {"model": "opus", "env": {"MINE": "1"}, "hooks": {"Stop": [1]}, "größe": "ü"}
    given(path, before)
    path.chmod(0o640)
    write(path, OURS)
    assert read(path) == before | {"env": {"MINE": "1", **OURS}}
    assert list(json.loads(path.read_text())) == list(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"model": "opus"},
        {"env": {}},
        {"env": {"MINE": "1"}},
        {"env": {"ANTHROPIC_MODEL": "claude-opus-5-5", "MINE": "1"}, "model": "opus"},
    ],
)
def test_removing_gives_back_what_was_there(path: Path, before: dict[str, object]) -> None:
    text = given(path, before)
    write(path, OURS)
    write(path, OURS | {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": "5"})
    assert remove(path, NAMES)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_what_the_user_changed_meanwhile_stays(path: Path) -> None:
    given(path, {"env": {"MINE": "1"}})
    write(path, OURS)
    given(path, {"env": {"MINE": "2", "NEW": "3", **OURS}, "model": "opus"})
    assert remove(path, NAMES)
    assert read(path) == {"env": {"MINE": "2", "NEW": "3"}, "model": "opus"}


def test_variable_the_user_took_out_meanwhile_does_not_come_back(path: Path) -> None:
    given(path, {"env": {"ANTHROPIC_MODEL": "claude-opus-5-5"}})
    write(path, OURS)
    given(path, {"env": {}, "model": "opus"})
    assert not remove(path, NAMES)
    assert read(path) == {"env": {}, "model": "opus"}


def test_backup_is_the_file_before_the_first_change(path: Path) -> None:
    text = given(path, '{"model":   "opus"}')
    write(path, OURS)
    write(path, OURS | {"ANTHROPIC_MODEL": "other"})
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    assert backup.read_text() == text


def test_removing_without_a_file_or_our_variables_changes_nothing(path: Path) -> None:
    assert not remove(path, NAMES)
    text = given(path, '{ "env": {"MINE": "1"} }')
    assert not remove(path, NAMES)
    assert path.read_text() == text


@pytest.mark.parametrize("text", ['{"a": 1,}', "// words\n{}", "[]", '{"env": []}', '"x"'])
def test_file_that_is_no_settings_file_is_left_alone(path: Path, text: str) -> None:
    given(path, text)
    with pytest.raises(SettingsFileError, match=r"settings\.local\.json"):
        write(path, OURS)
    with pytest.raises(SettingsFileError, match=r"settings\.local\.json"):
        remove(path, NAMES)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_link_to_a_settings_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "settings.json"
    given(real, {"model": "opus"})
    path.parent.mkdir()
    path.symlink_to(real)
    write(path, OURS)
    assert path.is_symlink()
    assert read(real) == {"model": "opus", "env": OURS}


def test_half_written_file_never_replaces_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = given(path, {"model": "opus"})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsFileError, match="No space left"):
        write(path, OURS)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]
