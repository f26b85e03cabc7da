"""Answers that begin with a summary of their conversation (``compact_20260112``), end to end."""

import json
from typing import Any

import anthropic
import pytest

from deepseek_messages.translation.request.compaction import HEAD
from deepseek_messages.translation.request.summary import INSTRUCTION, SUMMARY_TOKENS
from deepseek_messages.upstreams.double import Call, Cut, Finish, Status, Text, Think
from tests.conformance.rig import JSON, Reply, Rig
from tests.support.sse import blocks_of

row = pytest.mark.row
pytestmark = pytest.mark.row("context_management")

LONG = "We talk about this and that. " * 40
MESSAGES = [
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And now?"},
]
EDIT = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 100}}
SUMMARY = "We talked."
TOOL = {"name": "Read", "input_schema": {"type": "object", "properties": {}}}


def ask(rig: Rig, *answers: Any, edit: JSON = EDIT, **fields: Any) -> Reply:
    """The reply to ``MESSAGES`` with compaction, when the upstream gives these answers."""
    context = {"edits": [edit]}
    return rig.play(*answers, **{"messages": MESSAGES, "context_management": context, **fields})


def content(reply: Reply) -> list[JSON]:
    assert reply.status == 200, reply.raw
    return blocks_of(reply.events) if reply.raw.startswith(b"event:") else reply.body["content"]


def end(reply: Reply) -> JSON:
    """``stop_reason`` and ``usage``."""
    if not reply.raw.startswith(b"event:"):
        return reply.body
    last = reply.events[-2]
    return {**last["delta"], "usage": last["usage"]}


def sent(rig: Rig) -> list[JSON]:
    return [seen.body or {} for seen in rig.double.requests]


def prompts(rig: Rig) -> list[str]:
    return [seen.prompt for seen in rig.double.requests]


def block(summary: str | None) -> JSON:
    return {"type": "compaction", "content": summary, "encrypted_content": None}


COMPACTED = {"role": "user", "content": HEAD + SUMMARY}
both = pytest.mark.parametrize("stream", [True, False])


@both
def test_the_answer_begins_with_the_summary_and_goes_on_from_it(rig: Rig, stream: bool) -> None:
    reply = ask(rig, Text(SUMMARY), Text("Now this."), stream=stream, system="Be brief.")
    assert content(reply) == [block(SUMMARY), {"type": "text", "text": "Now this."}]
    assert end(reply)["stop_reason"] == "end_turn"
    assert reply.notes == ["emulated=compaction@context_management"]
    first, second = sent(rig)
    system = {"role": "system", "content": "Be brief."}
    asked = {"role": "user", "content": f"And now?\n\n{INSTRUCTION}"}
    assert first["messages"] == [system, *MESSAGES[:2], asked]
    assert second["messages"] == [system, COMPACTED]
    assert (first["max_tokens"], second["max_tokens"]) == (SUMMARY_TOKENS, 100)


@both
def test_usage_tells_each_call_and_leaves_the_summary_out_on_top(rig: Rig, stream: bool) -> None:
    usage = end(ask(rig, Text(SUMMARY), Text("Now this."), stream=stream))["usage"]
    compaction, message = usage["iterations"]
    assert (compaction.pop("type"), message.pop("type")) == ("compaction", "message")
    assert message == {name: usage[name] for name in message}
    counts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert sum(compaction[name] for name in counts) > 200
    assert 0 < sum(message[name] for name in counts) < 100
    assert compaction["output_tokens"] > 0


@both
def test_the_sdk_reads_it(rig: Rig, stream: bool) -> None:
    rig.double.expect([Text(SUMMARY)], [Text("Now this.")])
    fields: Any = {
        "model": "deepseek-chat",
        "max_tokens": 100,
        "messages": MESSAGES,
        "context_management": {"edits": [EDIT]},
    }
    with anthropic.Anthropic(base_url=f"http://{rig.address}/anthropic", api_key="sk-rig") as sdk:
        if stream:
            with sdk.beta.messages.stream(**fields) as events:
                message = events.get_final_message()
        else:
            message = sdk.beta.messages.create(**fields)
    assert [each.type for each in message.content] == ["compaction", "text"]
    assert message.content[0].content == SUMMARY  # type: ignore[union-attr]
    assert [each.type for each in message.usage.iterations or ()] == ["compaction", "message"]


@row("messages.content.compaction")
def test_the_next_turn_goes_on_from_the_same_prompt(rig: Rig) -> None:
    answer = content(ask(rig, Text(SUMMARY), Text("Now this.")))
    before = prompts(rig)[1]
    again = {"role": "user", "content": "And then?"}
    messages = [*MESSAGES, {"role": "assistant", "content": answer}, again]
    reply = ask(rig, Text("That."), messages=messages)
    assert [each["type"] for each in content(reply)] == ["text"]
    assert prompts(rig)[-1].startswith(before + "Now this.")
    assert "iterations" not in end(reply)["usage"]


def test_below_the_trigger_nothing_happens(rig: Rig) -> None:
    far = EDIT | {"trigger": {"type": "input_tokens", "value": 1_000}}
    for edit in (far, {"type": "compact_20260112"}):
        assert content(ask(rig, Text("Hi."), edit=edit)) == [{"type": "text", "text": "Hi."}]


def test_instructions_ask_for_the_summary(rig: Rig) -> None:
    ask(rig, Text(SUMMARY), Text("Now."), edit=EDIT | {"instructions": "In one word."})
    assert sent(rig)[0]["messages"][-1]["content"] == "And now?\n\nIn one word."


def test_an_edit_that_pauses_gives_the_summary_alone(rig: Rig) -> None:
    edit = EDIT | {"pause_after_compaction": True}
    reply = ask(rig, Text(SUMMARY), edit=edit, tools=[TOOL], tool_choice={"type": "any"})
    assert content(reply) == [block(SUMMARY)]
    assert reply.body["stop_reason"] == "compaction"
    assert "tool_choice" not in sent(rig)[0]
    resumed = [*MESSAGES, {"role": "assistant", "content": content(reply)}]
    ask(rig, Text("Now this."), messages=resumed)
    assert sent(rig)[1]["messages"] == [COMPACTED]


def test_only_filling_the_cache_makes_no_summary(rig: Rig) -> None:
    assert content(ask(rig, Text("x"), max_tokens=0)) == []


def test_a_count_is_of_the_whole_conversation(rig: Rig) -> None:
    body = {"model": "deepseek-chat", "messages": MESSAGES}
    path = "/anthropic/v1/messages/count_tokens"
    whole = rig.call("POST", path, body).body
    assert rig.call("POST", path, body | {"context_management": {"edits": [EDIT]}}).body == whole


# --- what shapes the answer is no part of the summary ---------------------------------------------


@row("tool_choice.any")
@both
def test_a_forced_call_is_the_answers(rig: Rig, stream: bool) -> None:
    options: JSON = {"tools": [TOOL], "tool_choice": {"type": "any"}, "stream": stream}
    reply = ask(rig, Text(SUMMARY), Call("Read"), **options)
    assert [each["type"] for each in content(reply)] == ["compaction", "tool_use"]
    assert end(reply)["stop_reason"] == "tool_use"
    first, second = sent(rig)
    assert "tool_choice" not in first
    assert second["tool_choice"] is not None


@row("stop_sequences")
@both
def test_a_stop_sequence_is_the_answers(rig: Rig, stream: bool) -> None:
    reply = ask(
        rig, Text("STOP here."), Text("Now STOP this."), stop_sequences=["STOP"], stream=stream
    )
    assert content(reply) == [block("STOP here."), {"type": "text", "text": "Now "}]
    assert end(reply)["stop_sequence"] == "STOP"
    usage = end(reply)["usage"]
    assert 0 < usage["input_tokens"] + usage["cache_read_input_tokens"] < 100


@row("output_config")
@both
def test_structured_output_is_the_answers(rig: Rig, stream: bool) -> None:
    schema = {"type": "object", "properties": {"t": {"type": "string"}}, "required": ["t"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    reply = ask(rig, Text(SUMMARY), Text('{"t": "x"}'), output_config=config, stream=stream)
    assert content(reply) == [block(SUMMARY), {"type": "text", "text": '{"t": "x"}'}]
    assert "response_format" not in sent(rig)[0]


@row("tools.tool_search")
def test_server_tools_run_in_the_answer(rig: Rig) -> None:
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    hidden = TOOL | {"defer_loading": True, "description": "Reads a file."}
    found = Call("tool_search_tool_bm25", json.dumps({"query": "read a file"}))
    reply = ask(rig, Text(SUMMARY), found, Call("Read"), tools=[search, hidden], stream=True)
    assert [each["type"] for each in content(reply)] == [
        "compaction", "server_tool_use", "tool_search_tool_result", "tool_use",
    ]  # fmt: skip
    assert [each["type"] for each in end(reply)["usage"]["iterations"]] == [
        "compaction", "message", "message",
    ]  # fmt: skip


@row("thinking")
@both
def test_thinking_of_the_summary_is_not_shown(rig: Rig, stream: bool) -> None:
    on = {"type": "enabled", "budget_tokens": 1024}
    summary, answer = [Think("How?"), Text(SUMMARY)], [Think("Well."), Text("Now.")]
    reply = ask(rig, summary, answer, thinking=on, stream=stream)
    assert [each["type"] for each in content(reply)] == ["compaction", "thinking", "text"]
    assert content(reply)[1]["thinking"] == "Well."


@row("messages.content.tool_use.id")
def test_ids_of_the_old_calls_are_not_used_again(rig: Rig) -> None:
    call = {"type": "tool_use", "id": "call_1", "name": "Read", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": LONG}
    messages = [
        {"role": "user", "content": "Read."},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    repeated = Call("Read", "{}", verbatim=True, id="call_1")
    reply = ask(rig, Text(SUMMARY), repeated, messages=messages, tools=[TOOL])
    assert content(reply)[1]["id"] != "call_1"


# --- a summary that fails -------------------------------------------------------------------------

FAILED: dict[str, list[Any]] = {
    "cut by the token limit": [Text("We tal"), Finish("length")],
    "a call": [Call("Read")],
    "nothing": [],
    "filtered": [Text("We"), Finish("content_filter")],
    "cut off": [Text("We tal"), Cut()],
    "without resources": [Text("We"), Finish("insufficient_system_resource")],
}


@both
@pytest.mark.parametrize("failed", FAILED.values(), ids=FAILED.keys())
def test_without_a_summary_the_whole_conversation_is_answered(
    rig: Rig, failed: list[Any], stream: bool
) -> None:
    reply = ask(rig, failed, Text("Now this."), tools=[TOOL], stream=stream)
    assert content(reply) == [block(None), {"type": "text", "text": "Now this."}]
    assert end(reply)["stop_reason"] == "end_turn"
    assert sent(rig)[1]["messages"] == MESSAGES
    if not stream:
        assert "ignored=context_management.compact@context_management" in reply.notes


@both
def test_an_upstream_that_refuses_the_summary_refuses_the_answer(rig: Rig, stream: bool) -> None:
    reply = ask(rig, Status(400, b'{"error": {"message": "No."}}'), stream=stream)
    assert reply.status == 400


def test_an_answer_that_breaks_behind_its_summary_is_an_error(rig: Rig) -> None:
    streamed = ask(rig, Text(SUMMARY), [Text("Now"), Cut()], stream=True)
    assert [each["type"] for each in streamed.events][-1] == "error"
    assert SUMMARY.encode() in streamed.raw
    assert ask(rig, Text(SUMMARY), [Text("Now"), Cut()]).status == 502
    refused = ask(rig, Text(SUMMARY), Status(400, b'{"error": {"message": "No."}}'), stream=True)
    assert refused.events[-1]["error"]["type"] == "invalid_request_error"


def test_a_summary_that_failed_is_nothing_when_it_comes_back(rig: Rig) -> None:
    answer = content(ask(rig, [Text("We"), Finish("length")], Text("Now this.")))
    messages = [*MESSAGES, {"role": "assistant", "content": answer}, MESSAGES[0]]
    far = EDIT | {"trigger": {"type": "input_tokens", "value": 100_000}}
    ask(rig, Text("Ok."), messages=messages, edit=far)
    assert sent(rig)[-1]["messages"] == [
        *MESSAGES, {"role": "assistant", "content": "Now this."}, MESSAGES[0],
    ]  # fmt: skip
