"""Where Claude Code is looked for, and what is said when it is nowhere."""

import sys
from pathlib import Path

import pytest

from deepseek_messages.cli.claude import PROGRAM, find_claude
from tests.unit.cli.test_session import execute


def program(folder: Path, name: str = PROGRAM, text: str = "#!/bin/sh\n") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if "claude_agent_sdk" not in each])


def found(tmp_path: Path, *path: Path) -> str | None:
    folders = ":".join(map(str, path)) or str(tmp_path / "empty")
    return find_claude({"PATH": folders, "HOME": str(tmp_path / "home")})


def test_first_on_the_path(tmp_path: Path) -> None:
    wanted = program(tmp_path / "bin")
    program(tmp_path / "home/.local/bin")
    assert found(tmp_path, tmp_path / "bin") == wanted


@pytest.mark.parametrize("place", [".local/bin", ".claude/local", ".npm-global/bin", ".bun/bin"])
def test_in_an_installers_place(tmp_path: Path, place: str) -> None:
    assert found(tmp_path) is None
    wanted = program(tmp_path / "home" / place)
    assert found(tmp_path) == wanted


def test_in_this_projects_node_modules(tmp_path: Path) -> None:
    wanted = program(tmp_path / "work/node_modules/.bin")
    assert found(tmp_path) == wanted


def test_where_npm_keeps_global_programs(tmp_path: Path) -> None:
    program(tmp_path / "bin", "npm", f'#!/bin/sh\necho "{tmp_path}/global"\n')
    assert found(tmp_path, tmp_path / "bin") is None
    wanted = program(tmp_path / "global/bin")
    assert found(tmp_path, tmp_path / "bin") == wanted


def test_npm_that_fails_is_no_obstacle(tmp_path: Path) -> None:
    program(tmp_path / "bin", "npm", "#!/bin/sh\nexit 1\n")
    assert found(tmp_path, tmp_path / "bin") is None


def test_inside_the_agent_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "claude_agent_sdk"
    wanted = program(package / "_bundled")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert found(tmp_path) == wanted


def test_what_is_not_executable_is_no_program(tmp_path: Path) -> None:
    Path(program(tmp_path / "home/.local/bin")).chmod(0o644)
    assert found(tmp_path) is None


def test_user_is_told_how_to_install_it(tmp_path: Path) -> None:
    done = execute(tmp_path, "-p", "hello", command="claude", PATH=str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "npm install -g @anthropic-ai/claude-code" in done.stderr
    assert "pip install claude-agent-sdk" in done.stderr


def test_arguments_go_to_claude_code(tmp_path: Path) -> None:
    program(tmp_path / "bin", text='#!/bin/sh\nprintf "<%s>" "$@"\nexit 3\n')
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    flags = ["--upstream", "double", "-p", "hi there", "--model", "opus"]
    done = execute(tmp_path, *flags, command="claude", PATH=path)
    assert done.stdout == "<-p><hi there><--model><opus>", done.stderr
    assert done.returncode == 3
