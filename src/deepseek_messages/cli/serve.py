"""``deepseek-messages serve``: run the server until it is told to stop."""

import sys

import click

from deepseek_messages.cli.banner import banner
from deepseek_messages.cli.client import (
    ENGINE_MISSING,
    Access,
    base_url,
    engine_is_missing,
    token_for,
    window_of,
)
from deepseek_messages.cli.options import ALL_FLAGS, SOURCE, with_settings
from deepseek_messages.cli.progress import ProgressLine
from deepseek_messages.settings import Settings
from deepseek_messages.store.keys import KeyFileError
from deepseek_messages.telemetry import logs
from deepseek_messages.web import serve as server


@click.command()
@with_settings(*ALL_FLAGS)
def serve(settings: Settings) -> None:
    """Serve the Messages API until interrupted.

    Prints the address, the model, and lines to paste for curl, Python and Claude Code.
    """
    forbid_core_dumps()
    if engine_is_missing(settings):
        raise click.ClickException(ENGINE_MISSING)
    logs.configure(settings.log.level, _log_style(settings))
    loading = _Loading(settings.embedded.model)

    def ready(info: server.ServerInfo) -> None:
        access = Access(
            url=base_url(settings, info.url),
            token=token_for(settings, info.new_key),
            model=settings.models.default,
            window=window_of(settings),
        )
        click.echo(banner(settings, access, new_key=info.new_key))
        loading.show()

    try:
        server.serve(settings, ready, loading, click.get_current_context().meta.get(SOURCE))
    except (server.ServeError, KeyFileError) as error:
        raise click.ClickException(str(error)) from None


def forbid_core_dumps() -> None:
    """A dump would hold keys and prompts. Systems without such a limit have no such dumps.

    One byte is too little for any dump, and Linux gives none to a handler (``core_pattern`` with
    a pipe, as systemd-coredump and apport have it) at exactly this limit; at 0 it would
    (``fs/coredump.c``, "cprm.limit of 1").
    """
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    most = int(sys.platform == "linux")
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


class _Loading:
    """Shows how the model loads, once the banner is out: both would share a line otherwise."""

    def __init__(self, name: str) -> None:
        self._line = ProgressLine(sys.stderr, name)
        self._shown = False

    def show(self) -> None:
        """From now on."""
        self._shown = True

    def __call__(self, step: str, done: int, total: int) -> None:
        """Called from the loading thread."""
        if not self._shown:
            return
        self._line(step, done, total)
        if step == "load" and done >= total:
            self._line.end()


def _log_style(settings: Settings) -> logs.LogFormat:
    if settings.log.format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return settings.log.format
