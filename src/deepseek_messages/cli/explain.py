"""``deepseek-messages explain``: what becomes of a request, without asking any server."""

import json
from typing import BinaryIO

import click

from deepseek_messages.cli.offline import Translated, translate
from deepseek_messages.cli.options import with_settings
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.prompt.explain import Explanation, chat_json
from deepseek_messages.prompt.explain import explain as explain_prompt
from deepseek_messages.settings import Settings
from deepseek_messages.translation.refusals import Refusal


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--model", metavar="NAME", help="Explain for this model, not the request's own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings("strict")
def explain(settings: Settings, file: BinaryIO, model: str | None, as_json: bool) -> None:
    """Show what becomes of a request: notes, tokens, chat request, prompt.

    FILE holds a Messages request as JSON; - is standard input.
    The request is translated as the server does it, for DeepSeek's API or the dialect of the
    setting upstream.dialect, and the prompt is rendered with DeepSeek's own encoding. Nothing is
    sent anywhere.
    """
    try:
        found = translate(settings, file.read(), model)
        shown = explain_prompt(found.translation.chat, found.encoding)
    except Refusal as refusal:
        raise click.ClickException(refusal.message) from None
    except NotEncodable as error:
        raise click.ClickException(f"DeepSeek's encoder refuses the request: {error}") from None
    click.echo(_as_json(found, shown) if as_json else _as_text(found, shown))


def _as_json(found: Translated, shown: Explanation) -> str:
    parts = {part.name: {"count": part.count, "tokens": part.tokens} for part in shown.parts}
    explained = {
        "model": {"requested": found.choice.requested, "served": found.choice.model.id},
        "dialect": found.dialect.name,
        "encoding": found.encoding,
        "notes": [str(note) for note in found.notes.entries],
        "tokens": {"total": shown.tokens, "exact": shown.exact, "parts": parts},
        "chat": chat_json(found.translation.chat),
        "prompt": shown.prompt,
    }
    return json.dumps(explained, ensure_ascii=False, indent=2)


def _as_text(found: Translated, shown: Explanation) -> str:
    choice = found.choice
    way = f"dialect {found.dialect.name}, encoding {found.encoding}"
    lines = [
        f"Model: {choice.requested} -> {choice.model.id} ({way})",
        "",
        "Notes:",
        *(f"  {note}" for note in found.notes.entries or ("none",)),
        "",
        f"Prompt tokens: {shown.tokens}" + ("" if shown.exact else " at most"),
        *(f"  {part.name:<14} {part.count:>5} {part.tokens:>9}" for part in shown.parts),
        "",
        "Chat request:",
        json.dumps(chat_json(found.translation.chat), ensure_ascii=False, indent=2),
        "",
        "Prompt:",
        shown.prompt,
    ]
    return "\n".join(lines)
