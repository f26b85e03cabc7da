import json
from typing import Any

import pytest

from deepseek_messages.translation.answer.response import chunks_of, decode_answer, fold
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault, FaultKind, garbage
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.content import OutputTextBlock, OutputThinkingBlock, OutputToolUseBlock
from deepseek_messages.wire.events import MessageStop, Ping
from deepseek_messages.wire.messages import Message
from tests.support.answers import call, delta, sse, translate


def whole(finish: str = "stop", usage: Any = None, **message: Any) -> bytes:
    body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    return json.dumps(body | ({"usage": usage} if usage else {})).encode()


def message(body: bytes, **fields: Any) -> Message:
    plan = ReplyPlan(model="deepseek-chat", **fields)
    stream = MessageStream(plan, "msg_test", prompt_tokens=7, seal=None)
    events = [event for chunk in chunks_of(decode_answer(body)) for event in stream.feed(chunk)]
    return fold(events + stream.finish())


def test_a_whole_answer() -> None:
    body = whole(
        "tool_calls",
        {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "completion_tokens": 5},
        role="assistant",
        reasoning_content="hm",
        content="Hi",
        tool_calls=[call(0, "c", "f", '{"a": 1}'), call(0, "d", "g", "{}")],
    )
    answer = message(body)
    assert [
        (type(block), getattr(block, "text", getattr(block, "thinking", None)))
        for block in answer.content
    ][:2] == [(OutputThinkingBlock, "hm"), (OutputTextBlock, "Hi")]
    calls = answer.content[2:]
    assert [(c.id, c.name, bytes(c.input)) for c in calls if isinstance(c, OutputToolUseBlock)] == [
        ("c", "f", b'{"a": 1}'),
        ("d", "g", b"{}"),
    ]
    assert answer.stop_reason == "tool_use"
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (6, 4)


def test_blank_lines_before_the_answer() -> None:
    assert message(b"\n\r\n \n" + whole(content="Hi")).stop_reason == "end_turn"


def test_calls_without_index_and_id() -> None:
    body = whole("tool_calls", content=None, tool_calls=[call(None, None, "f", "{}")] * 2)
    ids = [block.id for block in message(body).content if isinstance(block, OutputToolUseBlock)]
    assert len(set(ids)) == 2


def test_arguments_as_an_object() -> None:
    body = whole("tool_calls", tool_calls=[call(None, "c", "f", {"a": 1})])
    (block,) = message(body).content
    assert isinstance(block, OutputToolUseBlock)
    assert json.loads(bytes(block.input)) == {"a": 1}


def test_sr_08_the_limit_inside_the_arguments_gives_what_is_complete() -> None:
    body = whole("length", tool_calls=[call(0, "c", "f", '{"a": 1, "b": "x')])
    answer = message(body)
    (block,) = answer.content
    assert isinstance(block, OutputToolUseBlock)
    assert bytes(block.input) == b'{"a": 1}'
    assert answer.stop_reason == "max_tokens"


def test_leaked_mark_up_in_a_whole_answer() -> None:
    text = '<｜DSML｜invoke name="f">\n</｜DSML｜invoke>'
    answer = message(whole(content=text), tools=frozenset({"f"}))
    assert [type(block) for block in answer.content] == [OutputToolUseBlock]
    assert answer.stop_reason == "tool_use"


def test_an_answer_without_choices_is_a_cut() -> None:
    with pytest.raises(Fault) as raised:
        message(b'{"choices": []}')
    assert raised.value.kind is FaultKind.CUT


@pytest.mark.parametrize(
    "body",
    [b'{"error": {"message": "No", "code": 500}}', b'{"object": "error", "message": "No"}'],
)
def test_an_error_in_a_200(body: bytes) -> None:
    with pytest.raises(Fault, match="No") as raised:
        message(body)
    assert raised.value.kind is FaultKind.REPORTED


@pytest.mark.parametrize("body", [b"", b"\n\n", b"<html>", b"[]", b"null", b'{"choices": 1}'])
def test_what_is_no_answer_is_garbage(body: bytes) -> None:
    with pytest.raises(Fault) as raised:
        decode_answer(body)
    assert raised.value.kind is FaultKind.GARBAGE


def test_only_the_first_choice_counts() -> None:
    answer = json.loads(whole(content="Hi"))
    answer["choices"] += json.loads(whole(content="no"))["choices"]
    (block,) = message(json.dumps(answer).encode()).content
    assert block == OutputTextBlock(text="Hi")


def test_the_chunks_of_an_answer_carry_what_it_says_of_itself() -> None:
    body = json.loads(whole(content="Hi", usage={"prompt_tokens": 1}))
    said, told = chunks_of(decode_answer(json.dumps(body | {"id": "i", "model": "m"}).encode()))
    assert [(chunk.id, chunk.model) for chunk in (said, told)] == [("i", "m")] * 2
    assert said.usage is None
    assert (told.choices, told.usage is None) == ([], False)


def test_an_answer_that_is_an_error_is_one_chunk() -> None:
    (chunk,) = chunks_of(decode_answer(b'{"error": "x"}'))
    assert bytes(chunk.error) == b'"x"'  # type: ignore[arg-type]
    assert chunks_of(decode_answer(b"{}")) == []


def test_an_error_beside_an_answer_is_an_error() -> None:
    body = json.loads(whole(content="Hi")) | {"error": "boom"}
    with pytest.raises(Fault, match="boom"):
        message(json.dumps(body).encode())


def test_the_stop_that_matched_is_read() -> None:
    for name in ("stop_reason", "matched_stop"):
        body = json.loads(whole(content="Hi"))
        body["choices"][0][name] = "END"
        answer = message(
            json.dumps(body).encode(), stop_sequences=("END",), reports_stop_string=True
        )
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "END")


class TestFold:
    def test_pings_change_nothing(self) -> None:
        events = translate([sse(delta(content="Hi"), delta("stop"))])
        assert fold([events[0], Ping(), *events[1:]]) == fold(events)

    def test_a_failed_stream_raises_its_fault(self) -> None:
        events = translate([sse(delta("insufficient_system_resource"))])
        with pytest.raises(Fault) as raised:
            fold(events)
        assert (raised.value.status, raised.value.error_type) == (529, "overloaded_error")

    def test_an_api_error_is_502(self) -> None:
        stream = MessageStream(ReplyPlan(model="m"), "msg", prompt_tokens=None, seal=None)
        with pytest.raises(Fault) as raised:
            fold(stream.fail(garbage("x")))
        assert raised.value.status == 502

    @pytest.mark.parametrize("events", [[], [MessageStop()]])
    def test_a_stream_without_its_end_is_a_cut(self, events: list[Any]) -> None:
        with pytest.raises(Fault) as raised:
            fold(events)
        assert raised.value.kind is FaultKind.CUT
