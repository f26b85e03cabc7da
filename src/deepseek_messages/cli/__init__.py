"""The ``deepseek-messages`` command, one file per subcommand."""


def main() -> None:
    """Run the command line."""
    raise SystemExit("not built yet")
