"""The page of clients: what the tests drive, in which versions."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.clients.clients import LIBRARIES, Library
from tests.support import toolchain

ROOT = Path(__file__).resolve().parents[3]

# Column -> the scenarios of which a library has at least one.
COLUMNS = {
    "Answers": {"text", "structured"},
    "Streams": {"stream", "structured_stream"},
    "Tools": {"tools"},
    "Structured output": {"structured"},
    "Thinking": {"thinking", "structured_thinking"},
    "Counts": {"count"},
    "Models": {"models"},
    "Errors": {"error", "missing"},
}

# Driven by tests/conformance/sdk and tests/conformance/claude_code.
OFFICIAL = {"Answers", "Streams", "Tools", "Thinking", "Counts", "Models", "Errors"}


def text() -> str:
    """The page."""
    head = ("Client", "Package", "Version", *COLUMNS)
    lines = [head, tuple("---" for _ in head), *_official(), *map(_row, LIBRARIES.values())]
    return (
        "# Clients\n\n"
        "Each of these programs runs in the test suite against this server over HTTP, in the "
        "version that stands here, with the strict double of DeepSeek's API behind it. How to "
        "set them up: [use a client library](../how-to/clients.md), "
        "[use Claude Code](../how-to/claude-code.md).\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + "\n\nAn empty cell: the client does not do it, or the tests do not drive it.\n"
    )


def _row(library: Library) -> tuple[str, ...]:
    has = {name for name, wanted in COLUMNS.items() if wanted & set(library.scenarios)}
    return _line(library.name, library.package, library.version, has)


def _line(name: str, package: str, version: str, has: set[str]) -> tuple[str, ...]:
    return (name, f"`{package}`", version, *("yes" if column in has else "" for column in COLUMNS))


def _official() -> Iterator[tuple[str, ...]]:
    locked = re.search(r"^anthropic==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked is not None
    for version in (locked[1], *reversed(toolchain.OLD_ANTHROPIC)):
        yield _line("Anthropic SDK, Python", "anthropic", version, OFFICIAL)
    sdk = "@anthropic-ai/sdk"
    version = toolchain.node_requirements()[sdk]
    yield _line("Anthropic SDK, TypeScript", sdk, version, OFFICIAL)
    for version in toolchain.CLAUDE_CODE:
        yield _line("Claude Code", "@anthropic-ai/claude-code", version, OFFICIAL - {"Models"})
