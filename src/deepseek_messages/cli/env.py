"""``deepseek-messages env``: the variables that point Claude Code and the SDKs at the server."""

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import click

from deepseek_messages.cli import claude_settings
from deepseek_messages.cli.claude_settings import DEFAULT_PATH
from deepseek_messages.cli.client import (
    ANSWER_SHARE,
    API_TIMEOUT_MS,
    CLAUDE_CODE_WINDOW,
    Access,
    Token,
    base_url,
    served_window,
    token_for,
    window_of,
)
from deepseek_messages.cli.options import with_settings
from deepseek_messages.settings import Settings, split_url
from deepseek_messages.settings.sources import KEY_ENV

Value = str | Token

WINDOW_VARIABLE = "CLAUDE_CODE_MAX_CONTEXT_TOKENS"
ANSWER_VARIABLE = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"


def variables(access: Access) -> dict[str, Value]:
    """Name -> value, as DeepSeek's "Claude Code" integration page sets them, and the ones that
    Claude Code has gained since: every alias of a model that it may ask for by itself.
    """
    model = access.model
    chosen: dict[str, Value] = {
        "ANTHROPIC_BASE_URL": access.url,
        "ANTHROPIC_AUTH_TOKEN": access.token,
        "API_TIMEOUT_MS": str(API_TIMEOUT_MS),
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "ANTHROPIC_DEFAULT_FABLE_MODEL": model,
        "CLAUDE_CODE_SUBAGENT_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if access.window:
        chosen[WINDOW_VARIABLE] = str(access.window)
        if access.window < CLAUDE_CODE_WINDOW:
            chosen[ANSWER_VARIABLE] = str(access.window // ANSWER_SHARE)
    return chosen


NAMES = frozenset(
    {
        *variables(Access(url="", token=Token("text", ""), model="")),
        WINDOW_VARIABLE,
        ANSWER_VARIABLE,
    }
)


def _bash(name: str, value: Value) -> str:
    text = f'"${value.value}"' if isinstance(value, Token) else shlex.quote(value)
    return f"export {name}={text}"


def _fish(name: str, value: Value) -> str:
    if isinstance(value, Token):
        return f'set -gx {name} "${value.value}"'
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: Value) -> str:
    if isinstance(value, Token):
        return f"$env:{name} = $env:{value.value}"
    escaped = value.replace("'", "''")
    return f"$env:{name} = '{escaped}'"


_LINES: dict[str, Callable[[str, Value], str]] = {
    "bash": _bash,
    "fish": _fish,
    "powershell": _powershell,
}


def render(shell: str, chosen: dict[str, Value]) -> str:
    """The variables for a shell, or as Claude Code's settings file (``json``)."""
    plain = {
        name: value.value if isinstance(value, Token) and value.kind == "text" else value
        for name, value in chosen.items()
    }
    if shell != "json":
        line = _LINES[shell]
        return "\n".join(line(name, value) for name, value in plain.items()) + "\n"
    return json.dumps({"env": texts(plain)}, indent=2) + "\n"


def texts(chosen: dict[str, Value]) -> dict[str, str]:
    """The variables' values as they are now: a settings file cannot refer to a variable."""
    return {
        name: _text(value) if isinstance(value, Token) else value for name, value in chosen.items()
    }


def _text(token: Token) -> str:
    if token.kind == "text":
        return token.value
    return os.environ.get(token.value, f"<{token.value}>")


_EPILOG = """\b
eval "$(deepseek-messages env)"                  bash, zsh
deepseek-messages env --shell fish | source      fish
deepseek-messages env --shell powershell | Out-String | Invoke-Expression
deepseek-messages env --write                    into this project's Claude Code settings
deepseek-messages env --remove                   out of them again
"""


@click.command(epilog=_EPILOG)
@with_settings("host", "port", "upstream", "model")
@click.option(
    "--shell",
    type=click.Choice([*_LINES, "json"]),
    default="bash",
    show_default=True,
    help="Whose syntax to use; json is a Claude Code settings file.",
)
@click.option(
    "--url", metavar="URL", help="The server's address, when it is not the configured one."
)
@click.option(
    "--key",
    envvar=KEY_ENV,
    metavar="KEY",
    help=f"Your key of the server [${KEY_ENV}].",
)
@click.option(
    "--write",
    is_flag=False,
    flag_value=str(DEFAULT_PATH),
    metavar="[FILE]",
    help=f"Write them into a Claude Code settings file [{DEFAULT_PATH}]; all else in it stays.",
)
@click.option(
    "--remove",
    is_flag=False,
    flag_value=str(DEFAULT_PATH),
    metavar="[FILE]",
    help="Take them out of that file again, and give back what was there before.",
)
def env(
    settings: Settings,
    *,
    shell: str,
    url: str | None,
    key: str | None,
    write: str | None,
    remove: str | None,
) -> None:
    """Print the environment variables for clients of the server, or keep them for a project."""
    if remove is not None:
        _remove(Path(remove))
        return
    if url is not None and split_url(url) is None:
        raise click.BadParameter(f"{url!r} is no http:// or https:// URL", param_hint="--url")
    chosen = variables(_access(settings, url, key, complete=write is not None))
    if write is None:
        click.echo(render(shell, chosen), nl=False)
    else:
        _write(Path(write), texts(chosen))


def _access(settings: Settings, url: str | None, key: str | None, *, complete: bool) -> Access:
    """How to reach the server. With ``complete`` the key must be known, else it is remarked."""
    token = token_for(settings, key)
    address = base_url(settings, url)
    secret = os.environ.get(token.value, "") if token.kind == "variable" else token.value
    if token.kind == "variable" and not secret:
        if complete:
            raise click.ClickException(f"set {token.value} to your key first, or give --key")
        click.echo(f"Remark: set {token.value} to your key first, or give --key.", err=True)
    model = settings.models.default
    own = window_of(settings) if url is None else None  # of another server nothing is known
    window = served_window(address, secret, model) or own
    if window is None:
        click.echo(
            "Remark: the model's context is unknown until the server runs; "
            f"{WINDOW_VARIABLE} is left out.",
            err=True,
        )
    return Access(url=address, token=token, model=model, window=window)


def _write(path: Path, chosen: dict[str, str]) -> None:
    try:
        claude_settings.write(path, chosen)
    except claude_settings.SettingsFileError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: Claude Code in this project now uses {chosen['ANTHROPIC_BASE_URL']}")
    if path.name != DEFAULT_PATH.name:
        click.echo("It holds a key: keep the file out of the repository.", err=True)


def _remove(path: Path) -> None:
    try:
        changed = claude_settings.remove(path, NAMES)
    except claude_settings.SettingsFileError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path}: " + ("as it was before" if changed else "there was nothing to take out"))
