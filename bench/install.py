"""nginx, which every run compares with: the system's, or Debian's package in the user's cache.

The package is unpacked, not installed: that needs no root, starts no service and changes nothing
outside the cache.
"""

import fcntl
import functools
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

# Debian 12 and later have the program in ``nginx``, on which ``nginx-light`` depends; before it
# is in ``nginx-light``.
PACKAGES = ("nginx-light", "nginx")
HINT = "nginx is missing, and could not be fetched; install it: apt-get install nginx-light"


def cache() -> pathlib.Path:
    """Where the programs that are measured beside ours live: outside any checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base, "deepseek-messages", "bench")


def run(command: list[str], **options: object) -> None:
    """Raises ``RuntimeError`` with what the command said last."""
    options.setdefault("timeout", 900)
    done = subprocess.run(  # type: ignore[call-overload]
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise RuntimeError(f"{command[0]} failed: {said}")


def once(name: str, build: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The folder ``name`` of the cache, made by ``build`` the first time; what fails is built
    anew by the next run.
    """
    folder = cache() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            sys.stderr.write(f"installing {name} into {folder} …\n")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            (folder / ".done").touch()
    return folder


def unpack_debian(folder: pathlib.Path) -> None:
    """Fetch and unpack ``PACKAGES``. Raises ``RuntimeError``."""
    with tempfile.TemporaryDirectory() as scratch:
        # apt fetches as a user of its own when it is root, who must be able to write here.
        os.chmod(scratch, 0o777)
        try:
            run(["apt-get", "download", *PACKAGES], cwd=scratch)
        except RuntimeError:
            if os.geteuid():
                raise
            run(["apt-get", "update"])
            run(["apt-get", "download", *PACKAGES], cwd=scratch)
        for package in pathlib.Path(scratch).glob("*.deb"):
            run(["dpkg-deb", "--extract", str(package), str(folder)])
    program = folder / "usr" / "sbin" / "nginx"
    run([str(program), "-v"])


@functools.cache
def find_nginx() -> str:
    """The path of an nginx that runs. Ends the program with a hint when there is none."""
    known = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if known:
        return known
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit(HINT)
    try:
        folder = once(f"nginx-{platform.machine()}", unpack_debian)
    except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
        raise SystemExit(f"{HINT}\n{error}") from error
    return str(folder / "usr" / "sbin" / "nginx")
