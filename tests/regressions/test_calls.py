"""TC: tool calls."""

import json
from typing import Any

import pytest

from deepseek_messages.upstreams.double import Text
from tests.conformance.rig import Rig
from tests.regressions.stage import Stage, chunk, error_stop, stop_reason, tool, usage

READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}
WRITE = {"name": "write", "input_schema": {"type": "object", "properties": {}}}
END = (chunk("tool_calls"), usage())


def use(number: int = 1, name: str = "read", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}} | fields


def result(number: int = 1, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content} | fields


def loop(*uses: dict[str, Any], then: list[Any]) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": list(uses)},
        {"role": "user", "content": then},
    ]


def inputs(blocks: list[dict[str, Any]]) -> list[Any]:
    return [block["input"] for block in blocks if block["type"] == "tool_use"]


@pytest.mark.parametrize("indexes", [(None, None), (0, 0)], ids=["TC-01 none", "TC-04 the same"])
def test_tc_01_04_calls_without_or_with_one_index(
    deepseek: Stage, indexes: tuple[Any, Any]
) -> None:
    calls = [
        tool(indexes[0], id="a", name="read", arguments='{"n":1}'),
        tool(indexes[1], id="b", name="read", arguments='{"n":2}'),
    ]
    deepseek.streams(chunk(tool_calls=calls), *END)
    assert inputs(deepseek.blocks(tools=[READ])) == [{"n": 1}, {"n": 2}]


def test_tc_03_three_parallel_calls(deepseek: Stage) -> None:
    calls = [
        chunk(tool_calls=[tool(n, id=f"c{n}", name="read", arguments=json.dumps({"n": n}))])
        for n in range(3)
    ]
    deepseek.streams(*calls, *END)
    assert inputs(deepseek.blocks(tools=[READ])) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_tc_05_interleaved_calls_lose_nothing(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(tool_calls=[tool(0, id="a", name="read", arguments='{"a"')]),
        chunk(tool_calls=[tool(1, id="b", name="write", arguments='{"b"')]),
        chunk(tool_calls=[tool(0, arguments=":1}")]),
        chunk(tool_calls=[tool(1, arguments=":2}")]),
        *END,
    )
    assert inputs(deepseek.blocks(tools=[READ, WRITE])) == [{"a": 1}, {"b": 2}]


def test_tc_07_no_arguments_are_an_empty_object(deepseek: Stage) -> None:
    deepseek.streams(chunk(tool_calls=[tool(id="a", name="read", arguments="")]), *END)
    assert inputs(deepseek.blocks(tools=[READ])) == [{}]


def test_tc_08_a_name_that_comes_late(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(tool_calls=[tool(id="a", name="", arguments="")]),
        chunk(tool_calls=[tool(name="read", arguments='{"a":1}')]),
        *END,
    )
    (block,) = deepseek.blocks(tools=[READ, WRITE])
    assert (block["name"], block["input"]) == ("read", {"a": 1})


def test_tc_08_a_name_that_never_comes_is_no_silent_loss(deepseek: Stage) -> None:
    deepseek.streams(chunk(tool_calls=[tool(id="a", name="", arguments="{}")]), *END)
    assert error_stop(deepseek.events(tools=[READ, WRITE]))


def test_tc_09_ids_outside_the_alphabet_go_there_and_back(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(tool_calls=[tool(id="fs.readFile:0", name="read", arguments="{}")]), *END
    )
    (block,) = deepseek.blocks(tools=[READ])
    assert set(block["id"]) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
    )
    odd = use() | {"id": "fs.readFile:0"}
    deepseek.served(messages=loop(odd, then=[result() | {"tool_use_id": "fs.readFile:0"}]))
    call, answer = deepseek.sent["messages"][1:3]
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"]


def test_tc_11_a_missing_result_is_made(rig: Rig) -> None:
    reply = rig.served(messages=loop(use(1), use(2), then=[result(1)]), tools=[READ])
    roles = [message["role"] for message in reply.sent["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
    assert "interrupted" in reply.sent["messages"][3]["content"]
    assert "repaired=tool_result.missing@messages.1.content.1" in reply.notes


def test_tc_11_text_instead_of_a_result(rig: Rig) -> None:
    reply = rig.served(
        messages=loop(use(1), then=[{"type": "text", "text": "Stop."}]), tools=[READ]
    )
    assert [message["role"] for message in reply.sent["messages"]][-2:] == ["tool", "user"]


def test_tc_12_an_orphan_becomes_text(rig: Rig) -> None:
    messages = [{"role": "user", "content": [result(9, "old news")]}]
    reply = rig.served(messages=messages)
    (message,) = reply.sent["messages"]
    assert message["role"] == "user"
    assert "old news" in message["content"]


def test_tc_13_results_stand_right_after_their_calls(rig: Rig) -> None:
    then = [{"type": "text", "text": "By the way"}, result(1)]
    reply = rig.served(messages=loop(use(1), then=then), tools=[READ])
    assert [m["role"] for m in reply.sent["messages"]] == ["user", "assistant", "tool", "user"]


@pytest.mark.parametrize(
    ("model", "kind"), [("deepseek-flash", "image_url"), ("deepseek-v4-pro", "text")]
)
def test_tc_15_an_image_in_a_result_is_never_lost(rig: Rig, model: str, kind: str) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    reply = rig.ask(model=model, messages=loop(use(1), then=[result(1, [image])]), tools=[READ])
    assert reply.seen is not None
    assert reply.seen.body is not None
    content = json.dumps(reply.seen.body["messages"][2]["content"])
    assert (kind if kind == "image_url" else "image left out") in content


def test_tc_16_an_error_is_marked(rig: Rig) -> None:
    reply = rig.served(
        messages=loop(use(1), then=[result(1, "no such file", is_error=True)]), tools=[READ]
    )
    assert reply.sent["messages"][2]["content"] == "[tool error] no such file"


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}])
def test_tc_17_a_choice_among_no_tools_is_dropped(rig: Rig, choice: dict[str, str]) -> None:
    sent = rig.served(tools=[], tool_choice=choice).sent
    assert "tools" not in sent
    assert "tool_choice" not in sent


@pytest.mark.parametrize("kind", ["custom", None, ...], ids=["TC-19", "null", "TC-21"])
def test_tc_19_21_the_type_of_a_tool_is_no_part_of_its_schema(rig: Rig, kind: Any) -> None:
    given = READ if kind is ... else READ | {"type": kind}
    function = rig.served(tools=[given]).sent["tools"][0]["function"]
    assert function["parameters"] == READ["input_schema"]


def test_tc_20_extra_fields_stay_out_of_the_schema(rig: Rig) -> None:
    more = {"defer_loading": False, "input_examples": [{}], "allowed_callers": ["direct"]}
    function = rig.served(tools=[READ | more]).sent["tools"][0]["function"]
    assert function["parameters"] == READ["input_schema"]


def test_tc_23_a_forced_call_while_thinking(rig: Rig) -> None:
    from deepseek_messages.upstreams.double import Call

    reply = rig.served(
        Call("read", "{}"),
        thinking={"type": "adaptive"},
        tools=[READ],
        tool_choice={"type": "tool", "name": "read"},
    )
    assert reply.body["stop_reason"] == "tool_use"
    assert "emulated=tool_choice.thinking_off@tool_choice" in reply.notes


@pytest.mark.parametrize(
    "arguments",
    ['{"z":1,"a":2}', '{ "z" : [1, 2.50, 1e3] }', '{"k":"\\u00e9"}', '"text"', "[1]", "null", "7"],
)
def test_tc_24_25_replayed_input_is_byte_stable(deepseek: Stage, arguments: str) -> None:
    messages = json.dumps(loop(use(1, input="@"), then=[result(1)])).replace('"@"', arguments)
    head = '{"model":"m","max_tokens":9,"messages":'
    assert deepseek.client.post(f"{head}{messages}}}".encode()).status == 200
    call = deepseek.sent["messages"][1]["tool_calls"][0]["function"]
    assert call["arguments"] == arguments


DSML = (
    "<{b}DSML{b}function_calls>\n"
    '<{b}DSML{b}invoke name="read">\n'
    '<{b}DSML{b}parameter name="cmd" string="true">ls 2>&1</{b}DSML{b}parameter>\n'
    "</{b}DSML{b}invoke>\n"
    "</{b}DSML{b}function_calls>"
)


@pytest.mark.parametrize("bar", ["｜", "|"])
def test_tc_27_leaked_markup_becomes_a_call(vllm: Stage, bar: str) -> None:
    text = DSML.format(b=bar)
    vllm.streams(*(chunk(content=letter) for letter in "On it.\n\n" + text), chunk("stop"), usage())
    text_block, call = vllm.blocks(tools=[READ])
    assert "DSML" not in text_block["text"]
    assert call["input"] == {"cmd": "ls 2>&1"}


def test_tc_28_text_and_calls_in_one_delta(deepseek: Stage) -> None:
    deepseek.streams(
        chunk(content="Now.", tool_calls=[tool(id="a", name="read", arguments="{}")]), *END
    )
    assert [b["type"] for b in deepseek.blocks(tools=[READ])] == ["text", "tool_use"]


def test_tc_29_long_ids_are_short_and_stable_upstream(deepseek: Stage) -> None:
    long = "toolu_" + "x" * 500
    ids = set()
    for _ in range(2):
        messages = loop(use() | {"id": long}, then=[result() | {"tool_use_id": long}])
        deepseek.served(messages=messages)
        ids.add(deepseek.sent["messages"][1]["tool_calls"][0]["id"])
    (sent,) = ids
    assert len(sent) <= 64


@pytest.mark.parametrize("depth", [2000, 90])
def test_tc_31_a_monstrous_schema_is_answered_at_once(deepseek: Stage, depth: int) -> None:
    schema = '{"type":"object","properties":{"a":' * depth + '{"type":"string"}' + "}}" * depth
    head = '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],'
    tools = '"tools":[{"name":"t","input_schema":'
    reply = deepseek.client.post(f"{head}{tools}{schema}}}]}}".encode())
    assert reply.status in (200, 400)
    if reply.status == 400:
        assert reply.error()[1] == "invalid_request_error"


def test_tc_32_text_and_calls_are_one_message(rig: Rig) -> None:
    text = {"type": "text", "text": "I will."}
    sent = rig.served(
        Text("Done."), messages=loop(text, use(1), then=[result(1)]), tools=[READ]
    ).sent
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["messages"][1]["content"] == "I will."
    assert len(sent["messages"][1]["tool_calls"]) == 1


def test_stop_reason_says_that_a_tool_was_called(deepseek: Stage) -> None:
    deepseek.streams(chunk(tool_calls=[tool(id="a", name="read", arguments="{}")]), chunk("stop"))
    assert stop_reason(deepseek.events(tools=[READ])) == "tool_use"
