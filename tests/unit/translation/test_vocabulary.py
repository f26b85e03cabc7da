"""Every word of a note is explained, and every explained word is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import deepseek_messages
from deepseek_messages.translation.request.sampling import _ACCEPTED
from deepseek_messages.translation.vocabulary import WORDS

SOURCE = Path(deepseek_messages.__file__).parent

# Words that are put together, or handed on by a function, and where.
MADE = {
    "tools.{type}",
    "{type}",
    "tool_use",
    "container_upload",
    "document",
    "unknown_block",
    "output_config.format.repair",
    *_ACCEPTED,
}


def written() -> Iterator[tuple[str, str]]:
    """The words that stand as literals beside an action, and their places."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) < 2:
                continue
            action, word = node.args[:2]
            if not (isinstance(action, ast.Attribute) and ast.unparse(action.value) == "Action"):
                continue
            if isinstance(word, ast.Constant):
                yield str(word.value), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(("word", "place"), sorted(written()))
def test_word_is_explained(word: str, place: str) -> None:
    assert word in WORDS, place


def test_no_word_is_explained_that_nobody_uses() -> None:
    assert WORDS.keys() - {word for word, _ in written()} - MADE == set()


def test_words_that_are_made_are_explained() -> None:
    assert MADE - WORDS.keys() == set()


@pytest.mark.parametrize("word", WORDS)
def test_explanation_is_a_sentence(word: str) -> None:
    assert WORDS[word].endswith(".")
    assert WORDS[word][0].isupper()
