"""``deepseek-messages env``: the variables that point Claude Code and the SDKs at the server."""

import json
import os
import shlex
from collections.abc import Callable

import click

from deepseek_messages.cli.client import (
    API_TIMEOUT_MS,
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
        chosen["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = str(access.window)
    return chosen


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
    # A settings file cannot refer to a variable.
    texts = {
        name: os.environ.get(value.value, f"<{value.value}>") if isinstance(value, Token) else value
        for name, value in plain.items()
    }
    return json.dumps({"env": texts}, indent=2) + "\n"


_EPILOG = """\b
eval "$(deepseek-messages env)"                  bash, zsh
deepseek-messages env --shell fish | source      fish
deepseek-messages env --shell powershell | Out-String | Invoke-Expression
deepseek-messages env --shell json               Claude Code's settings.json
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
def env(settings: Settings, shell: str, url: str | None, key: str | None) -> None:
    """Print the environment variables for clients of the server."""
    if url is not None and split_url(url) is None:
        raise click.BadParameter(f"{url!r} is no http:// or https:// URL", param_hint="--url")
    token = token_for(settings, key)
    address = base_url(settings, url)
    secret = os.environ.get(token.value, "") if token.kind == "variable" else token.value
    if token.kind == "variable" and not secret:
        click.echo(f"Remark: set {token.value} to your key first, or give --key.", err=True)
    model = settings.models.default
    window = served_window(address, secret, model) or window_of(settings)
    if window is None:
        click.echo(
            "Remark: the model's context is unknown until the server runs; "
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS is left out.",
            err=True,
        )
    access = Access(url=address, token=token, model=model, window=window)
    click.echo(render(shell, variables(access)), nl=False)
