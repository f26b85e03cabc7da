"""``deepseek-messages claude``: Claude Code on DeepSeek, in one command."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from deepseek_messages.cli.passing import PassingCommand, session_options
from deepseek_messages.cli.session import run_program
from deepseek_messages.settings import Settings

PROGRAM = "claude"

# Where Claude Code's own installers put it, below the home directory.
HOMES = (".local/bin", ".claude/local", ".npm-global/bin", ".bun/bin")

NPM_SECONDS = 10

ADVICE = """Claude Code is not installed, or not where it is looked for. One of these installs it:

  npm install -g @anthropic-ai/claude-code      (Node 22 or newer)
  pip install claude-agent-sdk                  (beside deepseek-messages; no Node needed)
  curl -fsSL https://claude.ai/install.sh | bash"""


def find_claude(env: Mapping[str, str]) -> str | None:
    """The path of the program: on ``PATH``, in an installer's place, in this folder's
    ``node_modules``, where npm keeps global programs, or inside the Agent SDK.
    """
    found = shutil.which(PROGRAM, path=env.get("PATH"))
    if found is not None:
        return found
    for place in _places(env):
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    return None


def _places(env: Mapping[str, str]) -> Iterator[Path]:
    if home := env.get("HOME"):
        yield from (Path(home) / each / PROGRAM for each in HOMES)
    yield Path.cwd() / "node_modules" / ".bin" / PROGRAM
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "_bundled" / PROGRAM
    if npm := shutil.which("npm", path=env.get("PATH")):
        yield from _npm_places(npm)


def _npm_places(npm: str) -> Iterator[Path]:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own npm
            [npm, "prefix", "-g"], capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0 and (prefix := done.stdout.strip()):
        yield Path(prefix) / "bin" / PROGRAM


@click.command(cls=PassingCommand)
@session_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def claude(
    settings: Settings, *, url: str | None, key: str | None, own: bool, arguments: tuple[str, ...]
) -> None:
    """Run Claude Code on this server.

    Uses the server that runs at the configured address, or starts one for this session alone.
    Everything from the first argument that is not one of the options below goes to Claude Code:
    deepseek-messages claude -p "Say hello". On exit it says what the session used.
    """
    program = find_claude(os.environ)
    if program is None:
        raise click.ClickException(ADVICE)
    run_program([program, *arguments], settings, url=url, key=key, own=own)
