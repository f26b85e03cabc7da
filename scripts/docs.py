"""Writes the generated pages of docs/reference from the code; ``--check`` only compares.

python scripts/docs.py [--check]
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from deepseek_messages.cli import COMMANDS, main
from deepseek_messages.compatibility import as_markdown, rows
from deepseek_messages.settings import KNOWN, MEMBER, Settings
from deepseek_messages.settings.known import SECTIONS, Setting
from deepseek_messages.telemetry.metrics import METRICS, PREFIX
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.translation.notes import LOSSY, Action
from deepseek_messages.translation.vocabulary import WORDS
from deepseek_messages.wire.errors import STATUS_TO_TYPE

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTICE = "<!-- Written by scripts/docs.py from the code. `make docs` writes it anew. -->\n\n"

ACTIONS = {
    Action.MAPPED: "A name was exchanged for the one that is served.",
    Action.EMULATED: "Done by this server, because the upstream cannot.",
    Action.CLAMPED: "A number was moved into the upstream's range.",
    Action.REPAIRED: "An invalid history or schema was made valid.",
    Action.IGNORED: "Accepted without effect, and none is needed.",
    Action.REPLACED: "A text that the model can read stands where something unusable was.",
    Action.DROPPED: "Left out.",
    Action.ESTIMATED: "A count that could not be made exactly.",
}

FAULTS = {
    FaultKind.CONNECT: "No connection: refused, no such name, TLS.",
    FaultKind.TIMEOUT: "Connected, then silent for longer than a deadline allows.",
    FaultKind.CUT: "The answer ended before it was whole.",
    FaultKind.GARBAGE: "Bytes that are not what the format promises.",
    FaultKind.REFUSED: "An HTTP error status.",
    FaultKind.REPORTED: "An error inside a stream that had begun.",
    FaultKind.BUSY: "No capacity, upstream or in the embedded model's queue.",
}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def settings_page() -> str:
    """Every setting by section."""
    parts = [
        "# Settings\n",
        (
            "A TOML file, then environment variables, then flags; later ones win. The file is the "
            "one of `--config`, else of `DEEPSEEK_MESSAGES_CONFIG`, else `deepseek-messages.toml` "
            "in the working directory, else `config.toml` in the user's configuration directory. "
            "An unknown key is refused by its name.\n"
        ),
        (
            "Besides the variables below, `DEEPSEEK_BASE_URL` sets `upstream.base_url`, and "
            "`DEEPSEEK_API_KEY` sets `upstream.api_key` when the upstream is DeepSeek's API or the "
            "server of `DEEPSEEK_BASE_URL`; it is never sent to another server. Neither reaches "
            "`[[upstreams]]`, whose tables name their own (`base_url`, `api_key_env`). "
            "`DEEPSEEK_MESSAGES_UPSTREAM` says what the flag `--upstream` says. In a variable, a "
            "list is separated by commas, a table is written `name=value,name=value`. Times are in "
            "seconds, sizes in bytes, contexts in tokens.\n"
        ),
    ]
    sections = [name for name in Settings.__struct_fields__ if name in SECTIONS]
    for section in ["", *sections]:
        chosen = [s for s in KNOWN.values() if s.name.rpartition(".")[0] == section]
        parts.append(f"## [{section}]\n" if section else "## Top of the file\n")
        parts.append(table(("Key", "Default", "Type", "Variable", "Meaning"), map(_row, chosen)))
    parts += [
        "## [[upstreams]]\n",
        (
            "One table for each of several upstreams, instead of `[upstream]`; only in the file. "
            "A flag `--upstream` or `DEEPSEEK_MESSAGES_UPSTREAM` stands for all of them.\n"
        ),
        table(("Key", "Default", "Type", "Meaning"), map(_member_row, MEMBER.values())),
    ]
    return "\n".join(parts)


def _member_row(setting: Setting) -> tuple[str, ...]:
    default = "must be given" if setting.name == "name" else _default(setting)
    return f"`{setting.name}`", default, setting.type_text, setting.description


def _row(setting: Setting) -> tuple[str, ...]:
    key = setting.name.rpartition(".")[2]
    return (
        f"`{key}`",
        _default(setting),
        setting.type_text,
        f"`{setting.env}`",
        setting.description,
    )


def _default(setting: Setting) -> str:
    match setting.default:
        case None if setting.name.endswith("_dir"):
            return "the user's own"
        case None | ():
            return "none"
        case bool(value):
            return f"`{str(value).lower()}`"
        case value:
            return f"`{value}`"


def commands_page() -> str:
    """The help text of every command."""
    parts = ["# Commands\n", _help(main, "deepseek-messages")]
    root = click.Context(main, info_name="deepseek-messages")
    for name in COMMANDS:
        command = main.get_command(root, name)
        assert command is not None
        parts += [f"## {name}\n", _help(command, f"deepseek-messages {name}")]
        if isinstance(command, click.Group):
            for inner in command.list_commands(root):
                found = command.get_command(root, inner)
                assert found is not None
                parts += [f"### {name} {inner}\n"]
                parts += [_help(found, f"deepseek-messages {name} {inner}")]
    parts.append("Exit codes: 0 all is well, 1 a problem, 2 wrong usage.\n")
    return "\n".join(parts)


def _help(command: click.Command, name: str) -> str:
    settings = {**main.context_settings, "max_content_width": 90}
    context = click.Context(command, info_name=name, terminal_width=90, **settings)
    return f"```\n{command.get_help(context)}\n```\n"


def errors_page() -> str:
    """Statuses, error types, and what goes wrong upstream."""
    return "\n".join(
        [
            "# Errors\n",
            (
                "Every answer that is no success is Anthropic's envelope: "
                '`{"type": "error", "error": {"type", "message"}, "request_id"}`. The message of a '
                "400 begins with the path of the field that is wrong, if it is one. Once a stream "
                "has begun, an error is its last event, and no `message_stop` follows.\n"
            ),
            table(
                ("Status", "Type"),
                ((str(status), f"`{kind}`") for status, kind in STATUS_TO_TYPE.items()),
            ),
            "## Faults of the upstream\n",
            "The label `kind` of the metric `deepseek_messages_upstream_faults`:\n",
            table(("Kind", "Meaning"), ((f"`{k.value}`", FAULTS[k]) for k in FaultKind)),
        ]
    )


def metrics_page() -> str:
    """Every metric."""
    rows = (
        (
            f"`{PREFIX}_{metric.name}{'_total' if metric.kind == 'counter' else ''}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels) or "none",
            metric.help,
        )
        for metric in METRICS
    )
    return "\n".join(
        [
            "# Metrics\n",
            (
                "`GET /metrics`, in Prometheus' text format: for this machine, and for others with "
                "the key of `telemetry.metrics_key`.\n"
            ),
            table(("Name", "Kind", "Labels", "Meaning"), rows),
        ]
    )


def notes_page() -> str:
    """The vocabulary of the notes header."""
    rows = (
        (f"`{action.value}`", ACTIONS[action], "refused with 400" if action in LOSSY else "same")
        for action in Action
    )
    return "\n".join(
        [
            "# Notes\n",
            (
                "Nothing is lost silently. Whatever translation changed in a request is named in "
                "the response header `deepseek-messages-notes` and the log, as `action=what@path`, "
                "for example `replaced=image@messages.3.content.0`.\n"
            ),
            table(("Action", "Meaning", "With `strict = true`"), rows),
            "`what` is one of these words; `{type}` stands for the type of a tool or block.\n",
            table(("Word", "Meaning"), ((f"`{word}`", text) for word, text in WORDS.items())),
        ]
    )


def clients_page() -> str:
    """The clients that the tests drive."""
    sys.path.insert(0, str(REFERENCE.parent.parent))
    from tests.conformance.clients import page  # noqa: PLC0415 - only of a checkout

    return page.text()


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "notes.md": notes_page,
    "clients.md": clients_page,
}


def page(name: str) -> str:
    """The text that docs/reference/``name`` should have."""
    return NOTICE + PAGES[name]()


def run(arguments: list[str]) -> int:
    """Write or compare the pages; the exit code."""
    stale = []
    pages = {REFERENCE / name: page(name) for name in PAGES}
    pages[REFERENCE.parent / "compatibility.md"] = as_markdown(rows())
    for path, text in pages.items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if not stale:
        return 0
    print(("out of date: " if "--check" in arguments else "written: ") + ", ".join(stale))
    return 1 if "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
