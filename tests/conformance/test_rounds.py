"""Answers that take several calls of the upstream, end to end against a strict DeepSeek."""

import json

import pytest

from deepseek_messages.upstreams.double import Call, Finish, Text, Think
from tests.conformance.rig import JSON, Reply, Rig

row = pytest.mark.row

WEATHER = {
    "name": "get_weather",
    "description": "The weather now.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
TIME = {"name": "get_time", "description": "The time now.", "input_schema": {"type": "object"}}
CALL = Call("get_weather", '{"city": "Rome"}')


def sent(rig: Rig) -> list[JSON]:
    return [seen.body or {} for seen in rig.double.requests]


def content(reply: Reply) -> list[JSON]:
    """The blocks of a whole answer or of a stream."""
    if not reply.raw.startswith(b"event:"):
        return reply.body["content"]  # type: ignore[no-any-return]
    blocks: list[JSON] = []
    for event in reply.events:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
            blocks[-1]["parts"] = ""
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            text = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
            blocks[-1]["parts"] += text
    for block in blocks:
        parts = block.pop("parts")
        if block["type"].endswith("tool_use"):
            block["input"] = json.loads(parts or "{}")
        elif block["type"] in {"text", "thinking"}:
            block[block["type"]] += parts
    return blocks


def end(reply: Reply) -> JSON:
    """``stop_reason`` and ``usage``."""
    if not reply.raw.startswith(b"event:"):
        return reply.body
    last = reply.events[-2]
    return {**last["delta"], "usage": last["usage"]}


# --- structured output ----------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string", "minLength": 3}, "note": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}


@row("output_config")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "text", ['{"title": "Rome"}', '```json\n{"title": "Rome"}\n```', 'Sure: {"title": "Rome"} Ok?']
)
def test_sc07_structured_output_is_json_alone(rig: Rig, text: str, stream: bool) -> None:
    reply = rig.play([Think("Hm."), Text(text)], output_config=FORMAT, stream=stream)
    assert content(reply) == [{"type": "text", "text": '{"title": "Rome"}'}]
    assert end(reply)["stop_reason"] == "end_turn"


@row("output_config")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("bad", ['{"titel": "x"}', '{"title": "x"}', '{"title": "Rom'])
def test_sc07_sc08_invalid_output_is_repaired_once_against_the_callers_schema(
    rig: Rig, bad: str, stream: bool
) -> None:
    reply = rig.play(
        [Think("First."), Text(bad)],
        Text('{"title": "Rome"}'),
        output_config=FORMAT,
        stream=stream,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert [block.get("text") for block in content(reply)] == [None, '{"title": "Rome"}']
    repair = sent(rig)[1]
    assert repair["messages"][-2] == {"role": "assistant", "content": bad}
    assert (
        "title" in repair["messages"][-1]["content"] or "JSON" in repair["messages"][-1]["content"]
    )
    assert repair["thinking"] == {"type": "disabled"}


@row("output_config")
@pytest.mark.parametrize("stream", [True, False])
def test_output_that_stays_invalid_is_an_error_and_never_shown(rig: Rig, stream: bool) -> None:
    reply = rig.play(Text("Nope"), Text("Nope"), output_config=FORMAT, stream=stream)
    assert b"Nope" not in reply.raw
    error = reply.events[-1] if reply.status == 200 else reply.body
    assert error["error"]["type"] == "api_error"
    assert "does not fit the schema" in error["error"]["message"]


@row("output_config")
def test_output_that_the_token_limit_cut_says_so(rig: Rig) -> None:
    reply = rig.play([Text('{"title": "Ro'), Finish("length")], output_config=FORMAT)
    assert (reply.text, reply.body["stop_reason"]) == ('{"title": "Ro', "max_tokens")


@row("output_config")
def test_a_schema_that_is_none_is_refused(rig: Rig) -> None:
    bad = {"format": {"type": "json_schema", "schema": {"type": "objekt"}}}
    reply = rig.ask(output_config=bad)
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("output_config.format.schema: Invalid schema")


@row("output_config")
def test_a_call_of_a_tool_needs_no_json(rig: Rig) -> None:
    reply = rig.play(CALL, tools=[WEATHER], output_config=FORMAT)
    assert [block["type"] for block in content(reply)] == ["tool_use"]


# --- tool search ----------------------------------------------------------------------------------

REGEX = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
BM25 = {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}
LATE = [tool | {"defer_loading": True} for tool in (WEATHER, TIME)]


@row("tools.tool_search")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("tool", "query"), [(REGEX, "(?i)WEATHER"), (BM25, "weather forecast")])
def test_tool_search_goes_on_with_the_tool_it_found(
    rig: Rig, tool: JSON, query: str, stream: bool
) -> None:
    search = Call(str(tool["name"]), json.dumps({"query": query}))
    asked = {"tools": [tool, *LATE], "messages": [{"role": "user", "content": "Weather in Rome?"}]}
    reply = rig.play([Text("I search."), search], CALL, stream=stream, **asked)
    blocks = content(reply)
    assert [block["type"] for block in blocks] == [
        "text", "server_tool_use", "tool_search_tool_result", "tool_use",
    ]  # fmt: skip
    assert blocks[1]["input"] == {"query": query}
    assert blocks[1]["id"].startswith("srvtoolu_")
    assert blocks[2] == {
        "type": "tool_search_tool_result",
        "tool_use_id": blocks[1]["id"],
        "content": {
            "type": "tool_search_tool_search_result",
            "tool_references": [{"type": "tool_reference", "tool_name": "get_weather"}],
        },
    }
    assert end(reply)["stop_reason"] == "tool_use"
    one, two = (seen.prompt for seen in rig.double.requests)
    assert "get_weather" not in one
    assert two.startswith(one)
    assert "The weather now." in two

    messages = [
        *asked["messages"],
        {"role": "assistant", "content": blocks},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": blocks[3]["id"], "content": "18 C"}],
        },
    ]
    rig.play(Text("18 degrees."), tools=asked["tools"], messages=messages)
    assert rig.double.requests[-1].prompt.startswith(two)


@row("tools.tool_search")
@pytest.mark.parametrize(
    ("query", "code"),
    [("(", "invalid_pattern"), ("a" * 201, "pattern_too_long"), ("(?=a)", "invalid_pattern")],
)
def test_bad_patterns_have_their_error_codes(rig: Rig, query: str, code: str) -> None:
    search = Call("tool_search_tool_regex", json.dumps({"query": query}))
    reply = rig.play(search, Text("Sorry."), tools=[REGEX, *LATE])
    assert reply.body["content"][1]["content"] == {
        "type": "tool_search_tool_result_error",
        "error_code": code,
    }
    assert reply.text == "Sorry."


@row("tools.tool_search")
def test_max_tokens_holds_for_all_calls_together(rig: Rig) -> None:
    search = Call("tool_search_tool_bm25", '{"query": "weather"}')
    reply = rig.play(search, search, tools=[BM25, *LATE], max_tokens=80)
    assert reply.body["stop_reason"] == "max_tokens"
    assert reply.body["usage"]["output_tokens"] == 80


def test_a_model_that_only_searches_is_paused(rig: Rig) -> None:
    search = Call("tool_search_tool_bm25", '{"query": "weather"}')
    reply = rig.play(*[search] * 10, tools=[BM25, *LATE], max_tokens=4000)
    assert reply.body["stop_reason"] == "pause_turn"
    paused = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content(reply)}]
    reply = rig.play(Text("Done."), tools=[BM25, *LATE], messages=paused)
    assert reply.text == "Done."
    assert sent(rig)[-1]["messages"][-1]["role"] == "tool"
