"""Context management: what is cleared, when, and what the client is told."""

import json
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.request.edits import (
    CLEARED,
    IMAGE_TOKENS,
    Edits,
    needs_count,
    plan_edits,
    read_edits,
)
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.wire.messages import MessagesRequest

TOOLS, THINKING, COMPACT = (
    "clear_tool_uses_20250919",
    "clear_thinking_20251015",
    "compact_20260112",
)
MANY = {"type": "tool_uses", "value": 1}


def count(text: str) -> int:
    return len(text)


def use(number: int, name: str = "Read") -> dict[str, Any]:
    return {"type": "tool_use", "id": f"t{number}", "name": name, "input": {"n": number}}


def result(number: int, content: Any = "x" * 100) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"t{number}", "content": content}


def history(*results: dict[str, Any], names: dict[int, str] | None = None) -> list[dict[str, Any]]:
    """A question, then one call and one result after the other."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Go."}]
    for number, found in enumerate(results, 1):
        name = (names or {}).get(number, "Read")
        messages.append({"role": "assistant", "content": [use(number, name)]})
        messages.append({"role": "user", "content": [found]})
    return messages


def request(messages: list[dict[str, Any]], *edits: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    body["context_management"] = {"edits": list(edits)}
    return parse_request(json.dumps(body).encode())


def planned(
    messages: list[dict[str, Any]],
    *edits: Any,
    tokens: int = 0,
    notes: Notes | None = None,
) -> Edits:
    notes = notes or Notes()
    asked = request(messages, *edits)
    wanted = read_edits(asked, notes)
    assert wanted is not None
    return plan_edits(asked, wanted, tokens, count, notes)


def applied(edits: Edits) -> list[dict[str, Any]]:
    assert edits.applied is not None
    return [msgspec.to_builtins(each) for each in edits.applied]


FIVE = history(*map(result, range(1, 6)))


def test_old_results_are_cleared_once_there_are_enough() -> None:
    edits = planned(FIVE, {"type": TOOLS, "trigger": MANY})
    assert edits.results == {"t1", "t2"}
    assert edits.inputs == frozenset()
    assert applied(edits) == [
        {
            "type": TOOLS,
            "cleared_tool_uses": 2,
            "cleared_input_tokens": 2 * (100 - len(CLEARED)),
        }
    ]


@pytest.mark.parametrize(("tokens", "cleared"), [(99_999, set()), (100_000, {"t1", "t2"})])
def test_by_default_the_prompt_s_size_decides(tokens: int, cleared: set[str]) -> None:
    edit = {"type": TOOLS}
    asked = request(FIVE, edit)
    wanted = read_edits(asked, Notes())
    assert wanted is not None
    assert needs_count(wanted, asked)
    assert planned(FIVE, edit, tokens=tokens).results == cleared


@pytest.mark.parametrize(
    ("settings", "cleared"),
    [
        ({"keep": {"type": "tool_uses", "value": 0}}, {"t1", "t2", "t3", "t4", "t5"}),
        ({"keep": {"type": "tool_uses", "value": 9}}, set()),
        ({"exclude_tools": ["Grep"]}, {"t1"}),
        ({"clear_at_least": {"type": "input_tokens", "value": 5_000}}, set()),
        ({"trigger": {"type": "tool_uses", "value": 6}}, set()),
        ({"trigger": {"type": "input_tokens", "value": 10}}, set()),
        ({"trigger": {"type": "input_tokens", "value": 5}}, {"t1", "t2"}),
    ],
)
def test_settings_of_clearing(settings: dict[str, Any], cleared: set[str]) -> None:
    messages = history(*map(result, range(1, 6)), names={2: "Grep"})
    edits = planned(messages, {"type": TOOLS, "trigger": MANY} | settings, tokens=5)
    assert edits.results == cleared
    assert bool(applied(edits)) is bool(cleared)


@pytest.mark.parametrize(
    ("inputs", "cleared"),
    [(True, {"t1", "t2"}), (["Grep"], {"t2"}), (False, set()), (None, set())],
)
def test_inputs_are_cleared_where_asked(inputs: Any, cleared: set[str]) -> None:
    messages = history(*map(result, range(1, 6)), names={2: "Grep"})
    edit = {"type": TOOLS, "trigger": MANY, "clear_tool_inputs": inputs}
    assert planned(messages, edit).inputs == cleared


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("x" * 50, 50),
        (None, 0),
        ([{"type": "text", "text": "x" * 50}], 50),
        ([{"type": "image", "source": {"type": "url", "url": "u"}}], IMAGE_TOKENS),
        ([{"type": "tool_reference", "tool_name": "x"}], 0),
        (
            [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x" * 60},
                }
            ],
            60,
        ),
        ([{"type": "document", "source": {"type": "content", "content": "x" * 60}}], 60),
        (
            [
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "x" * 60}]},
                }
            ],
            60,
        ),
        ([{"type": "document", "source": {"type": "url", "url": "u"}}], 0),
        (
            [
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "t",
                    "content": [{"type": "text", "text": "x" * 70}],
                }
            ],
            70,
        ),
    ],
)
def test_what_a_result_counts(content: Any, tokens: int) -> None:
    edit = {"type": TOOLS, "trigger": MANY, "keep": {"type": "tool_uses", "value": 0}}
    (told,) = applied(planned(history(result(1, content)), edit))
    assert told["cleared_input_tokens"] == max(tokens - len(CLEARED), 0)


# --- thinking -------------------------------------------------------------------------------------


def thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": ""}


THREE_TURNS: list[dict[str, Any]] = [
    {"role": "user", "content": "One."},
    {"role": "assistant", "content": [thought("aaa"), {"type": "text", "text": "1"}]},
    {"role": "user", "content": "Two."},
    {"role": "assistant", "content": [thought("bbbb"), use(1)]},
    {"role": "user", "content": [result(1)]},
    {"role": "assistant", "content": [thought("ccccc"), {"type": "text", "text": "2"}]},
    {"role": "user", "content": "Three."},
    {"role": "assistant", "content": [thought("d"), {"type": "text", "text": "3"}]},
    {"role": "user", "content": "Four."},
]


@pytest.mark.parametrize(
    ("keep", "cleared", "told"),
    [
        ("all", set(), []),
        ({"type": "all"}, set(), []),
        (None, {1, 3, 5}, [(2, 12)]),
        ({"type": "thinking_turns", "value": 1}, {1, 3, 5}, [(2, 12)]),
        ({"type": "thinking_turns", "value": 2}, {1}, [(1, 3)]),
        ({"type": "thinking_turns", "value": 5}, set(), []),
    ],
)
def test_old_thinking_is_cleared_by_turns(
    keep: Any, cleared: set[int], told: list[tuple[int, int]]
) -> None:
    edit = {"type": THINKING} if keep is None else {"type": THINKING, "keep": keep}
    edits = planned(THREE_TURNS, edit)
    assert edits.thinking == cleared
    assert [
        (each["cleared_thinking_turns"], each["cleared_input_tokens"]) for each in applied(edits)
    ] == told


def test_edits_add_up() -> None:
    edit = {"type": TOOLS, "trigger": MANY, "keep": {"type": "tool_uses", "value": 0}}
    edits = planned(THREE_TURNS, {"type": THINKING}, edit)
    assert [each["type"] for each in applied(edits)] == [THINKING, TOOLS]
    assert edits.thinking
    assert edits.results


# --- what is not done -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 5, "x", []])
def test_context_management_of_another_shape_is_no_edit(value: Any) -> None:
    asked = {"model": "m", "max_tokens": 1, "messages": FIVE, "context_management": value}
    assert read_edits(parse_request(json.dumps(asked).encode()), Notes()) is None


def test_unknown_edits_are_ignored_with_a_note() -> None:
    notes = Notes()
    edits = planned(FIVE, {"type": "clear_everything_20990101"}, {"type": TOOLS}, notes=notes)
    assert applied(edits) == []
    assert [str(note) for note in notes.entries] == [
        "ignored=context_management.edit@context_management.edits.0"
    ]


@pytest.mark.parametrize("tokens", [149_999, 150_000])
@pytest.mark.parametrize("pauses", [True, False])
def test_compaction_is_due_at_150_000_tokens(tokens: int, pauses: bool) -> None:
    notes = Notes(strict=True)
    edit = {"type": COMPACT, "pause_after_compaction": pauses}
    edits = planned(FIVE, edit, tokens=tokens, notes=notes)
    assert (edits.compact is not None) == (tokens == 150_000)
    assert notes.entries == []


def test_compaction_that_pauses_is_asked_for() -> None:
    edit = {
        "type": COMPACT,
        "pause_after_compaction": True,
        "trigger": {"type": "input_tokens", "value": 50_000},
    }
    assert planned(FIVE, edit, tokens=49_999).compact is None
    assert planned(FIVE, edit, tokens=50_000).compact is not None


def noted(messages: list[dict[str, Any]], *edits: Any, tokens: int = 0) -> list[str]:
    notes = Notes()
    planned(messages, *edits, tokens=tokens, notes=notes)
    return list(map(str, notes.entries))


def test_what_is_cleared_is_noted_once() -> None:
    clear = {"type": TOOLS, "trigger": MANY}
    assert noted(FIVE, clear) == ["emulated=context_management@context_management"]
    assert noted(FIVE, {**clear, "keep": {"type": "tool_uses", "value": 9}}) == []


def test_management_that_cannot_be_read_is_noted() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": FIVE, "context_management": 5}
    notes = Notes()
    assert read_edits(parse_request(json.dumps(body).encode()), notes) is None
    assert list(map(str, notes.entries)) == ["ignored=context_management@context_management"]


@pytest.mark.parametrize(
    ("edit", "needed"),
    [
        ({"type": COMPACT}, True),
        ({"type": TOOLS}, True),
        ({"type": TOOLS, "trigger": {"type": "input_tokens", "value": 5}}, True),
        ({"type": TOOLS, "trigger": MANY}, False),
        ({"type": TOOLS, "keep": {"type": "tool_uses", "value": 5}}, False),
        ({"type": TOOLS, "exclude_tools": ["Read"]}, False),
        ({"type": THINKING}, False),
    ],
)
def test_the_size_of_the_prompt_is_counted_where_it_decides(
    edit: dict[str, Any], needed: bool
) -> None:
    asked = request(FIVE, edit)
    wanted = read_edits(asked, Notes())
    assert wanted is not None
    assert needs_count(wanted, asked) is needed


def test_a_trigger_of_tokens_looks_at_tokens() -> None:
    edit = {"type": TOOLS, "trigger": {"type": "input_tokens", "value": 50}}
    assert planned(FIVE, edit, tokens=50).results == {"t1", "t2"}
    assert planned(FIVE, edit, tokens=49).results == frozenset()


def test_an_edit_behind_a_summary_that_is_not_due_is_made() -> None:
    edits = planned(FIVE, {"type": COMPACT}, {"type": TOOLS, "trigger": MANY}, tokens=5)
    assert edits.results == {"t1", "t2"}
    assert edits.compact is None


def test_cleared_inputs_count_as_well() -> None:
    edit = {"type": TOOLS, "trigger": MANY, "clear_tool_inputs": True}
    (told,) = applied(planned(FIVE, edit))
    assert told["cleared_input_tokens"] == 2 * (100 + len('{"n": 1}') - len(CLEARED))


def test_results_and_calls_are_looked_for_where_they_may_stand() -> None:
    odd = [
        {"role": "user", "content": [use(9), result(9)]},
        {"role": "assistant", "content": "words"},
        *FIVE[1:],
    ]
    assert planned(odd, {"type": TOOLS, "trigger": MANY}).results == {"t1", "t2"}


def test_both_kinds_of_edits_are_told_in_order() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    messages = [*FIVE]
    for question in ("a", "b", "c"):
        messages += [
            {"role": "assistant", "content": [thought, {"type": "text", "text": "x"}]},
            {"role": "system", "content": "s"},
            {"role": "user", "content": question},
        ]
    edits = planned(messages, {"type": THINKING}, {"type": TOOLS, "trigger": MANY})
    assert [each["type"] for each in applied(edits)] == [THINKING, TOOLS]
    assert edits.thinking == {11, 14}
    other = planned(messages, {"type": TOOLS, "trigger": MANY}, {"type": THINKING})
    assert [each["type"] for each in applied(other)] == [TOOLS, THINKING]


def test_thinking_in_one_turn_goes_together() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": [thought, use(1)]},
        {"role": "user", "content": [result(1)]},
        {"role": "assistant", "content": [thought]},
        {"role": "user", "content": [{"type": "text", "text": "On."}]},
        {"role": "assistant", "content": [thought]},
        {"role": "user", "content": "On."},
    ]
    edits = planned(messages, {"type": THINKING})
    assert edits.thinking == {1, 3}
    assert applied(edits)[0]["cleared_thinking_turns"] == 1
