import sys
from pathlib import Path

import pytest

from deepseek_messages.store import packages
from deepseek_messages.store.packages import DownloadError, Installer, download, installers

# Stands in for pip: the arguments are those of `pip download`.
FAKE = """
import sys, pathlib, os, tempfile
arguments = sys.argv[1:]
assert arguments[0] == "download" and "--no-deps" in arguments, arguments
pathlib.Path(tempfile.gettempdir(), "part").write_bytes(b"x" * 1000)
target = pathlib.Path(arguments[arguments.index("--dest") + 1])
if arguments[-1] == "missing==1":
    sys.exit("ERROR: No matching distribution found for missing==1")
if arguments[-1] == "slow==1":
    import time
    time.sleep(600)
(target / "got-1-py3-none-any.whl").write_bytes(b"wheel")
"""


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    script = tmp_path / "pip.py"
    script.write_text(FAKE)
    installer = Installer([sys.executable, str(script)])
    monkeypatch.setattr(packages, "installers", lambda: [installer])
    monkeypatch.setattr(packages, "POLL_SECONDS", 0.01)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


def test_the_wheel_is_brought_without_dependencies(fake_pip):
    assert download("got==1", fake_pip, lambda done: None).read_bytes() == b"wheel"


def test_a_failure_shows_what_pip_said(fake_pip):
    with pytest.raises(DownloadError, match="No matching distribution found"):
        download("missing==1", fake_pip, lambda done: None)


class GiveUp(Exception):
    pass


def test_progress_counts_bytes_on_disk_and_what_it_raises_ends_the_download(fake_pip):
    def progress(done):
        if done >= 1000:
            raise GiveUp

    with pytest.raises(GiveUp):
        download("slow==1", fake_pip, progress)


def test_without_any_pip_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "installers", list)
    with pytest.raises(DownloadError, match="ensurepip"):
        download("got==1", tmp_path, lambda done: None)


def test_the_users_own_pip_comes_first_and_uv_is_a_way(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: object() if name == "pip" else None)
    monkeypatch.setattr(packages.shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    assert [way.command for way in installers()] == [
        [sys.executable, "-m", "pip"],
        ["/bin/uv", "tool", "run", "pip"],
    ]


def test_the_copy_that_python_carries_is_the_last_way(tmp_path, monkeypatch):
    bundled = tmp_path / "_bundled"
    bundled.mkdir()
    wheel = bundled / "pip-24.0-py3-none-any.whl"
    wheel.touch()
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(packages, "find_spec", lambda name: spec if name == "ensurepip" else None)
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    (way,) = installers()
    assert Path(way.env["PYTHONPATH"]) == wheel
