"""Programs the tests drive that are not Python packages of this environment.

Other versions of the official SDK, the TypeScript SDK and the Claude Code binary are installed
once, from their ordinary registries, into a cache outside the repository. ``python -m
tests.support.toolchain`` installs them all and says what it does; the fixtures install on demand.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

HERE = pathlib.Path(__file__).resolve().parent.parent
NODE_PROJECT = HERE / "conformance" / "node"

# The last releases of the SDK's earlier majors: 0.x sends the key as x-api-key.
OLD_ANTHROPIC = ("0.125.0", "1.17.0")

# The newest pinned release, and the last one that an unpinned npm install gives on Node 20.
CLAUDE_CODE = ("2.1.330", "2.1.197")

# The release of the Agent SDK that bundles the newest pinned Claude Code.
AGENT_SDK = "0.2.187"


def cache_root() -> pathlib.Path:
    """Where the programs live: outside any checkout, shared by all."""
    override = os.environ.get("DEEPSEEK_MESSAGES_TEST_TOOLS")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(override or pathlib.Path(base, "deepseek-messages", "test-tools"))


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _installed(
    name: str, contents: str, build: Callable[[pathlib.Path], None], say: Callable[[str], None]
) -> pathlib.Path:
    """The folder of ``name``, built once per ``contents``; a half-built one is built anew."""
    folder = cache_root() / f"{name}-{hashlib.sha256(contents.encode()).hexdigest()[:12]}"
    done = folder / ".done"
    with _locked(folder):
        if not done.exists():
            say(f"installing {name} …")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            build(folder)
            done.touch()
    return folder


def _run(command: list[str], **options: object) -> None:
    result = subprocess.run(  # type: ignore[call-overload]
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        **options,
    )
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}")


def _quiet(_: str) -> None:
    """Say nothing: the default inside tests."""


def python_env(name: str, *requirements: str, say: Callable[[str], None] = _quiet) -> pathlib.Path:
    """The interpreter of an environment that holds ``requirements`` and nothing of ours."""

    def build(folder: pathlib.Path) -> None:
        uv = [sys.executable, "-m", "uv", "--quiet"]
        _run([*uv, "venv", "--python", sys.executable, str(folder / "env")])
        _run([*uv, "pip", "install", "--python", str(folder / "env"), *requirements])

    version = f"{platform.python_version()} {sys.base_prefix} {requirements}"
    return _installed(name, version, build, say) / "env" / "bin" / "python"


def old_anthropic(version: str, say: Callable[[str], None] = _quiet) -> pathlib.Path:
    """An interpreter with that version of the official Python SDK."""
    return python_env(f"anthropic-{version}", f"anthropic=={version}", say=say)


def node_project(
    project: pathlib.Path = NODE_PROJECT, say: Callable[[str], None] = _quiet
) -> pathlib.Path:
    """A folder with the ``node_modules`` that ``project``'s lock file names."""
    lock = (project / "package-lock.json").read_text()

    def build(folder: pathlib.Path) -> None:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(project / file, folder / file)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        _run(npm, cwd=folder)

    return _installed(f"node-{project.name}", lock, build, say)


def node_requirements(project: pathlib.Path = NODE_PROJECT) -> dict[str, str]:
    """Package -> version, as ``project`` pins them."""
    pinned: dict[str, str] = json.loads((project / "package.json").read_text())["dependencies"]
    return pinned


def node_script(script: pathlib.Path, say: Callable[[str], None] = _quiet) -> pathlib.Path:
    """A copy of ``script`` beside the ``node_modules`` that it imports from."""
    target = node_project(say=say) / script.name
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as handle:
        handle.write(script.read_bytes())
    os.replace(handle.name, target)  # another run may be reading it
    return target


def claude_code(version: str, say: Callable[[str], None] = _quiet) -> pathlib.Path:
    """The Claude Code binary of that version, from its npm platform package."""
    machine = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    package = f"claude-code-{platform.system().lower()}-{machine}"

    def build(folder: pathlib.Path) -> None:
        spec = f"@anthropic-ai/{package}@{version}"
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
        _run(["npm", "install", *options, "--prefix", str(folder), spec], cwd=folder)

    folder = _installed(f"claude-code-{version}", package, build, say)
    return folder / "node_modules" / "@anthropic-ai" / package / "claude"


def agent_sdk(say: Callable[[str], None] = _quiet) -> pathlib.Path:
    """An interpreter with the Claude Agent SDK."""
    return python_env("claude-agent-sdk", f"claude-agent-sdk=={AGENT_SDK}", say=say)


def main() -> None:
    """Install everything, saying so."""

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    for version in OLD_ANTHROPIC:
        old_anthropic(version, say)
    node_project(say=say)
    for version in CLAUDE_CODE:
        claude_code(version, say)
    agent_sdk(say)


if __name__ == "__main__":
    main()
