"""The compatibility table: what is done with each part of the Messages API.

The table is data, ``compatibility.toml`` beside this file. The command ``compat`` and the page
``docs/compatibility.md`` are made from it, and a test proves each row.
"""

import shutil
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from textwrap import wrap
from typing import Literal

import msgspec
from msgspec import Struct

Section = Literal[
    "headers",
    "fields",
    "messages",
    "tools",
    "tool_choice",
    "content",
    "answer",
    "events",
    "endpoints",
]
How = Literal["honoured", "emulated", "replaced", "dropped", "ignored", "refused"]

TITLES: dict[Section, str] = {
    "headers": "Headers",
    "fields": "Fields",
    "messages": "Entries of `messages`",
    "tools": "Entries of `tools`",
    "tool_choice": "`tool_choice`",
    "content": "Blocks of `messages[].content`",
    "answer": "The answer",
    "events": "Events of a stream",
    "endpoints": "Endpoints",
}

INTRODUCTION = """\
# Compatibility

What this server does with each part of the Messages API, beside what DeepSeek's own
Anthropic-format endpoint documented in autumn 2025 and in November 2026. `deepseek-messages
compat` prints the same table, and a test proves each row.

| word | meaning |
|---|---|
| honoured | it does what Anthropic documents |
| emulated | done here because the upstream cannot |
| replaced | a text note stands in its place |
| dropped | left out |
| ignored | accepted without effect |
| refused | an error in Anthropic's envelope |

Whatever is replaced, emulated or dropped is listed in the response header
`deepseek-messages-notes`. With `strict = true` what would lose meaning is refused instead.
"""


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of the API. ``deepseek_2025`` and ``deepseek_2026`` are the words of DeepSeek's
    guide in short (``-``: it has no such row), ``error`` the status and type of a refusal.
    """

    id: str
    section: Section
    name: str
    deepseek_2025: str
    deepseek_2026: str | None = None  # None: as in 2025
    how: How
    what: str
    error: str | None = None
    since: str

    @property
    def now(self) -> str:
        """What DeepSeek's guide says today."""
        return self.deepseek_2025 if self.deepseek_2026 is None else self.deepseek_2026

    @property
    def ours(self) -> str:
        """What is done here, in one word, with the error of a refusal."""
        return f"{self.how}: {self.error}" if self.error else self.how


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table, in the order of its sections."""

    row: list[Row]


@cache
def rows() -> tuple[Row, ...]:
    """Every row, in order. Raises ``msgspec.ValidationError`` if the file is not as it should."""
    text = (files("deepseek_messages") / "compatibility.toml").read_bytes()
    return tuple(msgspec.toml.decode(text, type=Table).row)


def as_markdown(table: Sequence[Row]) -> str:
    """The documentation page."""
    parts = [INTRODUCTION]
    for section, members in groupby(table, key=lambda row: row.section):
        parts.append(f"## {TITLES[section]}\n")
        parts.append("| | DeepSeek, 2025 | DeepSeek, 2026 | here | |\n|---|---|---|---|---|")
        parts.extend(_markdown_row(row) for row in members)
        parts.append("")
    return "\n".join(parts)


def _markdown_row(row: Row) -> str:
    cells = (f"`{row.name}`", row.deepseek_2025, row.now, row.ours, row.what)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_json(table: Sequence[Row]) -> str:
    """The table for programs: a list of objects with the fields of ``Row``."""
    return msgspec.json.format(msgspec.json.encode(table), indent=2).decode() + "\n"


def as_text(table: Sequence[Row], *, width: int | None = None) -> str:
    """The table for a terminal of ``width`` columns (its own width when not given)."""
    columns = width or shutil.get_terminal_size().columns
    name_width = max((len(row.name) for row in table if len(row.name) <= 34), default=0)
    how_width = max((len(row.how) for row in table), default=0)
    indent = " " * (name_width + how_width + 4)
    room = max(columns - len(indent), 30)
    lines: list[str] = []
    for section, members in groupby(table, key=lambda row: row.section):
        lines += ["", TITLES[section].replace("`", "")]
        for row in members:
            said = f"{row.error}: {row.what}" if row.error else row.what
            first, *rest = wrap(said, room) or [""]
            name = row.name.ljust(name_width)
            if len(row.name) > name_width:
                lines.append(row.name)
                name = " " * name_width
            lines.append(f"{name}  {row.how.ljust(how_width)}  {first}")
            lines += [indent + line for line in rest]
    return "\n".join(lines[1:]) + "\n"
