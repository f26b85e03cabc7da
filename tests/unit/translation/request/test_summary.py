"""Asking for a summary, and what the answer goes on from."""

from typing import Any

import pytest
from msgspec.structs import replace

from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.request.edits import NO_EDITS, Compact
from deepseek_messages.translation.request.summary import (
    INSTRUCTION,
    QUESTION_TOKENS,
    SUMMARY_TOKENS,
)
from tests.support.translating import (
    assistant,
    call,
    model,
    result,
    tool,
    translated,
    user,
)

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
ASKS = {"compaction": {"type": "summarize"}}
PAUSES = {"edits": replace(NO_EDITS, compact=Compact(pause_after_compaction=True), applied=())}
GOES_ON = {"edits": replace(NO_EDITS, compact=Compact(), applied=())}


@pytest.mark.parametrize("asks", [ASKS, PAUSES, GOES_ON], ids=["field", "edit", "and goes on"])
@pytest.mark.parametrize(
    "shape",
    [
        {"stop_sequences": ["END"]},
        {"output_config": {"format": FORMAT}},
        {"output_format": FORMAT},
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "f"}},
    ],
    ids=str,
)
def test_what_shapes_an_answer_is_no_part_of_its_summary(
    asks: dict[str, Any], shape: dict[str, Any]
) -> None:
    plain = translated(user("Hi"), tools=[tool()], **asks)
    assert translated(user("Hi"), tools=[tool()], **asks, **shape).sent == plain.sent


@pytest.mark.parametrize("asks", [ASKS, PAUSES, GOES_ON], ids=["field", "edit", "and goes on"])
def test_what_the_caller_chose_besides_holds_for_the_summary(asks: dict[str, Any]) -> None:
    done = translated(
        user("Hi"),
        tools=[tool()],
        tool_choice={"type": "none"},
        thinking={"type": "adaptive"},
        output_config={"effort": "max", "format": FORMAT},
        **asks,
    )
    assert done.sent["reasoning_effort"] == "max"
    assert "tools" not in done.sent  # as in any answer that is to call none


@pytest.mark.parametrize(
    ("asks", "place"),
    [(ASKS, "compaction"), (PAUSES, "context_management"), (GOES_ON, "context_management")],
    ids=["field", "edit", "and goes on"],
)
def test_the_summary_is_noted_where_it_was_asked_for(asks: dict[str, Any], place: str) -> None:
    done = translated(user("Hi"), **asks)
    assert done.notes.count(f"emulated=compaction@{place}") == 1
    assert done.messages[-1] == {"role": "user", "content": f"Hi\n\n{INSTRUCTION}"}


WINDOW = 50_000
MOST = WINDOW - QUESTION_TOKENS


@pytest.mark.parametrize(
    ("prompt", "asked", "given"),
    [
        (MOST - SUMMARY_TOKENS, 100, SUMMARY_TOKENS),
        (MOST - SUMMARY_TOKENS + 1, 100, SUMMARY_TOKENS - 1),
        (MOST - 150, 100, 150),
        (MOST, 100, 100),
        (WINDOW, 100, 100),
        (0, 30_000, 30_000),
    ],
)
def test_a_summary_has_room_where_there_is_some(prompt: int, asked: int, given: int) -> None:
    edits = replace(NO_EDITS, compact=Compact(), applied=(), tokens=prompt)
    served = model(context_window=WINDOW, max_output_tokens=WINDOW)
    done = translated(user("Hi"), edits=edits, served=served, max_tokens=asked)
    assert done.sent["max_tokens"] == given


def following(summary: str | None) -> Translation:
    done = translated(
        user("Hi"), assistant(call("t1")), user(result("t1")), tools=[tool()], **GOES_ON
    )
    assert done.rounds is not None
    assert done.rounds.follow is not None
    return done.rounds.follow(summary)


@pytest.mark.parametrize("summary", ["We met.", None], ids=["a summary", "none"])
def test_what_follows_repeats_no_id_of_the_conversation(summary: str | None) -> None:
    after = following(summary)
    assert after.plan.used_tool_ids == {"t1"}
    assert after.chat.max_tokens == 100
    assert after.rounds is not None
