"""TH, SR, US: thinking, stop reasons, usage."""

from typing import Any

import pytest

from deepseek_messages.upstreams.double import Call, Finish, Text, Think
from tests.conformance.rig import Rig
from tests.regressions.stage import Stage, chunk, stop_reason, tool, usage

READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
ON = {"type": "adaptive"}


def thought(text: str = "Hm.", **more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": ""} | more


def loop(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": list(blocks)},
        {"role": "user", "content": [RESULT]},
    ]


# --- thinking -------------------------------------------------------------------------------------

SHAPES: dict[str, list[Any]] = {
    "string": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ],
    "interrupted": [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "[Request interrupted by user]"}],
        },
        {"role": "user", "content": "c"},
    ],
    "call without thinking": loop(USE),
    "empty thinking": loop(thought(""), USE),
}


@pytest.mark.parametrize("thinking", [ON, None], ids=["TH-03 on", "TH-01 absent"])
@pytest.mark.parametrize("messages", SHAPES.values(), ids=SHAPES)
def test_th_01_03_histories_without_reasoning_are_served(
    rig: Rig, messages: list[Any], thinking: Any
) -> None:
    model = "deepseek-reasoner" if thinking is None else "deepseek-chat"
    sent = rig.served(model=model, messages=messages, tools=[READ], thinking=thinking).sent
    assert sent["thinking"] == {"type": "enabled"}
    for message in sent["messages"]:
        if message.get("tool_calls"):
            assert isinstance(message["reasoning_content"], str)


def test_th_04_a_tool_loop_of_three_turns(rig: Rig) -> None:
    messages: list[Any] = [{"role": "user", "content": "Go."}]
    for turn in range(3):
        reply = rig.served(
            Think(f"Thought {turn}."),
            Call("read", "{}"),
            messages=messages,
            tools=[READ],
            thinking=ON,
        )
        content = reply.body["content"]
        messages.append({"role": "assistant", "content": content})
        found = {"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "ok"}
        messages.append({"role": "user", "content": [found]})
    sent = rig.served(Text("Done."), messages=messages, tools=[READ], thinking=ON).sent
    thoughts = [m["reasoning_content"] for m in sent["messages"] if m["role"] == "assistant"]
    assert thoughts == ["Thought 0.", "Thought 1.", "Thought 2."]


def test_th_05_reasoning_that_was_omitted_comes_back(rig: Rig) -> None:
    omitted = {"type": "adaptive", "display": "omitted"}
    reply = rig.served(Think("Secret plan."), Call("read", "{}"), tools=[READ], thinking=omitted)
    block, call = reply.body["content"]
    assert block["thinking"] == ""
    found = RESULT | {"tool_use_id": call["id"]}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [block, call]},
        {"role": "user", "content": [found]},
    ]
    sent = rig.served(messages=messages, tools=[READ], thinking=omitted).sent
    assert sent["messages"][1]["reasoning_content"] == "Secret plan."


@pytest.mark.parametrize("signature", ["", "EqQBCkYIARgCKkD", "dsm1.forged", None])
def test_th_07_any_signature_is_accepted(rig: Rig, signature: Any) -> None:
    messages = loop(thought("Elsewhere.", signature=signature), USE)
    sent = rig.served(messages=messages, tools=[READ], thinking=ON).sent
    assert sent["messages"][1]["reasoning_content"] == "Elsewhere."


def test_th_07_our_signatures_are_recognisable(rig: Rig) -> None:
    reply = rig.served(Think("Hm."), Text("Hi."), thinking=ON)
    assert reply.body["content"][0]["signature"].startswith("dsm1.")


def test_th_08_09_thinking_is_a_field_never_a_part(vllm: Stage) -> None:
    vllm.served(messages=loop(thought("Hm."), {"type": "text", "text": "So."}, USE), tools=[READ])
    message = vllm.sent["messages"][1]
    assert message["content"] == "So."
    assert message["reasoning"] == "Hm."


def test_th_11_a_model_that_cannot_think_is_not_asked_to() -> None:
    from tests.support.translating import model, translated

    done = translated("hi", thinking=ON, served=model(thinks=False))
    assert done.sent["thinking"] == {"type": "disabled"}
    assert "ignored=thinking@thinking" in done.notes


@pytest.mark.parametrize("budget", [500, 99_999], ids=["TH-12", "TH-13"])
def test_th_12_13_odd_budgets_are_no_error(rig: Rig, budget: int) -> None:
    sent = rig.served(thinking={"type": "enabled", "budget_tokens": budget}, max_tokens=100).sent
    assert sent["thinking"] == {"type": "enabled"}


def test_th_15_adaptive_is_on_with_the_effort_asked_for(rig: Rig) -> None:
    sent = rig.served(thinking=ON, output_config={"effort": "max"}).sent
    assert (sent["thinking"], sent["reasoning_effort"]) == ({"type": "enabled"}, "max")


def test_th_16_redacted_thinking_is_dropped_and_counted(rig: Rig) -> None:
    reply = rig.served(messages=loop({"type": "redacted_thinking", "data": "x"}, USE), tools=[READ])
    assert "ignored=redacted_thinking@messages.1.content.0" in reply.notes


def test_th_17_the_model_that_was_asked_for_is_told(rig: Rig) -> None:
    reply = rig.served(model="deepseek-reasoner", tools=[READ])
    assert reply.body["model"] == "deepseek-reasoner"
    assert reply.sent["model"] == "deepseek-flash"
    assert reply.sent["thinking"] == {"type": "enabled"}


def test_th_19_reasoning_keeps_its_blanks(deepseek: Stage) -> None:
    thoughts = (chunk(reasoning_content=" a"), chunk(reasoning_content=" b \n"))
    deepseek.streams(*thoughts, chunk(content="c"), chunk("stop"))
    assert deepseek.blocks()[0]["thinking"] == " a b \n"


def test_th_20_omitted_thinking_is_not_shown(deepseek: Stage) -> None:
    deepseek.streams(chunk(reasoning_content="Secret"), chunk(content="Hi"), chunk("stop"))
    events = deepseek.events(thinking={"type": "adaptive", "display": "omitted"})
    assert "Secret" not in str(events)
    kinds = [e["delta"]["type"] for e in events if e["type"] == "content_block_delta"]
    assert kinds == ["signature_delta", "text_delta"]


# --- stop reasons ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("sensitive", "refusal"),
    ],
    ids=["stop", "SR-01", "SR-03", "SR-03 sensitive"],
)
def test_sr_01_03_reasons(deepseek: Stage, said: str, told: str) -> None:
    deepseek.streams(chunk(content="Hi"), chunk(said), usage())
    assert stop_reason(deepseek.events()) == told


@pytest.mark.parametrize("stream", [False, True])
def test_sr_04_a_lack_of_resources_is_an_error(rig: Rig, stream: bool) -> None:
    reply = rig.ask(Text("Half an ans"), Finish("insufficient_system_resource"), stream=stream)
    if stream:
        assert reply.events[-1]["error"]["type"] == "overloaded_error"
    else:
        assert (reply.status, reply.body["error"]["type"]) == (529, "overloaded_error")


def test_sr_05_the_stop_sequence_is_told_where_the_upstream_hides_it(deepseek: Stage) -> None:
    deepseek.streams(chunk(content="One. ST"), chunk(content="OP Two."), chunk("stop"), usage())
    events = deepseek.events(stop_sequences=["STOP"])
    assert "STOP" not in str([e for e in events if e["type"] == "content_block_delta"])
    (delta,) = [e["delta"] for e in events if e["type"] == "message_delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == ("stop_sequence", "STOP")


def test_sr_05_the_stop_sequence_is_told_as_the_upstream_names_it(vllm: Stage) -> None:
    last = chunk("stop")
    last["choices"][0]["stop_reason"] = "STOP"
    vllm.streams(chunk(content="One."), last, usage())
    events = vllm.events(stop_sequences=["STOP"])
    (delta,) = [e["delta"] for e in events if e["type"] == "message_delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == ("stop_sequence", "STOP")


@pytest.mark.parametrize("count", [1, 17, 40])
def test_sr_07_any_number_of_stop_sequences(rig: Rig, count: int) -> None:
    stops = [f"<{n}>" for n in range(count)]
    reply = rig.served(Text(f"Yes <{count - 1}> no"), stop_sequences=stops)
    assert reply.body["stop_sequence"] == f"<{count - 1}>"
    assert reply.text == "Yes "


def test_sr_07_a_string_is_refused_by_name(rig: Rig) -> None:
    reply = rig.ask(stop_sequences="END")
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("stop_sequences: ")


def test_sr_08_a_call_cut_by_the_limit(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(tool_calls=[tool(id="a", name="read", arguments='{"path": "/etc/ho')]),
        chunk("length"),
        usage(),
    )
    events = deepseek.events(tools=[READ])
    assert stop_reason(events) == "max_tokens"
    call = {"id": "a", "type": "function"}
    call["function"] = {"name": "read", "arguments": '{"path": "/etc/ho'}  # type: ignore[assignment]
    deepseek.answers({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "length"}]})
    whole = deepseek.served(tools=[READ])
    assert whole["stop_reason"] == "max_tokens"
    assert isinstance(whole["content"][0]["input"], dict)


# --- usage ----------------------------------------------------------------------------------------


def total(counts: dict[str, Any]) -> int:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(counts[name] for name in names)


@pytest.mark.parametrize("thinking", [ON, None])
def test_us_01_11_the_prompt_is_counted_in_message_start(rig: Rig, thinking: Any) -> None:
    events = rig.served(Text("Hi."), stream=True, thinking=thinking).events
    first, last = events[0]["message"]["usage"], events[-2]["usage"]
    assert total(first) > 0
    assert total(first) == total(last)


@pytest.mark.parametrize(
    "said",
    [
        {"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40},
        {"prompt_tokens_details": {"cached_tokens": 60}},
        {},
    ],
    ids=["US-12 DeepSeek's", "OpenAI's", "none"],
)
def test_us_03_12_the_three_counts_add_up(deepseek: Stage, said: dict[str, Any]) -> None:
    deepseek.streams(chunk(content="Hi"), chunk("stop"), usage(prompt_tokens=100, **said))
    counts = deepseek.events()[-2]["usage"]
    assert total(counts) == 100
    assert counts["cache_read_input_tokens"] == (60 if said else 0)


def test_us_04_05_the_last_usage_holds_and_is_a_total(deepseek: Stage) -> None:
    early = chunk(content="Hi")
    early["usage"] = {"prompt_tokens": 50, "completion_tokens": 1}
    deepseek.streams(
        early,
        chunk("stop"),
        usage(prompt_tokens=50, completion_tokens=8, prompt_cache_hit_tokens=20),
    )
    counts = deepseek.events()[-2]["usage"]
    assert (counts["output_tokens"], counts["cache_read_input_tokens"]) == (8, 20)
    assert total(counts) == 50


def test_us_07_null_usage_is_no_usage(deepseek: Stage) -> None:
    parts = [chunk(content="Hi") | {"usage": None}, chunk("stop") | {"usage": None}]
    deepseek.streams(*parts, usage(completion_tokens=5))
    assert deepseek.events()[-2]["usage"]["output_tokens"] == 5


@pytest.mark.parametrize("late", [True, False])
def test_us_08_09_usage_is_asked_for_and_waited_for(deepseek: Stage, late: bool) -> None:
    deepseek.streams(chunk(content="Hi there"), chunk("stop"), *([usage()] if late else []))
    counts = deepseek.events()[-2]["usage"]
    assert deepseek.sent["stream_options"] == {"include_usage": True}
    assert counts["output_tokens"] > 0
    assert total(counts) > 0
