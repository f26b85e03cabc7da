"""Passages: whole sentences, exact places, linear."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.translation.passages import MAX_PASSAGE_CHARS, spans_of


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


@given(st.text(alphabet="ab .!?\n。”)[", max_size=300))
def test_passages_cover_everything_but_blanks(text: str) -> None:
    spans = list(spans_of(text))
    assert all(a < b for a, b in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = "".join(text[a:b] for a, b in spans)
    assert "".join(covered.split()) == "".join(text.split())
