"""``deepseek-messages compat``: what is done with each part of the Messages API."""

from collections.abc import Callable, Sequence

import click

from deepseek_messages.compatibility import Row, as_json, as_markdown, as_text, rows

_RENDERERS: dict[str, Callable[[Sequence[Row]], str]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
}


@click.command()
@click.option("--json", "form", flag_value="json", help="Print JSON, one object per row.")
@click.option("--markdown", "form", flag_value="markdown", help="Print the documentation's page.")
def compat(form: str | None) -> None:
    """Print what this server does with each part of the Messages API.

    Beside it stands what DeepSeek's own Anthropic-format endpoint does (--json, --markdown).
    """
    click.echo(_RENDERERS[form or "text"](rows()), nl=False)
