"""Answers over several calls: what is held back, asked again and told; tools: test_round_tools."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.dialects import DEEPSEEK, VLLM
from deepseek_messages.translation.faults import Fault, FaultKind, connect, garbage
from deepseek_messages.wire.chat import ChatUsage
from deepseek_messages.wire.messages import Usage
from tests.support.answers import call, delta, plain, sse
from tests.support.rounds import play, rounds_of

S, E = "message_start", "message_stop"


def spent(prompt: int, output: int, **more: Any) -> dict[str, Any]:
    return {
        "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, **more},
    }


def called(name: str = "f", arguments: str = '{"a":1}') -> dict[str, Any]:
    return delta(tool_calls=[call(0, "c", name, arguments)])


def figures(usage: Usage) -> tuple[int, int, int]:
    return usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens


# --- forced calls ---------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
F = {"name": "f", "description": "F", "input_schema": SCHEMA}
G = {"name": "g", "input_schema": {"type": "object"}}
ANY: dict[str, Any] = {"tools": [F, G], "tool_choice": {"type": "any"}}
NAMED: dict[str, Any] = {"tools": [F, G], "tool_choice": {"type": "tool", "name": "f"}}

NO = [delta(reasoning_content="Hm."), delta(content="No."), delta("stop"), spent(10, 5)]
YES = [delta(content="ok"), called(), delta("tool_calls"), spent(20, 6)]
AS_JSON = [delta(content='{"name": "f", "argu'), delta(content='ments": {"a": 2}}'), delta("stop")]
CALLED = [S, "0+text", "0=ok", "0-", "1+tool f c", '1={"a":1}', "1-", "tool_use", E]
NOT_CALLED = "error api_error: the model did not call the tool that tool_choice asks for"


@pytest.mark.parametrize("forced", [ANY, NAMED])
def test_a_forced_call_that_comes_is_the_answer(forced: dict[str, Any]) -> None:
    done = play(YES, **forced)
    assert done.plain == CALLED
    assert figures(done.usage) == (20, 0, 6)
    assert done.notes == []


@pytest.mark.parametrize(
    ("forced", "words"),
    [
        (ANY, "hi\n\nCall one of the tools now. Do not answer in text."),
        (NAMED, "hi\n\nCall the tool f now. Do not answer in text."),
    ],
)
def test_a_second_try_asks_in_words_and_the_first_is_not_seen(
    forced: dict[str, Any], words: str
) -> None:
    done = play(NO, YES, **forced)
    assert done.plain == CALLED
    assert figures(done.usage) == (30, 0, 11)
    assert done.notes == ["emulated=tool_choice@tool_choice"]
    first, second = done.asked
    assert second == {**first, "messages": [{"role": "user", "content": words}]}


def test_a_second_try_does_not_think() -> None:
    thinking = {"type": "adaptive"}
    done = play(NO, YES, dialect=VLLM, thinking=thinking, **ANY)
    settings = [asked["chat_template_kwargs"]["thinking"] for asked in done.asked]
    assert settings == [True, False]
    assert done.plain == CALLED


def test_words_stand_by_themselves_behind_an_image() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}}
    messages = [{"role": "user", "content": [image]}]
    done = play(NO, YES, dialect=VLLM, messages=messages, **NAMED)
    assert done.asked[1]["messages"][-1] == {
        "role": "user",
        "content": "Call the tool f now. Do not answer in text.",
    }
    assert done.asked[1]["messages"][:-1] == done.asked[0]["messages"]


CALL_OF_F = {
    "type": "object",
    "description": "F",
    "properties": {"name": {"const": "f"}, "arguments": SCHEMA},
    "required": ["name", "arguments"],
}
CALL_OF_G = {
    "type": "object",
    "description": "",
    "properties": {"name": {"const": "g"}, "arguments": {"type": "object"}},
    "required": ["name", "arguments"],
}


def test_a_third_try_asks_for_the_call_as_json() -> None:
    done = play(NO, NO, [*AS_JSON, spent(30, 7)], **ANY)
    assert done.plain == [S, "0+tool f call_3", '0={"a": 2}', "0-", "tool_use", E]
    assert figures(done.usage) == (50, 0, 17)
    first, _, third = done.asked
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & third.keys()
    assert third["response_format"] == {"type": "json_object"}
    assert third["thinking"] == {"type": "disabled"}
    asked = third["messages"][-1]["content"]
    assert asked.startswith("hi\n\nCall one of the tools now.")
    assert "Call a tool now. Write the call as JSON.\nAnswer with one JSON value" in asked
    assert json.loads(asked[asked.index('{"anyOf"') :]) == {"anyOf": [CALL_OF_F, CALL_OF_G]}
    assert {**first, "messages": None}.keys() - third.keys() == {"tools", "tool_choice"}


def test_a_named_call_as_json_is_held_to_its_schema_where_the_upstream_can() -> None:
    done = play(NO, NO, AS_JSON, dialect=VLLM, **NAMED)
    assert done.plain[1] == "0+tool f call_3"
    assert done.asked[2]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "call", "schema": CALL_OF_F},
    }


def answer(text: str) -> list[Any]:
    return [delta(content=text), delta("stop")]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f", "arguments": {"a": "x"}}',
        '{"name": "h", "arguments": {"a": 1}}',
        '{"name": "f"}',
        '{"arguments": {"a": 1}}',
        "[]",
        "5",
        "I would rather not.",
    ],
)
def test_json_that_is_no_call_is_a_fault(text: str) -> None:
    assert play(NO, NO, answer(text), **ANY).plain == [S, NOT_CALLED]


def test_json_with_words_around_it_is_a_call() -> None:
    done = play(NO, NO, answer('Sure: {"name": "f", "arguments": {"a": 3}}!'), **ANY)
    assert done.plain[1:3] == ["0+tool f call_3", '0={"a": 3}']


def test_letters_of_the_arguments_stay_as_they_are() -> None:
    done = play(NO, NO, answer('{"name": "g", "arguments": {"s": "中"}}'), **ANY)
    assert done.plain[1:3] == ["0+tool g call_3", '0={"s": "中"}']


def test_an_upstream_without_json_gets_two_tries() -> None:
    plain_text = replace(DEEPSEEK, json_object=False, json_schema=False)
    done = play(NO, NO, dialect=plain_text, **ANY)
    assert done.plain == [S, NOT_CALLED]
    assert len(done.asked) == 2


@pytest.mark.parametrize("one", [{"json_object": True}, {"json_schema": True}])
def test_either_kind_of_json_is_enough_for_a_third(one: dict[str, bool]) -> None:
    either = replace(DEEPSEEK, **{"json_object": False, "json_schema": False, **one})
    assert play(NO, NO, AS_JSON, dialect=either, **ANY).plain[1] == "0+tool f call_3"


@pytest.mark.parametrize(
    ("finish", "stop"), [("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_an_end_that_explains_itself_is_no_reason_to_ask_again(finish: str, stop: str) -> None:
    done = play([delta(content="a"), delta(finish)], **ANY)
    assert done.plain == [S, "0+text", "0=a", "0-", stop, E]


def test_a_call_of_another_tool_is_none() -> None:
    done = play([called("g", "{}"), delta("tool_calls")], YES, **NAMED)
    assert done.plain[3:5] == ["0-", "1+tool f toolu_e4a594c3752763f5456d9855"]  # c was used up
    assert play([called("h", "{}"), delta("tool_calls")], YES, **ANY).plain[:4] == CALLED[:4]


def test_a_renamed_tool_is_the_right_one() -> None:
    named = {"tools": [{**G, "name": "a b"}], "tool_choice": {"type": "tool", "name": "a b"}}
    sent = play(NO, NO, answer(""), **named).asked[0]["tools"][0]["function"]["name"]
    done = play([called(sent, "{}"), delta("tool_calls")], **named)
    assert done.plain[1:3] == ["0+tool a b c", "0={}"]
    anyone = {**named, "tool_choice": {"type": "any"}}
    assert play([called(sent, "{}"), delta("tool_calls")], **anyone).plain == done.plain


def test_what_follows_the_right_call_is_shown_as_it_comes() -> None:
    rounds, _ = rounds_of(**ANY)
    frames = [delta(reasoning_content="Hm."), delta(content="ok"), called(), called("", "")]
    seen = [
        plain([event for chunk in ChunkReader().feed(sse(frame)) for event in rounds.feed(chunk)])
        for frame in frames
    ]
    assert [len(each) for each in seen] == [1, 0, 9, 0]
    assert seen[0] == [S]


class TestFailure:
    def test_a_call_that_is_none_is_made_again_while_nothing_was_seen(self) -> None:
        rounds, _ = rounds_of(**ANY)
        rounds.start()
        assert not rounds.retry(connect("x"))
        assert rounds.retry(garbage("x"))
        assert rounds.retry(garbage("x"))
        assert not rounds.retry(garbage("x"))

    def test_what_was_seen_is_not_made_again(self) -> None:
        rounds, _ = rounds_of(**ANY)
        for chunk in ChunkReader().feed(sse(called("f", "{"))):
            rounds.feed(chunk)
        assert not rounds.retry(garbage("x"))

    def test_structured_output_is_not_made_again_for_garbage(self) -> None:
        assert not rounds_of(output_config=FORMAT)[0].retry(garbage("x"))

    def test_nothing_that_was_held_back_is_shown(self) -> None:
        rounds, _ = rounds_of(**ANY)
        for chunk in ChunkReader().feed(sse(delta(content="No."))):
            rounds.feed(chunk)
        assert plain(rounds.fail(garbage("x"))) == ["error api_error: x"]

    def test_a_failure_between_two_calls_is_told(self) -> None:
        rounds, _ = rounds_of(**ANY)
        for chunk in ChunkReader().feed(sse(*NO)):
            rounds.feed(chunk)
        assert rounds.finish() == []
        assert plain(rounds.fail(garbage("x"))) == ["error api_error: x"]
        assert rounds.need.value == "ended"


# --- structured output ----------------------------------------------------------------------------

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORMAT = {"format": {"type": "json_schema", "schema": NUMBER}}
BAD = [delta(content='{"n":'), delta(content='"x"}'), delta("stop"), spent(9, 3)]
GOOD = [delta(content='```json\n{"n":'), delta(content="1}\n```"), delta("stop"), spent(19, 4)]


def test_valid_text_goes_out_as_json_alone() -> None:
    done = play(GOOD, output_config=FORMAT)
    assert done.plain == [S, "0+text", '0={"n":1}', "0-", "end_turn", E]
    assert figures(done.usage) == (19, 0, 4)


def test_reasoning_before_it_is_shown_as_it_comes() -> None:
    done = play([delta(reasoning_content="Hm."), *GOOD], output_config=FORMAT)
    assert done.plain[1:3] == ["0+thinking", "0=Hm."]
    assert done.plain[-5:] == ["1+text", '1={"n":1}', "1-", "end_turn", E]


def test_reasoning_that_is_not_wanted_is_sealed_and_not_shown() -> None:
    done = play(
        [delta(reasoning_content="Hm."), *GOOD],
        output_config=FORMAT,
        thinking={"type": "adaptive", "display": "omitted"},
    )
    assert done.plain[1] == "0+thinking"
    assert done.plain[2].startswith("0~dsm1.")
    assert done.plain[3] == "0-"


def test_text_that_does_not_fit_is_written_anew() -> None:
    done = play(BAD, GOOD, output_config=FORMAT)
    assert done.plain == [S, "0+text", '0={"n":1}', "0-", "end_turn", E]
    assert figures(done.usage) == (28, 0, 7)
    assert done.notes[1:] == ["emulated=output_config.format.repair@output_config.format"]
    first, second = done.asked
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": '{"n":"x"}'},
        {
            "role": "user",
            "content": "That is not valid JSON for the schema:\n"
            '- /n: "x" is not of type "integer"\n'
            "Answer again, with the corrected JSON and nothing else.",
        },
    ]
    assert {**second, "messages": first["messages"]} == first


def test_text_that_never_fits_is_a_fault() -> None:
    done = play(BAD, BAD, output_config=FORMAT)
    why = 'the answer does not fit the schema: /n: "x" is not of type "integer"'
    assert done.plain == [S, f"error api_error: {why}"]


def test_text_that_the_limit_cut_off_is_given_as_it_is() -> None:
    done = play([delta(content='{"n":'), delta("length")], output_config=FORMAT)
    assert done.plain == [S, "0+text", '0={"n":', "0-", "max_tokens", E]


def test_an_upstream_that_holds_itself_to_the_schema_streams() -> None:
    frames = [delta(content='{"n":'), delta(content="1}"), delta("stop")]
    done = play(frames, output_config=FORMAT, dialect=VLLM, stream=True)
    assert done.plain == [S, "0+text", '0={"n":', "0=1}", "0-", "end_turn", E]
    whole = play(frames, output_config=FORMAT, dialect=VLLM)
    assert whole.plain == [S, "0+text", '0={"n":1}', "0-", "end_turn", E]


def test_what_was_streamed_cannot_be_written_anew() -> None:
    done = play(BAD, output_config=FORMAT, dialect=VLLM, stream=True)
    assert done.plain[:-1] == [S, "0+text", '0={"n":', '0="x"}', "0-"]
    assert done.plain[-1].startswith("error api_error: the answer does not fit the schema: /n:")


def test_a_call_instead_of_the_text_is_the_answer() -> None:
    done = play(YES, output_config=FORMAT, tools=[F])
    assert done.plain == CALLED


# --- usage ----------------------------------------------------------------------------------------


def test_usage_is_the_sum_of_all_calls() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 2}}
    first = [delta(content="No."), delta("stop"), spent(10, 5, prompt_cache_hit_tokens=4)]
    second = [called(), delta("tool_calls"), spent(20, 6, prompt_cache_hit_tokens=8, **details)]
    done = play(first, second, **ANY)
    assert figures(done.usage) == (18, 12, 11)
    assert done.usage.output_tokens_details.thinking_tokens == 2  # type: ignore[union-attr]


def test_the_counted_prompt_stands_for_the_first_call_only() -> None:
    untold = [delta(content="a" * 10), delta("stop")]
    done = play(untold, [called(), delta("tool_calls")], **ANY)
    assert figures(done.usage) == (7, 0, 6)


def test_so_far_counts_every_call_once() -> None:
    rounds, _ = rounds_of(**ANY)
    assert rounds.so_far() is None
    seen = []
    for script in (NO, YES):
        for frame in script:
            for chunk in ChunkReader().feed(sse(frame, done=False)):
                rounds.feed(chunk)
        before = rounds.so_far()
        rounds.finish()
        after = rounds.so_far()
        assert before is not None
        assert after is not None
        seen += [figures(before), figures(after)]
    assert seen == [(10, 0, 5), (10, 0, 5), (30, 0, 11), (30, 0, 11)]


def test_counted_figures_stand_in_for_what_the_upstream_does_not_tell() -> None:
    rounds, _ = rounds_of(output_config=FORMAT)
    for chunk in ChunkReader().feed(sse(delta(content='{"n":1}'), delta("stop"))):
        rounds.feed(chunk)
    rounds.finish(ChatUsage(prompt_tokens=50, completion_tokens=5))
    found = rounds.so_far()
    assert found is not None
    assert figures(found) == (50, 0, 5)


def test_complete_is_the_present_calls() -> None:
    rounds, _ = rounds_of(**ANY)
    assert not rounds.complete
    for chunk in ChunkReader().feed(sse(*NO)):
        rounds.feed(chunk)
    assert rounds.complete
    rounds.finish()
    assert not rounds.complete


def test_the_last_failed_try_raises() -> None:
    rounds, _ = rounds_of(dialect=replace(DEEPSEEK, json_object=False), **ANY)
    for _ in range(2):
        for chunk in ChunkReader().feed(sse(*NO)):
            rounds.feed(chunk)
        if rounds._tries:
            with pytest.raises(Fault, match="did not call"):
                rounds.finish()
        else:
            assert rounds.finish() == []


def test_a_failure_to_do_what_was_asked_is_the_upstreams_garbage() -> None:
    for script, fields in ((NO, ANY), (answer("x"), {"output_config": FORMAT})):
        rounds, _ = rounds_of(dialect=replace(DEEPSEEK, json_object=False), **fields)
        with pytest.raises(Fault) as raised:  # noqa: PT012 - the last of two tries
            for _ in range(2):
                for chunk in ChunkReader().feed(sse(*script)):
                    rounds.feed(chunk)
                rounds.finish()
        assert raised.value.kind is FaultKind.GARBAGE


def test_json_that_is_no_call_is_the_upstreams_garbage() -> None:
    rounds, _ = rounds_of(**ANY)
    with pytest.raises(Fault) as raised:  # noqa: PT012 - the last of three tries
        for _ in range(3):
            for chunk in ChunkReader().feed(sse(*NO)):
                rounds.feed(chunk)
            rounds.finish()
    assert raised.value.kind is FaultKind.GARBAGE


def test_all_problems_of_an_answer_are_told() -> None:
    schema = {"type": "object", "required": ["n", "m"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    done = play(answer("{}"), answer("{}"), output_config=config)
    assert '/: "n" is a required property; /: "m" is a required property' in done.plain[-1]
