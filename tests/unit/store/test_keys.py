"""The file of keys: digests only, private, replaced as a whole, read again when it changes."""

import errno
import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_messages.store.keys import (
    KEY_PREFIX,
    KeyFile,
    KeyFileError,
    Keyring,
    digest_of,
    private_bytes,
    write_private,
)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "state" / "keys")


def test_a_key_is_shown_once_and_stored_as_a_digest(file: KeyFile) -> None:
    key = file.create("laptop")
    assert key.startswith(KEY_PREFIX)
    assert len(key) > 40
    (entry,) = file.load()
    assert entry.name == "laptop"
    assert entry.digest == hashlib.sha256(key.encode()).hexdigest()
    assert key not in file.path.read_text()


def test_the_file_is_its_owners_only(file: KeyFile) -> None:
    file.create("laptop")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert sorted(os.listdir(file.path.parent)) == [".keys.lock", "keys"]


def test_keys_differ(file: KeyFile) -> None:
    assert len({file.create(f"k{n}") for n in range(5)}) == 5


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "-x", "é", "x" * 65, "#a"])
def test_names_that_could_break_the_file_are_refused(file: KeyFile, name: str) -> None:
    with pytest.raises(KeyFileError):
        file.create(name)


def test_a_name_is_given_once(file: KeyFile) -> None:
    file.create("laptop")
    with pytest.raises(KeyFileError, match="laptop"):
        file.create("laptop")


def test_a_key_is_removed_by_its_name(file: KeyFile) -> None:
    file.create("a")
    file.create("b")
    assert file.remove("a")
    assert not file.remove("a")
    assert [entry.name for entry in file.load()] == ["b"]


@pytest.mark.parametrize("line", ["hello", "0" * 63 + " t n", "G" * 64 + " t n", "0" * 64])
def test_a_damaged_line_is_named(file: KeyFile, line: str) -> None:
    file.create("a")
    with file.path.open("a") as out:
        out.write(line + "\n")
    with pytest.raises(KeyFileError, match="line 3"):
        file.load()


def test_comments_and_empty_lines_are_no_entries(file: KeyFile) -> None:
    file.path.parent.mkdir()
    file.path.write_text("# mine\n\n   \n" + "0" * 64 + " 2026-01-01T00:00:00Z old\n")
    assert [entry.name for entry in file.load()] == ["old"]


def test_a_keyring_knows_both_sources(file: KeyFile) -> None:
    key = file.create("laptop")
    ring = Keyring([digest_of("fixed")], file)
    assert ring.find(key) == "laptop"
    assert ring.find("fixed") == f"key-{digest_of('fixed')[:8]}"
    assert ring.find("stranger") is None
    assert len(ring) == 2


def test_a_keyring_without_keys_knows_nobody() -> None:
    assert Keyring().find("") is None
    assert len(Keyring()) == 0


def test_a_change_counts_at_once(file: KeyFile) -> None:
    ring = Keyring([], file)
    key = file.create("late")
    assert ring.find(key) == "late"
    file.remove("late")
    assert ring.find(key) is None


def test_a_file_damaged_while_in_use_changes_nothing(file: KeyFile) -> None:
    key = file.create("laptop")
    ring = Keyring([], file)
    write_private(file.path, b"damaged\n")
    assert ring.find(key) == "laptop"
    with pytest.raises(KeyFileError):
        Keyring([], file)


def test_private_bytes_stay_the_same(tmp_path: Path) -> None:
    path = tmp_path / "state" / "seal.key"
    first = private_bytes(path, 64)
    assert len(first) == 64
    assert private_bytes(path, 64) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["seal.key"]


def test_private_bytes_that_are_there_are_read_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where servers on several machines are given the same ones."""
    first = private_bytes(tmp_path / "seal.key", 64)
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: (_ for _ in ()).throw(OSError(30, "ro")))
    assert private_bytes(tmp_path / "seal.key", 64) == first


def test_private_bytes_of_another_size_are_not_used(tmp_path: Path) -> None:
    (tmp_path / "seal.key").write_bytes(b"short")
    with pytest.raises(OSError, match="5 bytes"):
        private_bytes(tmp_path / "seal.key", 64)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys"
    write_private(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["keys"]


def test_keys_made_and_removed_at_once_are_all_kept_or_gone(file: KeyFile) -> None:
    for number in range(8):
        file.create(f"old{number}")
    began = threading.Barrier(16)

    def run(work: Callable[[str], object], name: str) -> None:
        began.wait()
        work(name)

    threads = [
        threading.Thread(target=run, args=(work, f"{age}{number}"))
        for number in range(8)
        for work, age in ((KeyFile(file.path).create, "new"), (KeyFile(file.path).remove, "old"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.name for entry in file.load()) == [f"new{number}" for number in range(8)]


def test_a_key_that_was_removed_is_refused_once_there_are_files_again(
    file: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = file.create("laptop")
    keyring = Keyring(file=file)
    assert keyring.find(key) == "laptop"
    file.remove("laptop")

    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", refuse)
        assert keyring.find(key) == "laptop"
    assert keyring.find(key) is None
