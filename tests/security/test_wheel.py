"""What is installed is what is in git; nothing runs that nobody called."""

import zipfile
from pathlib import Path

import pytest

from scripts import audit


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = audit.export(tmp_path_factory.mktemp("source"))
    return audit.build(source, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_holds_only_files_from_git(wheel: Path) -> None:
    assert audit.strange(wheel) == []
    with zipfile.ZipFile(wheel) as archive:
        assert "deepseek_messages/web/app.py" in archive.namelist()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("evil.pth", "runs at every start"),
        ("deepseek_messages/stray.py", "not in git"),
        ("deepseek_messages/web/app.py", "not as in git"),
        ("another_package/__init__.py", "not in git"),
        ("deepseek_messages-0.1.0.data/scripts/run", "not in git"),
    ],
)
def test_what_does_not_belong_there_is_found(
    wheel: Path, name: str, why: str, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt.whl"
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(spoilt, "w") as new:
        for each in old.namelist():
            if each != name:
                new.writestr(each, old.read(each))
        new.writestr(name, "import os")
    (found,) = audit.strange(spoilt)
    assert found.startswith(f"{name}: {why}")


REPORT = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "flawed", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]},
        {"name": "strange", "skip_reason": "not found"},
    ]
}


def test_vulnerable_dependencies_are_named() -> None:
    assert audit.vulnerable(REPORT) == ["flawed 2.0: CVE-1, mended in 2.1"]


def test_dependencies_that_could_not_be_looked_up_do_not_pass_for_sound() -> None:
    assert audit.unknown(REPORT) == ["strange"]
