"""The notes header: ASCII, bounded, nothing when nothing was changed."""

import pytest

from deepseek_messages.translation.notes import Action, Note
from deepseek_messages.web.notes import MAX_LENGTH, notes_header


def header(*notes: Note) -> str:
    ((name, value),) = notes_header(notes)
    assert name == b"deepseek-messages-notes"
    return value.decode("ascii")


def test_nothing_changed_is_no_header() -> None:
    assert notes_header([]) == []


def test_notes_are_listed_once_each_in_order() -> None:
    image = Note(Action.REPLACED, "image", "messages.3.content.0")
    assert header(image, Note(Action.IGNORED, "top_k"), image) == (
        "replaced=image@messages.3.content.0, ignored=top_k"
    )


@pytest.mark.parametrize("what", ["a\r\nset-cookie: x", "é", "a, b", "\x00", "\u2028"])
def test_nothing_can_break_out_of_the_header(what: str) -> None:
    value = header(Note(Action.DROPPED, what))
    assert value.isprintable()
    assert "," not in value


def test_many_notes_are_cut_and_counted() -> None:
    value = header(*(Note(Action.IGNORED, "field", f"messages.{n}") for n in range(1_000)))
    assert len(value) <= MAX_LENGTH + 20
    shown = value.count("ignored=")
    assert value.endswith(f", +{1_000 - shown} more")


def test_one_endless_note_is_only_counted() -> None:
    assert header(Note(Action.DROPPED, "x" * 10_000)) == "+1 more"
