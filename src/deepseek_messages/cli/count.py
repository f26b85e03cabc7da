"""``deepseek-messages count``: the tokens of a request's prompt, without asking any server."""

from typing import BinaryIO

import click

from deepseek_messages.cli.offline import translate
from deepseek_messages.cli.options import with_settings
from deepseek_messages.prompt.counting import PromptCount, measure_prompt
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.settings import Settings
from deepseek_messages.translation.refusals import Refusal


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--model", metavar="NAME", help="Count for this model, not the request's own.")
@with_settings()
def count(settings: Settings, file: BinaryIO, model: str | None) -> None:
    """Count the prompt tokens of a request.

    FILE holds a Messages request as JSON; - is standard input.
    The count is exact: the request is translated as the server does it for DeepSeek's API, and
    encoded with DeepSeek's own encoding and tokenizer.
    """
    try:
        found = count_request(settings, file.read(), model)
    except Refusal as refusal:
        raise click.ClickException(refusal.message) from None
    except NotEncodable as error:
        raise click.ClickException(f"DeepSeek's encoder refuses the request: {error}") from None
    click.echo(str(found.tokens))
    if not found.exact:
        click.echo("Remark: at most; an image's size is known to the server alone.", err=True)


def count_request(settings: Settings, body: bytes, model: str | None = None) -> PromptCount:
    """The prompt size of the request in ``body``, for DeepSeek's hosted models. Raises
    ``Refusal`` and ``NotEncodable``.
    """
    found = translate(settings, body, model, compacts=False)
    return measure_prompt(found.translation.chat, found.encoding)
