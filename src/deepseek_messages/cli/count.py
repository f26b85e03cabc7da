"""``deepseek-messages count``: the tokens of a request's prompt, without asking any server."""

from typing import BinaryIO

import click

from deepseek_messages.cli.options import with_settings
from deepseek_messages.prompt.counting import PromptCount, measure_prompt
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.settings import Settings
from deepseek_messages.translation.catalogue import FLASH, PRO, resolve
from deepseek_messages.translation.dialects import DIALECTS
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.parse import parse_request
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.web.app import SEAL_BYTES, SEAL_FILE


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
    request = parse_request(body, counting=True)
    choice = resolve(
        model or request.model, (FLASH, PRO), settings.models.default, settings.models.aliases
    )
    translation = to_chat(request, choice, DIALECTS["deepseek"], Notes(), _seal(settings))
    assert choice.model.encoding is not None
    return measure_prompt(translation.chat, choice.model.encoding)


def _seal(settings: Settings) -> Seal:
    """The server's own seal, if it was ever started here; reasoning that it sealed is counted."""
    path = settings.state_dir / SEAL_FILE
    return Seal(path.read_bytes() if path.is_file() else bytes(SEAL_BYTES))
