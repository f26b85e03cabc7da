"""Compaction: one block with a summary, and what becomes of it when it comes back."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.request.compaction import HEAD
from deepseek_messages.translation.request.summary import INSTRUCTION
from deepseek_messages.wire.content import OutputCompactionBlock
from tests.support.answers import call, delta, plain, sse, translate
from tests.support.sse import assert_lawful
from tests.support.translating import assistant, text, translated, user

PLAN = ReplyPlan(model="m", compaction=True)


def summary_of(*frames: Any) -> str | None:
    message = fold(translate([sse(*frames)], PLAN))
    assert message.stop_reason == "compaction"
    (block,) = message.content
    assert isinstance(block, OutputCompactionBlock)
    return block.content


def test_the_answer_is_one_compaction_block() -> None:
    frames = sse(
        delta(reasoning_content="Hm."),
        delta(content="We did "),
        delta(content="this."),
        delta("stop"),
    )
    events = assert_lawful(encode_events(translate([frames], PLAN)))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[2]["delta"]["content"] == "We did this."
    assert events[4]["delta"]["stop_reason"] == "compaction"


@pytest.mark.parametrize(
    "frames",
    [
        [delta(content="We did"), delta("length")],
        [delta(content="No."), delta("content_filter")],
        [delta(reasoning_content="Hm."), delta("stop")],
        [delta(tool_calls=[call(0, "c", "f", "{}")]), delta("tool_calls")],
        [
            delta(content="I call."),
            delta(tool_calls=[call(0, "c", "f", "{}")]),
            delta("tool_calls"),
        ],
    ],
    ids=["cut off", "filtered", "no text", "call", "text and call"],
)
def test_no_whole_summary_is_null(frames: list[Any]) -> None:
    assert summary_of(*frames) is None


def test_a_broken_answer_stays_an_error() -> None:
    events = translate([sse(delta(content="We"), done=False)], PLAN)
    assert plain(events)[0] == "message_start"
    assert plain(events)[-1].startswith("error api_error")


@pytest.mark.parametrize(
    ("instructions", "asked"),
    [(None, INSTRUCTION), ("  ", INSTRUCTION), ("In one word.", "In one word.")],
)
def test_the_request_ends_in_the_question(instructions: str | None, asked: str) -> None:
    done = translated(
        user("Hi"),
        assistant(text("Hello")),
        compaction={"type": "summarize", "instructions": instructions},
    )
    assert done.sent["messages"][-1] == {"role": "user", "content": asked}
    assert done.plan.compaction
    assert "emulated=compaction@compaction" in done.notes


BLOCK = {"type": "compaction", "content": "We were brave."}


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        (
            [assistant(BLOCK), user("Go on")],
            [{"role": "user", "content": f"{HEAD}We were brave.\n\nGo on"}],
        ),
        (
            [user("Old"), assistant(BLOCK, text("Ready.")), user("Go on")],
            [
                {"role": "user", "content": f"{HEAD}We were brave."},
                {"role": "assistant", "content": "Ready."},
                {"role": "user", "content": "Go on"},
            ],
        ),
        (
            [user("Old"), assistant({"type": "compaction", "content": None}), user("Go on")],
            [
                {"role": "user", "content": "Old"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": "Go on"},
            ],
        ),
    ],
    ids=["alone", "before an answer", "failed"],
)
def test_a_summary_stands_for_what_was_before_it(messages: list[Any], sent: list[Any]) -> None:
    assert translated(*messages).sent["messages"] == sent


def test_encoded_as_the_sdk_knows_it() -> None:
    raw = encode_events(translate([sse(delta(content="Done."), delta("stop"))], PLAN)).decode()
    assert '"content_block":{"type":"compaction","content":null,"encrypted_content":null}' in raw
    assert '"delta":{"type":"compaction_delta","content":"Done.","encrypted_content":null}' in raw
