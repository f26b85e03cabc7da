"""Passages: whole sentences, exact places, linear."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.translation.citing.passages import MAX_PASSAGE_CHARS, spans_of


def passages(text: str) -> list[str]:
    return [text[a:b] for a, b in spans_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("The grass is green. The sky is blue.", ["The grass is green.", "The sky is blue."]),
        ("No end", ["No end"]),
        ("Really?! Yes indeed.", ["Really?!", "Yes indeed."]),
        ("Dr. Smith left.", ["Dr. Smith left."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("Version 3.5 is out. Get it.", ["Version 3.5 is out.", "Get it."]),
        ("A heading\n\nA paragraph", ["A heading", "A paragraph"]),
        ("草是绿色的。天空是蓝的！", ["草是绿色的。", "天空是蓝的！"]),
        ("  Blanks around.  \n  Not in it. ", ["Blanks around.", "Not in it."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert passages(text) == expected


def test_a_sentence_without_an_end_is_cut_at_a_blank() -> None:
    text = "word " * 500
    found = passages(text)
    assert all(len(piece) <= MAX_PASSAGE_CHARS for piece in found)
    assert " ".join(found) == text.strip()
    assert max(map(len, passages("x" * 2500))) == MAX_PASSAGE_CHARS


LIMIT = MAX_PASSAGE_CHARS


@pytest.mark.parametrize("blank", [" ", "\n"])
@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        (400, LIMIT, 400),  # the only blank
        (1, LIMIT, 1),
        (LIMIT - 1, 5, LIMIT - 1),  # the last place that counts
        (LIMIT, 5, LIMIT),  # a blank at the limit is of no use before it
        (LIMIT + 9, 5, LIMIT),
        (0, LIMIT + 5, LIMIT - 1),  # nor is the one that it begins with
    ],
)
def test_a_long_sentence_is_cut_at_its_last_blank(
    before: int, after: int, ends: int, blank: str
) -> None:
    found = passages("x" * before + blank + "y" * after)
    assert len(found[0]) == ends


def test_the_nearer_of_a_space_and_a_line_end_is_where_it_is_cut() -> None:
    words, lines = "word " * 60, f"{'x' * 150}\n{'x' * 149}"
    for text in (f"{lines}\n{words}{'y' * LIMIT}", f"{words}{lines}\n{'y' * LIMIT}"):
        assert len(passages(text)[0]) == len(text) - LIMIT - 1


def test_a_passage_that_begins_later_has_the_same_limit() -> None:
    rest = "x" * 300 + " " + "y" * 2 * LIMIT
    for first in ("One is odd. ", "One is odd.\n"):
        assert passages(first + rest)[:3] == ["One is odd.", "x" * 300, "y" * LIMIT]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abcd. Next.", ["abcd.", "Next."]), ("abc. Next.", ["abc. Next."])],
)
def test_a_sentence_has_five_characters(text: str, expected: list[str]) -> None:
    assert passages(text) == expected


@given(st.text(alphabet="ab .!?\n。”)[", max_size=300))
def test_passages_cover_everything_but_blanks(text: str) -> None:
    spans = list(spans_of(text))
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = "".join(text[a:b] for a, b in spans)
    assert "".join(covered.split()) == "".join(text.split())


@pytest.mark.parametrize("row", [".", "!?", '."', "\n ", "\n\t\r", "。", "a. "])
def test_no_text_takes_long_to_cut(row: str) -> None:
    """A row of stops without a blank behind it took half a minute once."""
    assert sum(end - begin for begin, end in spans_of(row * 150_000)) <= 150_000 * len(row)
