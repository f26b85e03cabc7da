"""``deepseek-messages serve``: run the server until it is told to stop."""

import sys

import click

from deepseek_messages.cli.banner import banner
from deepseek_messages.cli.client import Access, base_url, token_for, window_of
from deepseek_messages.cli.options import ALL_FLAGS, with_settings
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
    logs.configure(settings.log.level, _log_style(settings))

    def ready(info: server.ServerInfo) -> None:
        access = Access(
            url=base_url(settings, info.url),
            token=token_for(settings, info.new_key),
            model=settings.models.default,
            window=window_of(settings),
        )
        click.echo(banner(settings, access, new_key=info.new_key))

    try:
        server.serve(settings, ready)
    except (server.ServeError, KeyFileError) as error:
        raise click.ClickException(str(error)) from None


def _log_style(settings: Settings) -> logs.LogFormat:
    if settings.log.format == "auto":
        return "console" if sys.stderr.isatty() else "json"
    return settings.log.format
