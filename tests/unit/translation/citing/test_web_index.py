"""The index of web search citations: there and back, and nobody else's."""

import base64

import pytest

from deepseek_messages.translation.citing.web_index import (
    MAX_INDEX_CHARS,
    Span,
    from_index,
    to_index,
)


@pytest.mark.parametrize(
    "span",
    [
        Span("srvtoolu_1", 0, 0, 0),
        Span("srvtoolu_" + "x" * 50, 9, 120, 131),
        Span("é", 1, 2, 3),
        Span("?>?>", 1, 1, 1),
    ],
)
def test_an_index_means_what_it_was_made_of(span: Span) -> None:
    index = to_index(span)
    assert index.startswith("dsi1.")
    assert len(index) <= MAX_INDEX_CHARS
    assert from_index(index) == span


def test_an_index_looks_as_clients_have_kept_it() -> None:
    assert to_index(Span("srvtoolu_1", 0, 2, 3)) == "dsi1.WyJzcnZ0b29sdV8xIiwwLDIsM10"
    assert to_index(Span("?>?>", 1, 1, 1)) == "dsi1.WyI_Pj8-IiwxLDEsMV0"


def test_an_index_is_read_up_to_its_greatest_length() -> None:
    def of(length: int) -> str:
        return to_index(Span("x" * length, 0, 0, 0))

    longest = max(length for length in range(400) if len(of(length)) <= MAX_INDEX_CHARS)
    assert len(of(longest)) == MAX_INDEX_CHARS
    assert from_index(of(longest)) == Span("x" * longest, 0, 0, 0)
    assert from_index(of(longest + 3)) is None


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
