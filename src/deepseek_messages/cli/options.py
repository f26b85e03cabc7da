"""The flags that several subcommands share, and how they become ``Settings``."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from deepseek_messages.settings import Settings, SettingsError, Source, find_config, load_settings

P = ParamSpec("P")
R = TypeVar("R")

# Parameter of a flag -> what it sets.
_TARGETS = {
    "host": "server.host",
    "port": "server.port",
    "workers": "server.workers",
    "log_level": "log.level",
    "log_format": "log.format",
    "strict": "strict",
    "upstream": "upstream",
    "model": "model",
}

_CONFIG = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings file (TOML). Default: $DEEPSEEK_MESSAGES_CONFIG, deepseek-messages.toml "
    "here, or config.toml in the user's configuration directory.",
)

_FLAGS = {
    "host": click.option("--host", metavar="ADDRESS", help="Address to listen on [127.0.0.1]."),
    "port": click.option(
        "--port",
        type=click.IntRange(0, 65535),
        metavar="NUMBER",
        help="Port to listen on [8000]; 0: a free one.",
    ),
    "workers": click.option(
        "--workers",
        type=click.IntRange(1, 256),
        metavar="NUMBER",
        help="Processes that serve, one for each core to be used [1].",
    ),
    "upstream": click.option(
        "--upstream",
        metavar="UPSTREAM",
        help="Where answers come from: deepseek (its API), the URL of a chat completions server, "
        "embedded (a model in this process), or double (a stand-in, no model, no network).",
    ),
    "model": click.option(
        "--model",
        metavar="NAME",
        help="The chat server's model, or for embedded a GGUF file or hf:OWNER/REPO[:FILE].",
    ),
    "log_level": click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="Least severe log entries that are written [info].",
    ),
    "log_format": click.option(
        "--log-format",
        type=click.Choice(["auto", "console", "json"]),
        help="Shape of log entries [auto: console on a terminal].",
    ),
    "strict": click.option(
        "--strict/--no-strict",
        default=None,
        help="Refuse requests that would lose something in translation [no].",
    ),
}
ALL_FLAGS = tuple(_FLAGS)

# Under this name in click's context stands the ``Source`` of the settings.
SOURCE = "deepseek_messages.settings"


def with_settings(
    *flags: str,
) -> Callable[[Callable[Concatenate[Settings, P], R]], Callable[..., R]]:
    """Add ``--config`` and the named flags to a command, and hand it the ``Settings`` that they,
    the file and the environment come to.
    """

    def decorate(command: Callable[Concatenate[Settings, P], R]) -> Callable[..., R]:
        @functools.wraps(command)
        def wrapper(*args: Any, config: Path | None, **kwargs: Any) -> R:
            given = {_TARGETS[name]: kwargs.pop(name) for name in flags}
            click.get_current_context().meta[SOURCE] = source_of(config, given)
            return command(read_settings(config, given), *args, **kwargs)

        decorated: Callable[..., R] = wrapper
        for flag in reversed((_CONFIG, *(_FLAGS[name] for name in flags))):
            decorated = flag(decorated)
        return decorated

    return decorate


def source_of(config: Path | None, flags: dict[str, object]) -> Source:
    """Where the settings of this run come from. Ends the command as ``read_settings`` does."""
    try:
        path = find_config(config, os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    return Source(path, lambda: load_settings(path, os.environ, flags))


def read_settings(config: Path | None, flags: dict[str, object]) -> Settings:
    """The settings of this run. Ends the command (exit code 1) when they cannot be used."""
    try:
        return load_settings(find_config(config, os.environ), os.environ, flags)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
