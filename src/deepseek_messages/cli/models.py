"""``deepseek-messages models``: the model files of the ``embedded`` upstream."""

import sys

import click

from deepseek_messages.cli.options import with_settings
from deepseek_messages.cli.progress import ProgressLine
from deepseek_messages.settings import Settings
from deepseek_messages.store.models import DEFAULT, ModelError, ModelStore


@click.group()
def models() -> None:
    """Fetch, list and remove the models that run inside the process."""


@models.command()
@click.argument("reference", metavar="[MODEL]", default=DEFAULT)
@with_settings()
def pull(settings: Settings, reference: str) -> None:
    """Fetch a model now instead of at first use: smollm2 (the default) or hf:OWNER/REPO[:FILE]."""
    line = ProgressLine(sys.stderr, reference)
    try:
        path = ModelStore(settings.cache_dir).resolve(reference).fetch(line)
    except ModelError as error:
        line.end()
        raise click.ClickException(str(error)) from None
    line.end()
    click.echo(str(path))


@models.command("list")
@with_settings()
def list_(settings: Settings) -> None:
    """Show the models in the cache, with their sizes."""
    store = ModelStore(settings.cache_dir)
    stored = store.list()
    for model in stored:
        click.echo(f"{model.reference}\t{model.size / 1e6:.0f} MB\t{model.path}")
    if not stored:
        click.echo(f"No models in {store.directory}.", err=True)


@models.command()
@click.argument("reference", metavar="MODEL")
@with_settings()
def rm(settings: Settings, reference: str) -> None:
    """Delete a model from the cache."""
    try:
        freed = ModelStore(settings.cache_dir).remove(reference)
    except ModelError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Removed {reference}: {freed / 1e6:.0f} MB freed.")
