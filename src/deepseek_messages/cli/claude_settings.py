"""The ``env`` block of a Claude Code settings file: put our variables in, and take them out.

What was in the file before the first change is kept beside it, so that taking our variables out
gives the old ones back. The file is replaced in one step; whatever else is in it stays.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

# Claude Code's settings page: the project's file for this user alone, not to be committed. Ours
# holds a key.
DEFAULT_PATH = Path(".claude") / "settings.local.json"

BACKUP_SUFFIX = ".before-deepseek-messages"

PRIVATE = 0o600


class SettingsFileError(Exception):
    """The file cannot be changed; the message says why, and the file is as it was."""


def write(path: Path, chosen: Mapping[str, str]) -> None:
    """Set the variables ``chosen`` in the file's ``env``. Raises ``SettingsFileError``."""
    path = path.resolve()
    text = _read(path)
    tree = _parse(path, text)
    env = tree.get("env", {})
    backup = _backup(path)
    with _explained(path):
        if text is not None and not backup.exists():
            _replace(backup, text, PRIVATE)
        _save(path, tree | {"env": env | chosen})


def remove(path: Path, names: Collection[str]) -> bool:
    """Take the variables ``names`` out of the file's ``env`` and give back what they were before
    ``write``. A file that then holds nothing, and was made by ``write``, is deleted. Returns
    whether there was anything to take out. Raises ``SettingsFileError``.
    """
    path = path.resolve()
    backup = _backup(path)
    original = _read(backup)
    before = _parse(backup, original)
    tree = _parse(path, _read(path))
    env = tree.get("env", {})
    old = before.get("env", {})
    kept = {name: value for name, value in env.items() if name not in names}
    kept |= {name: old[name] for name in old if name in names and name in env}
    changed = bool(kept != env)
    if kept or "env" in before:
        tree["env"] = kept
    else:
        tree.pop("env", None)
    with _explained(path):
        if changed and not tree and not backup.exists():
            path.unlink()
        elif changed and tree == before and original is not None:
            _replace(path, original, _mode(path))
        elif changed:
            _save(path, tree)
        backup.unlink(missing_ok=True)
    return changed


def _backup(path: Path) -> Path:
    return path.with_name(path.name + BACKUP_SUFFIX)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(f"{path}: cannot be read ({error})") from None


def _parse(path: Path, text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise SettingsFileError(f"{path}: is not valid JSON ({error}); mend it first") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("env", {}), dict):
        raise SettingsFileError(f"{path}: is not a Claude Code settings file")
    return tree


def _save(path: Path, tree: Mapping[str, Any]) -> None:
    _replace(path, json.dumps(tree, indent=2, ensure_ascii=False) + "\n", _mode(path))


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else PRIVATE


def _replace(path: Path, text: str, mode: int) -> None:
    """The whole new file or the whole old one, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsFileError(f"{path}: cannot be written ({error.strerror})") from None
