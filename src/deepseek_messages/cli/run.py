"""``deepseek-messages run``: any program with the variables of a client of the server."""

import click

from deepseek_messages.cli.passing import PassingCommand, session_options
from deepseek_messages.cli.session import run_program
from deepseek_messages.settings import Settings


@click.command(cls=PassingCommand)
@session_options
@click.argument(
    "arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGS]..."
)
def run(
    settings: Settings, *, url: str | None, key: str | None, own: bool, arguments: tuple[str, ...]
) -> None:
    """Run a program on this server, with the variables that Anthropic's SDKs and Claude Code read.

    Uses the server that runs at the configured address, or starts one for this program alone:
    deepseek-messages run -- python agent.py. Exit code and signals pass through.
    """
    run_program(list(arguments), settings, url=url, key=key, own=own)
