"""The commonest whole answer, at once; anything else is left to the stream of events."""

from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.translation.answer.whole import whole_message
from deepseek_messages.translation.citing.sources import Source
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import (
    AnswerChoice,
    ChatAnswer,
    ChatDelta,
    ChatUsage,
    ToolCallDelta,
)
from deepseek_messages.wire.content import OutputTextBlock, OutputThinkingBlock
from deepseek_messages.wire.messages import ClearedThinking, ContextManagement, Message
from tests.support.answers import FakeSeal


def answer(finish: str | None = "stop", /, **said: Any) -> ChatAnswer:
    choice = AnswerChoice(message=ChatDelta(**said), finish_reason=finish)
    return ChatAnswer(choices=[choice], usage=ChatUsage(prompt_tokens=9))


def made(given: ChatAnswer, *, seal: Any = None, **plan: Any) -> Message | None:
    return whole_message(given, ReplyPlan(model="m", **plan), "id", seal=seal)


def test_text_is_the_answer() -> None:
    message = made(answer(content="a" * 10))
    assert message is not None
    assert (message.id, message.model) == ("id", "m")
    assert message.content == [OutputTextBlock(text="a" * 10)]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 3)
    cut = made(answer("length", content="a"))
    assert cut is not None
    assert cut.stop_reason == "max_tokens"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_stands_before_it(field: str) -> None:
    given = answer(content="a" * 10, **{field: "b" * 10})
    message = made(given)
    assert message is not None
    assert message.content[0] == OutputThinkingBlock(thinking="b" * 10, signature="")
    assert message.usage.output_tokens == 6
    hidden = made(given, seal=FakeSeal(), display="omitted")
    assert hidden is not None
    sealed = FakeSeal().seal("b" * 10)
    assert hidden.content[0] == OutputThinkingBlock(thinking="", signature=sealed)


@pytest.mark.parametrize("edits", [(), (ClearedThinking(1, 2),)])
def test_what_was_left_out_is_told(edits: tuple[ClearedThinking, ...]) -> None:
    message = made(answer(content="a"), applied_edits=edits)
    assert message is not None
    assert message.context_management == ContextManagement(edits)


LEFT: dict[str, ChatAnswer] = {
    "an error": ChatAnswer(choices=answer(content="a").choices, error=Raw(b"1")),
    "no choice": ChatAnswer(choices=[]),
    "no message": ChatAnswer(choices=[AnswerChoice(finish_reason="stop")]),
    "no end": answer(None, content="a"),
    "another end": answer("content_filter", content="a"),
    "a call": answer(content="a", tool_calls=[ToolCallDelta(0)]),
    "a refusal": answer(content="a", refusal="no"),
    "no text": answer(content=""),
    "blanks": answer(content=" \n"),
    "what may be a tag": answer(content="a < b"),
}


@pytest.mark.parametrize("given", LEFT.values(), ids=LEFT)
def test_another_answer_is_left(given: ChatAnswer) -> None:
    assert made(given) is None


PLANS: list[dict[str, Any]] = [
    {"stop_sequences": ("x",)},
    {"watch_stops": ("x",)},
    {"prefill": "x"},
    {"starts_thinking": True},
    {"sources": (Source(kind="text", index=0, title=None, first=1, passages=()),)},
    {"compaction": True},
    {"no_output": True},
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_an_answer_that_needs_a_look_is_left(plan: dict[str, Any]) -> None:
    assert made(answer(content="a"), **plan) is None
    assert made(answer(content="a"), tools=frozenset({"f"}), thinking=True) is not None


def test_an_answer_that_is_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.translation.answer.whole.MAX_ANSWER_BYTES", 5)
    assert made(answer(content="abc", reasoning="de")) is not None
    assert made(answer(content="abc", reasoning="def")) is None
