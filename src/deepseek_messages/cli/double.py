"""``deepseek-messages double``: the stand-in for DeepSeek's chat API, as a server of its own."""

import signal
import threading

import click

from deepseek_messages.upstreams.double import running_double


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="TCP port; 0 takes a free one.",
)
def double(port: int) -> None:
    """Serve a strict stand-in for DeepSeek's chat API until interrupted.

    It refuses what DeepSeek refuses, in DeepSeek's words, counts tokens with DeepSeek's encoding,
    and answers with made-up content. Give its address to any client of that API, or to this server
    as DEEPSEEK_BASE_URL. It listens on this machine only.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with running_double(port=port) as url:
            click.echo(f"DeepSeek's chat API, made up, at {url}\n")
            click.echo("Any key does, but one with `invalid` in it. In front of it:")
            click.echo(
                f"DEEPSEEK_BASE_URL={url} DEEPSEEK_API_KEY=sk-double deepseek-messages serve"
            )
            stopped.wait()
    except OSError as error:
        raise click.ClickException(
            f"port {port} cannot be taken ({error.strerror}); choose another with --port"
        ) from None
