"""The user's turn: results meet their calls, whatever order and shape they come in."""

from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, LLAMA_CPP
from deepseek_messages.translation.refusals import Refusal
from tests.support.translating import (
    assistant,
    call,
    model,
    result,
    system,
    text,
    translated,
    user,
)

CALLS = assistant("let me see", call("t1", "f"), call("t2", "g"))
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}


def after_calls(*messages: Any, **options: Any) -> list[tuple[str, Any]]:
    """Role (or call id) and content of what follows the calls."""
    sent = translated("go", CALLS, *messages, **options).messages[2:]
    return [(m.get("tool_call_id") or m["role"], m["content"]) for m in sent]


ORDERS: dict[str, tuple[list[Any], list[tuple[str, Any]]]] = {
    "in order": (
        [user(result("t1", "1"), result("t2", "2"))],
        [("t1", "1"), ("t2", "2")],
    ),
    "out of order": (
        [user(result("t2", "2"), result("t1", "1"))],
        [("t1", "1"), ("t2", "2")],
    ),
    "TC-11 split over messages": (
        [user(result("t2", "2")), user(result("t1", "1"))],
        [("t1", "1"), ("t2", "2")],
    ),
    "TC-13 before text": (
        [user(result("t1", "1"), result("t2", "2"), "now"), user("then")],
        [("t1", "1"), ("t2", "2"), ("user", "now\n\nthen")],
    ),
    "TC-13 after text": (
        [user("wait", result("t1", "1"), result("t2", "2"))],
        [("t1", "1"), ("t2", "2"), ("user", "wait")],
    ),
    "SY-01 a system message between call and result": (
        [system("9 tokens left"), user(result("t1", "1"), result("t2", "2"))],
        [("t1", "1"), ("t2", "2"), ("system", "9 tokens left")],
    ),
    "TC-11 one is missing": (
        [user(result("t1", "1"), "stop")],
        [("t1", "1"), ("t2", "[no result: the tool call was interrupted]"), ("user", "stop")],
    ),
    "TC-11 both are missing": (
        [],
        [
            ("t1", "[no result: the tool call was interrupted]"),
            ("t2", "[no result: the tool call was interrupted]"),
        ],
    ),
    "twice the same": (
        [user(result("t1", "1"), result("t2", "2"), result("t1", "1"))],
        [("t1", "1"), ("t2", "2")],
    ),
    "twice, another time": (
        [user(result("t1", "1"), result("t2", "2"), result("t1", "one"))],
        [("t1", "1"), ("t2", "2"), ("user", "[result of an earlier tool call]\n\none")],
    ),
    "TC-12 orphan": (
        [user(result("t1", "1"), result("t2", "2"), result("gone", "old"))],
        [("t1", "1"), ("t2", "2"), ("user", "[result of an earlier tool call]\n\nold")],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), ORDERS.values(), ids=ORDERS.keys())
def test_results_stand_after_their_calls(messages: list[Any], expected: Any) -> None:
    assert after_calls(*messages) == expected


NOTED = {
    "missing": ([user(result("t1"))], "repaired=tool_result.missing@messages.1.content.2"),
    "orphan": (
        [user(result("t1"), result("t2"), result("x"))],
        "repaired=tool_result.orphan@messages.2.content.2",
    ),
    "duplicate": (
        [user(result("t1"), result("t2"), result("t2"))],
        "repaired=tool_result.duplicate@messages.2.content.2",
    ),
}


@pytest.mark.parametrize(("messages", "note"), NOTED.values(), ids=NOTED.keys())
def test_repair_is_noted(messages: list[Any], note: str) -> None:
    assert translated("go", CALLS, *messages).notes == [note]


def test_missing_result_is_refused_in_anthropics_words_when_strict() -> None:
    with pytest.raises(Refusal) as caught:
        translated("go", CALLS, user(result("t1")), strict=True)
    assert caught.value.message == (
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t2."
        " Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def test_orphan_is_refused_in_anthropics_words_when_strict() -> None:
    with pytest.raises(Refusal, match=r"^messages\.0\.content\.0: unexpected `tool_use_id` found"):
        translated(user(result("gone")), strict=True)


def test_repeated_call_id_keeps_the_first_call() -> None:
    done = translated("go", assistant(call("t1", "f"), call("t1", "g")), user(result("t1")))

    assert [c["function"]["name"] for c in done.messages[1]["tool_calls"]] == ["f"]
    assert done.notes == ["repaired=tool_use.duplicate@messages.1.content.1"]


CONTENTS: dict[str, tuple[Any, Any]] = {
    "string": ("out", "out"),
    "absent": (None, ""),
    "empty list": ([], ""),
    "SY-08 blocks with a blank line": ([text("a"), text("b")], "a\n\nb"),
    "search result": (
        [{"type": "search_result", "source": "u", "title": 'a "b"', "content": [text("x")]}],
        '<search_result source="u" title="a &quot;b&quot;">\nx\n</search_result>',
    ),
    "document": (
        [{"type": "document", "title": "T", "source": {"type": "text", "data": "d"}}],
        '<document title="T">\nd\n</document>',
    ),
    "unknown block": (
        [{"type": "browser_state", "tabs": []}],
        "[block of type browser_state left out: it cannot be shown to this model]",
    ),
}


@pytest.mark.parametrize(("content", "expected"), CONTENTS.values(), ids=CONTENTS.keys())
def test_result_content_reaches_the_model(content: Any, expected: Any) -> None:
    assert after_calls(user(result("t1", content), result("t2")))[0] == ("t1", expected)


ERRORS = {
    "TC-16 text": ("bad", "[tool error] bad"),
    "blocks": ([text("a"), text("b")], "[tool error] a\n\nb"),
    "nothing": (None, "[tool error]"),
}


@pytest.mark.row("messages.content.tool_result.is_error")
@pytest.mark.parametrize(("content", "expected"), ERRORS.values(), ids=ERRORS.keys())
def test_error_is_marked_in_the_text(content: Any, expected: str) -> None:
    sent = after_calls(user(result("t1", content, is_error=True), result("t2")))

    assert sent[0] == ("t1", expected)


def test_error_flag_that_is_false_changes_nothing() -> None:
    assert after_calls(user(result("t1", "x", is_error=False), result("t2")))[0] == ("t1", "x")


# --- images in results (TC-15) --------------------------------------------------------------------

IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def test_tc15_image_stays_in_the_tool_message_where_the_upstream_takes_it() -> None:
    sent = after_calls(user(result("t1", [text("shot"), PNG]), result("t2")))

    assert sent[0] == ("t1", [text("shot"), IMAGE_PART])


def test_tc15_image_moves_into_the_users_turn_elsewhere() -> None:
    images = user(result("t1", [PNG]), result("t2", [text("two"), PNG]), "and?")
    sent = after_calls(images, dialect=LLAMA_CPP)

    assert sent == [
        ("t1", "[the image follows]"),
        ("t2", "two"),
        (
            "user",
            [
                text("Image from the result of f:"),
                IMAGE_PART,
                text("Image from the result of g:"),
                IMAGE_PART,
                text("and?"),
            ],
        ),
    ]


def test_tc15_image_becomes_a_visible_note_for_a_model_that_cannot_see() -> None:
    done = translated(
        "go",
        assistant(call()),
        user(result("t1", [PNG])),
        served=model(sees=False),
    )

    assert done.messages[2]["content"] == "[image left out: this model cannot see images]"
    assert done.notes == ["replaced=image@messages.2.content.0.content.0"]


# --- system messages ------------------------------------------------------------------------------

GENTLE = msgspec.structs.replace(GENERIC, system="in_place")


def roles(*messages: Any, **options: Any) -> list[tuple[str, Any]]:
    return [(m["role"], m["content"]) for m in translated(*messages, **options).messages]


def test_sy01_system_message_stays_in_place_in_v41() -> None:
    assert roles("a", system("S"), assistant("b"), "c", system("T", "U")) == [
        ("user", "a"),
        ("system", "S"),
        ("assistant", "b"),
        ("user", "c"),
        ("system", "T\n\nU"),
    ]


def test_sy04_system_message_becomes_a_reminder_in_v4() -> None:
    """V4's encoding moves later system messages to the head, over the history."""
    assert roles("a", system("S"), assistant("b"), "c", served=model("v4")) == [
        ("user", "a\n\n<system-reminder>\nS\n</system-reminder>"),
        ("assistant", "b"),
        ("user", "c"),
    ]


@pytest.mark.parametrize("dialect", [GENERIC, GENTLE, LLAMA_CPP], ids=lambda d: d.system)
def test_trailing_system_message_is_not_the_turn_on_unknown_templates(dialect: Any) -> None:
    assert roles("a", system("S"), served=model(None), dialect=dialect) == [
        ("user", "a\n\n<system-reminder>\nS\n</system-reminder>")
    ]


def test_leading_system_messages_join_the_system_prompt_on_unknown_templates() -> None:
    assert roles(system("S"), "a", system="top", served=model(None), dialect=GENTLE) == [
        ("system", "top\n\nS"),
        ("user", "a"),
    ]


def test_empty_system_message_with_settings_is_left_out() -> None:
    quiet = {"role": "system", "content": [], "output_config": {"effort": "low"}}

    assert roles("a", quiet, assistant("b"), "c") == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]


def test_sy12_ctx_and_msg_count_as_the_user() -> None:
    messages = [{"role": "ctx", "content": "a"}, {"role": "msg", "content": "b"}]

    assert roles(*messages) == [("user", "a\n\nb")]


def test_dialect_that_demands_strings_gets_strings() -> None:
    """SY-09 and TH-08: no parts where there is only text."""
    done = translated(user("a", "b"), assistant("c", "d"), user("e"), system=[text("s"), text("t")])

    assert [m["content"] for m in done.messages] == ["s\n\nt", "a\n\nb", "c\n\nd", "e"]


def test_interrupted_turn_of_two_answers_in_a_row() -> None:
    done = translated("go", assistant(call("t1")), assistant("sorry"), "ok", dialect=DEEPSEEK)

    assert [m["role"] for m in done.messages] == ["user", "assistant", "tool", "assistant", "user"]
