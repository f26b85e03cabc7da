"""Chunks made of scripted content."""

import json

import pytest

from deepseek_messages.upstreams.double.generate import Generator, ScriptError
from deepseek_messages.upstreams.double.rules import check_request
from deepseek_messages.upstreams.double.script import Call, Text, Think

PROPERTIES = {"a": {"type": "string"}, "b": {"type": "array"}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": PROPERTIES}},
}
OFF = {"type": "disabled"}
MODELS = ["deepseek-flash", "deepseek-v4-pro"]


class Answered:
    """What a generator made of steps, folded as a client folds it."""

    def __init__(self, *steps, reason=None, **fields):
        body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "json"}]}
        accepted = check_request(json.dumps(body | fields).encode(), beta=True)
        generator = Generator(accepted, 0, steps)
        texts = list(generator.start())
        for step in steps:
            texts += generator.content(step)
        texts += generator.finish(reason)
        self.chunks = [json.loads(text) for text in texts]
        self.deltas = [chunk["choices"][0]["delta"] for chunk in self.chunks]
        self.whole = json.loads(generator.whole())
        self.last = self.chunks[-1]
        self.usage = self.last["usage"]
        self.reason = self.last["choices"][0]["finish_reason"]
        self.reasoning = "".join(delta.get("reasoning_content") or "" for delta in self.deltas)
        self.content = "".join(delta.get("content") or "" for delta in self.deltas)
        self.calls = {}
        for delta in self.deltas:
            for call in delta.get("tool_calls") or ():
                function = call["function"]
                known = self.calls.setdefault(call["index"], [function.get("name"), ""])
                known[1] += function["arguments"]


def test_text_alone():
    answered = Answered(Text("Hello 😀, 你好"), thinking=OFF)
    assert (answered.content, answered.reasoning, answered.reason) == ("Hello 😀, 你好", "", "stop")
    assert answered.deltas[0] == {"role": "assistant", "content": ""}
    assert not any("reasoning_content" in delta for delta in answered.deltas)


def test_reasoning_then_text():
    answered = Answered(Think("Let me see."), Text("Hello"))
    assert (answered.reasoning, answered.content) == ("Let me see.", "Hello")
    assert answered.deltas[0] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "",
    }


def test_reasoning_is_left_out_when_thinking_is_off():
    answered = Answered(Think("Let me see."), Text("Hello"), thinking=OFF)
    assert (answered.reasoning, answered.content) == ("", "Hello")


def test_usage_is_on_the_last_choice_chunk_only():
    answered = Answered(Think("one two"), Text("three"))
    assert [chunk.get("usage") for chunk in answered.chunks[:-1]] == [None] * (
        len(answered.chunks) - 1
    )
    usage = answered.usage
    assert usage["prompt_tokens"] == 31
    assert usage["completion_tokens"] == 4  # two of reasoning, its end, one of text
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert usage["total_tokens"] == 35
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == 31


def test_reasoning_tokens_are_absent_without_thinking():
    assert "completion_tokens_details" not in Answered(Text("a"), thinking=OFF).usage


@pytest.mark.parametrize("model", MODELS)
def test_parallel_calls_in_each_models_markup(model):
    answered = Answered(
        Think("t"),
        Text("I call."),
        Call("f", '{"a":"x < \\"y\\"\\n","b":[1,{"c":null}]}'),
        Call("f"),
        tools=[TOOL],
        model=model,
    )
    assert answered.reason == "tool_calls"
    assert answered.content == "I call."
    assert [name for name, _ in answered.calls.values()] == ["f", "f"]
    arguments = [json.loads(text) for _, text in answered.calls.values()]
    assert arguments == [{"a": 'x < "y"\n', "b": [1, {"c": None}]}, {}]


@pytest.mark.parametrize("model", MODELS)
def test_a_forced_call(model):
    answered = Answered(
        Call("f", '{"a":"x"}'), tools=[TOOL], tool_choice="required", thinking=OFF, model=model
    )
    assert list(answered.calls.values()) == [["f", '{"a": "x"}']]


@pytest.mark.parametrize("arguments", ['{"a": "x', "", "[1]", '{"a":"｜DSML｜"}', '{ "a":1 }'])
def test_verbatim_arguments_go_out_byte_for_byte(arguments):
    answered = Answered(Text("t"), Call("f", arguments, verbatim=True, piece=2), tools=[TOOL])
    assert list(answered.calls.values()) == [["f", arguments]]
    assert answered.reason == "tool_calls"
    assert answered.whole["choices"][0]["message"]["tool_calls"][0]["function"] == {
        "name": "f",
        "arguments": arguments,
    }


def test_arguments_that_markup_cannot_carry_are_verbatim_by_themselves():
    answered = Answered(Call("f", '{"a": "x'), Call("f", '{"a":1}'), tools=[TOOL])
    assert list(answered.calls.values()) == [["f", '{"a": "x'], ["f", '{"a":1}']]


def test_verbatim_calls_count_as_output():
    plain = Answered(Think("t"), tools=[TOOL]).usage["completion_tokens"]
    calling = Answered(Think("t"), Call("f", "{", verbatim=True), tools=[TOOL]).usage
    assert calling["completion_tokens"] == plain + 2
    assert calling["total_tokens"] == calling["prompt_tokens"] + calling["completion_tokens"]


@pytest.mark.parametrize(
    "reason", ["stop", "length", "content_filter", "insufficient_system_resource", "aborted"]
)
def test_every_finish_reason(reason):
    answered = Answered(Text("a"), reason=reason)
    assert answered.reason == reason
    assert answered.whole["choices"][0]["finish_reason"] == reason
    assert answered.usage["prompt_tokens"] == 31


def test_max_tokens_ends_the_answer():
    answered = Answered(Text("one two three four"), thinking=OFF, max_tokens=2)
    assert (answered.content, answered.reason) == ("one two", "length")
    assert answered.usage["completion_tokens"] == 2


def test_max_tokens_can_leave_only_reasoning():
    answered = Answered(Think("one two three"), Text("four"), max_tokens=2)
    assert (answered.reasoning, answered.content, answered.reason) == ("one two", "", "length")


def test_max_tokens_can_break_arguments():
    answered = Answered(
        Call("f", '{"a":"one two three four"}'), tools=[TOOL], thinking=OFF, max_tokens=25
    )
    assert answered.reason == "length"
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(answered.calls[0][1])


def test_a_stop_sequence_ends_the_answer():
    answered = Answered(Text("one two END three"), Text("four"), thinking=OFF, stop=["END"])
    assert (answered.content, answered.reason) == ("one two ", "stop")


def test_a_prefix_is_continued():
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "Hel", "prefix": True},
    ]
    assert Answered(Text("lo"), messages=messages).content == "lo"


def test_the_whole_answer_says_what_the_chunks_say():
    answered = Answered(Think("t"), Text("c"), Call("f", '{"a":"x"}'), tools=[TOOL])
    message = answered.whole["choices"][0]["message"]
    assert answered.whole["object"] == "chat.completion"
    assert (message["reasoning_content"], message["content"]) == ("t", "c")
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": "x"}'}
    assert answered.whole["usage"] == answered.usage


def test_call_ids_have_deepseeks_form():
    answered = Answered(Call("f"), Call("f"), tools=[TOOL])
    ids = [
        call["id"]
        for delta in answered.deltas
        for call in delta.get("tool_calls") or ()
        if "id" in call
    ]
    assert [identity[:8] for identity in ids] == ["call_00_", "call_01_"]


@pytest.mark.parametrize("steps", [[Text("a"), Think("b")], [Call("f"), Text("a")]])
def test_orders_that_no_model_follows_are_errors(steps):
    with pytest.raises(ScriptError):
        Answered(*steps, tools=[TOOL])
