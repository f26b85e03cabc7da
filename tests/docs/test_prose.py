"""Links lead somewhere, examples are well formed, nothing names one machine's paths."""

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import click
import pytest

from deepseek_messages.cli import main
from deepseek_messages.cli.passing import PassingCommand
from deepseek_messages.settings import KNOWN, load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def examples(language: str) -> list[object]:
    return [
        pytest.param(text, id=f"{page.relative_to(ROOT)}:{number}")
        for page in PAGES
        for number, (found, text) in enumerate(FENCE.findall(page.read_text()), 1)
        if found == language
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "index.md" and f"({page})" not in index] == []


@pytest.mark.parametrize("text", examples("python"))
def test_python_example_is_python(text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize("text", examples("toml"))
def test_settings_example_is_accepted(text: str, tmp_path: Path) -> None:
    text = text.replace("...64 hexadecimal digits...", "0" * 64)
    tomllib.loads(text)
    (tmp_path / "example.toml").write_text(text)
    load_settings(tmp_path / "example.toml", {}, {})


def commands_in_docs() -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        found = re.findall(r"`(deepseek-messages [^`\n]+)`", text)
        for language, block in FENCE.findall(text):
            if language == "sh":
                found += re.findall(r"deepseek-messages [^\n)\"|#]+", block)
        for number, line in enumerate(found, 1):
            yield pytest.param(line, id=f"{page.relative_to(ROOT)}:{number}")


@pytest.mark.parametrize("line", list(commands_in_docs()))
def test_command_in_docs_exists_with_its_flags(line: str) -> None:
    words = shlex.split(line)[1:]
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command is not None, line
    if isinstance(command, PassingCommand):  # the rest is another program's
        words = words[: 1 + command.own(context, words[1:])]
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert [word for word in words if word.startswith("--") and word not in flags] == []


@pytest.mark.parametrize("text", examples("sh"))
def test_shell_example_is_shell(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
    assert done.stderr == ""


def test_settings_named_in_prose_exist() -> None:
    sections = "|".join(sorted({name.partition(".")[0] for name in KNOWN if "." in name}))
    named = {
        found
        for page in PAGES
        if page.name != "notes.md"  # its words name fields of requests
        for found in re.findall(rf"`((?:{sections})\.[a-z_]+)`", page.read_text())
    }
    files = {each for each in named if each.endswith((".md", ".py"))}
    assert named - KNOWN.keys() - files == set()


# --- the repository ---------------------------------------------------------------------------


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_path_of_a_home_or_a_machine_is_in_the_repository() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:root|home/(?!me/)\w+|Users/\w+|work)/(?!\.\.\.)\w")
    found = []
    for path in tracked():
        if (
            path.suffix in {".lock", ".png", ".svg"}
            or "captures" in path.parts
            or not path.is_file()
        ):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {hit}" for hit in pattern.findall(text)]
    assert found == []


def test_lock_names_no_index_and_hashes_everything() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    assert [e.splitlines()[0] for e in entries if e.strip() and "--hash=sha256:" not in e] == []


def test_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    names = {re.split(r"[<>=!;\[ ]", each)[0].lower() for each in wanted}
    locked = set(
        re.findall(
            r"^([a-z0-9-]+)(?:\[[\w,-]+\])?==",
            (ROOT / "requirements.lock").read_text(),
            re.MULTILINE,
        )
    )
    assert names - locked == set()
