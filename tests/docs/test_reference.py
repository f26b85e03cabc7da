"""The generated pages are what the code says, and complete."""

import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_messages.settings import KNOWN
from deepseek_messages.telemetry.metrics import METRICS
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.translation.notes import Action
from scripts import docs


def test_pages_are_up_to_date() -> None:
    # In a process of its own: click remembers how a command's help was first asked for.
    command = [sys.executable, str(Path(docs.__file__)), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), "run `make docs`"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in docs.REFERENCE.glob("*.md")} == set(docs.PAGES)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("settings.md", [setting.env for setting in KNOWN.values()]),
        ("commands.md", [f"## {name}" for name in docs.COMMANDS]),
        ("metrics.md", [metric.name for metric in METRICS]),
        ("notes.md", [f"`{action.value}`" for action in Action]),
        ("errors.md", [f"`{kind.value}`" for kind in FaultKind]),
    ],
)
def test_page_names_everything(page: str, words: list[str]) -> None:
    text = docs.page(page)
    assert [word for word in words if word not in text] == []
