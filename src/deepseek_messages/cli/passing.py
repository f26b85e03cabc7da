"""Commands whose further arguments belong to another program."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from deepseek_messages.cli.options import with_settings
from deepseek_messages.settings import Settings
from deepseek_messages.settings.sources import KEY_ENV


class PassingCommand(click.Command):
    """Reads its own options up to the first argument that is none of them; that one and all
    after it are the other program's, whatever they look like. A ``--`` ends our own too.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a border in front of the other program's arguments."""
        count = self.own(ctx, args)
        rest = args[count:]
        return super().parse_args(ctx, [*args[:count], "--", *rest[rest[:1] == ["--"] :]])

    def own(self, ctx: click.Context, args: Sequence[str]) -> int:
        """How many of the first arguments are ours."""
        taking, plain = self._own_options(ctx)
        count = 0
        while count < len(args):
            name, equals, _ = args[count].partition("=")
            if args[count] in plain:
                count += 1
            elif name in taking:
                count += 1 if equals else 2
            else:
                break
        return min(count, len(args))

    def _own_options(self, ctx: click.Context) -> tuple[set[str], set[str]]:
        """Our options, those with a value and those without."""
        taking: set[str] = set()
        plain: set[str] = set()
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option):
                (plain if parameter.is_flag else taking).update(parameter.opts)
        return taking, plain


def session_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that needs a server; it gets ``settings``, ``url``, ``key`` and
    ``own``, which says that a server of its own was asked for.
    """

    def wrapper(settings: Settings, /, *, own: bool, **kwargs: Any) -> None:
        chosen = click.get_current_context().params["upstream"]
        command(settings, own=own or chosen is not None, **kwargs)

    functools.update_wrapper(wrapper, command)
    options = [
        click.option("--url", metavar="URL", help="Use the server that runs at this address."),
        click.option(
            "--key",
            envvar=KEY_ENV,
            metavar="KEY",
            help=f"Your key of a server that runs already [${KEY_ENV}].",
        ),
        click.option(
            "--own",
            is_flag=True,
            help="Start a server even if one runs already; so does --upstream.",
        ),
    ]
    for option in reversed(options):
        wrapper = option(wrapper)
    return with_settings("upstream")(wrapper)
