"""The index of web search citations: there and back, and nobody else's."""

import base64

import pytest

from deepseek_messages.translation.web_index import MAX_INDEX_CHARS, Span, from_index, to_index


@pytest.mark.parametrize(
    "span",
    [Span("srvtoolu_1", 0, 0, 0), Span("srvtoolu_" + "x" * 50, 9, 120, 131), Span("é", 1, 2, 3)],
)
def test_an_index_means_what_it_was_made_of(span: Span) -> None:
    index = to_index(span)
    assert index.startswith("dsi1.")
    assert len(index) <= MAX_INDEX_CHARS
    assert from_index(index) == span


def encoded(text: str) -> str:
    return "dsi1." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "index",
    [
        "",
        "dsi1.",
        "dsi2.WyJhIiwwLDAsMF0",
        "Eo8BCioIAhgBIiQ4YTM5",
        "dsi1.A",
        "dsi1.é",
        "dsi1." + "A" * MAX_INDEX_CHARS,
        encoded('["a", 0, 0]'),
        encoded('{"call": "a"}'),
        encoded('["a", "0", 0, 0]'),
        encoded("[" * 90),
    ],
)
def test_another_index_is_not_read(index: str) -> None:
    assert from_index(index) is None
