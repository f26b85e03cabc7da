"""What is hidden, and what stays readable."""

import pytest

from deepseek_messages.telemetry.redaction import (
    HIDDEN,
    MAX_TEXT,
    describe_exception,
    redact,
    redact_text,
)

SECRET_FIELDS = ["authorization", "Authorization", "x-api-key", "X_API_KEY", "api_key", "token",
                 "cookie", "password", "credential", "key"]  # fmt: skip
CONTENT_FIELDS = ["messages", "system", "content", "prompt", "text", "thinking", "body", "input"]


@pytest.mark.parametrize("name", SECRET_FIELDS + CONTENT_FIELDS)
def test_fields_by_name(name: str) -> None:
    assert redact({name: "x"}) == {name: HIDDEN}
    assert redact({"outer": {name: ["x"]}}) == {"outer": {name: HIDDEN}}


@pytest.mark.parametrize(
    "text",
    [
        "sk-0123456789abcdef",
        "sk-ant-api03-abcdefgh",
        "dsm-abcdefghijkl",
        "hf_abcdefghijkl",
        "Bearer abc.def",
        "bearer abc",
    ],
)
def test_texts_by_shape(text: str) -> None:
    told = redact_text(f"before {text} after")
    assert told == f"before {HIDDEN} after"
    assert redact({"list": [f"x {text}"]}) == {"list": [f"x {HIDDEN}"]}


@pytest.mark.parametrize("text", ["task-force one", "risk-averse", "deepseek-chat", "a bear"])
def test_ordinary_words_stay(text: str) -> None:
    assert redact_text(text) == text


def test_long_texts_are_cut() -> None:
    assert len(redact_text("x" * 10_000)) == MAX_TEXT


def test_numbers_and_flags_stay() -> None:
    assert redact({"status": 200, "stream": True, "ms": 1.5, "none": None}) == {
        "status": 200,
        "stream": True,
        "ms": 1.5,
        "none": None,
    }


def test_an_exception_is_told_by_type_and_place() -> None:
    try:
        try:
            int("the words")
        except ValueError as error:
            raise KeyError("other words") from error
    except KeyError as error:
        told = describe_exception(error)
    assert told["error"] == "KeyError"
    assert told["caused_by"] == "ValueError"
    assert "test_redaction.py" in str(told["at"])
    assert "words" not in str(told)
