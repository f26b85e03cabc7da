"""The ``deepseek-messages`` command, one file per subcommand.

Exit codes: 0 all is well, 1 a problem (said in one line, with what to do), 2 wrong usage.
"""

from importlib import import_module

import click

from deepseek_messages import __version__

# Each subcommand lives in the module of its name and is imported when it is used, so that
# ``env`` does not wait for what ``serve`` needs.
COMMANDS = (
    "serve",
    "claude",
    "run",
    "env",
    "check",
    "compat",
    "models",
    "count",
    "explain",
    "double",
)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"deepseek_messages.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings come from a TOML file, then the environment, then flags.",
)
@click.version_option(__version__, prog_name="deepseek-messages")
def main() -> None:
    """Serve the Anthropic Messages API on DeepSeek models.

    Without any setting, DEEPSEEK_API_KEY or DEEPSEEK_BASE_URL in the environment means that
    chat server; otherwise a small model runs inside the process.
    """
