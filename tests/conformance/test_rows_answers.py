"""Each part of an answer and each event of a stream, end to end against a strict DeepSeek."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.hosted.rounds import MAX_ROUNDS
from deepseek_messages.upstreams.double import Call, Cut, Finish, Frame, Text, Think
from tests.conformance.rig import JSON, Reply, Rig

row = pytest.mark.row

TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
ON = {"thinking": {"type": "adaptive"}}
BOTH = pytest.mark.parametrize("stream", [True, False])


def message_of(reply: Reply) -> JSON:
    """The message of a whole answer, or what is known of it before and after its content."""
    if not reply.raw.startswith(b"event:"):
        return reply.body
    events = reply.events
    first, last = events[0]["message"], events[-2]
    return {
        **first,
        **last["delta"],
        **{k: v for k, v in last.items() if k not in ("type", "delta")},
    }


def deltas(reply: Reply, kind: str) -> list[JSON]:
    return [
        event["delta"]
        for event in reply.events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == kind
    ]


# --- the message ----------------------------------------------------------------------------------


@row("answer.message")
@row("answer.text")
@BOTH
def test_the_message_itself(rig: Rig, stream: bool) -> None:
    message = message_of(rig.served(Text("Hi."), model="claude-haiku-4-5", stream=stream))
    assert message["id"].startswith("msg_")
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["model"] == "claude-haiku-4-5"


@row("answer.stop_details")
@row("answer.container")
@row("answer.redacted_thinking")
@row("answer.usage.cache_creation")
@BOTH
def test_what_deepseek_has_nothing_for_is_left_out(rig: Rig, stream: bool) -> None:
    reply = rig.served(Think("Hm."), Text("Hi."), Finish("content_filter"), stream=stream, **ON)
    message = message_of(reply)
    left_out = {"stop_details", "container", "diagnostics", "input_transformations"}
    assert not left_out & message.keys()
    assert (
        not {"cache_creation", "service_tier", "speed", "inference_geo"} & message["usage"].keys()
    )
    assert b"redacted_thinking" not in reply.raw


@row("answer.thinking")
@row("answer.tool_use")
def test_blocks_of_an_answer(rig: Rig) -> None:
    steps = [Think("Hm."), Text("I call."), Call("f", '{"a": 1}')]
    blocks = rig.served(*steps, tools=[TOOL], **ON).body["content"]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
    assert blocks[0]["thinking"] == "Hm."
    assert blocks[0]["signature"]
    assert blocks[2]["input"] == {"a": 1}


SEARCH = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
LATER = TOOL | {"name": "later", "description": "Comes later.", "defer_loading": True}
LOOK = Call("tool_search_tool_bm25", json.dumps({"query": "later"}))


@row("answer.server_tools")
@row("answer.stop_reason.pause_turn")
@BOTH
def test_a_turn_of_server_tools_pauses_after_ten_calls(rig: Rig, stream: bool) -> None:
    rig.double.expect(*[[LOOK]] * MAX_ROUNDS)
    reply = rig.ask(tools=[SEARCH, LATER], stream=stream, max_tokens=10_000)
    assert message_of(reply)["stop_reason"] == "pause_turn"
    assert reply.raw.count(b'"type":"server_tool_use"') == MAX_ROUNDS
    assert reply.raw.count(b'"type":"tool_search_tool_result"') == MAX_ROUNDS


STOPS: list[tuple[str, list[Any], JSON, JSON]] = [
    ("end_turn", [Text("Hi.")], {}, {}),
    ("max_tokens", [Text("one two three four five six")], {"max_tokens": 2}, {}),
    ("stop_sequence", [Text("a STOP")], {"stop_sequences": ["STOP"]}, {"stop_sequence": "STOP"}),
    ("tool_use", [Call("f")], {"tools": [TOOL]}, {}),
    ("refusal", [Text("I"), Finish("content_filter")], {}, {}),
    ("compaction", [Text("So far.")], {"compaction": {"type": "summarize"}}, {}),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("reason", "steps", "fields", "more"),
    [pytest.param(*each, marks=row(f"answer.stop_reason.{each[0]}"), id=each[0]) for each in STOPS],
)
def test_every_reason_to_stop(
    rig: Rig, reason: str, steps: list[Any], fields: JSON, more: JSON, stream: bool
) -> None:
    message = message_of(rig.served(*steps, stream=stream, **fields))
    assert message["stop_reason"] == reason
    assert {"stop_sequence": message["stop_sequence"]} == {"stop_sequence": None} | more


@row("answer.stop_reason.model_context_window_exceeded")
def test_an_answer_that_the_window_ended(rig: Rig) -> None:
    choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "model_length"}
    frame = Frame(json.dumps({"choices": [choice]}))
    message = message_of(rig.served(frame, stream=True))
    assert message["stop_reason"] == "model_context_window_exceeded"


@row("answer.compaction")
@row("answer.usage.iterations")
@row("context_management.compact")
def test_an_answer_behind_a_summary(rig: Rig) -> None:
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 1}}
    rig.double.expect([Text("So far.")], [Text("Hi.")])
    body = rig.ask(context_management={"edits": [edit]}).body
    assert [block["type"] for block in body["content"]] == ["compaction", "text"]
    assert [each["type"] for each in body["usage"]["iterations"]] == ["compaction", "message"]


@row("answer.context_management")
@row("context_management.clear_tool_uses")
@row("context_management.clear_thinking")
@BOTH
def test_what_was_cleared_is_told(rig: Rig, stream: bool) -> None:
    messages: list[JSON] = [{"role": "user", "content": "Go."}]
    for number in range(3):
        name = f"t{number}"
        call = {"type": "tool_use", "id": name, "name": "f", "input": {}}
        thought = {"type": "thinking", "thinking": f"Thought {number}", "signature": ""}
        result = {"type": "tool_result", "tool_use_id": name, "content": f"Result {number}"}
        messages += [
            {"role": "assistant", "content": [thought, call]},
            {"role": "user", "content": [result, {"type": "text", "text": "On."}]},
        ]
    edits = [
        {
            "type": "clear_tool_uses_20250919",
            "trigger": {"type": "tool_uses", "value": 2},
            "keep": {"type": "tool_uses", "value": 1},
        },
        {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}},
    ]
    context = {"edits": edits}
    fields = {"messages": messages, "tools": [TOOL], "context_management": context}
    reply = rig.served(Text("Hi."), stream=stream, **fields)
    applied = message_of(reply)["context_management"]["applied_edits"]
    assert applied[0]["type"] == "clear_tool_uses_20250919"
    assert applied[0]["cleared_tool_uses"] == 2
    assert "Result 0" not in str(reply.sent)
    assert "Result 2" in str(reply.sent)


@row("answer.usage.input_tokens")
@row("answer.usage.output_tokens")
@BOTH
def test_usage_is_whole(rig: Rig, stream: bool) -> None:
    reply = rig.served(Think("Hm."), Text("Hi."), stream=stream, **ON)
    usage = message_of(reply)["usage"]
    counts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert all(isinstance(usage[name], int) for name in counts)
    counted = rig.call(
        "POST",
        "/v1/messages/count_tokens",
        {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}], **ON},
    )
    assert sum(usage[name] for name in counts) == counted.body["input_tokens"]
    assert usage["output_tokens"] > usage["output_tokens_details"]["thinking_tokens"] > 0


# --- events ---------------------------------------------------------------------------------------


@row("events.message_start")
@row("events.content_block_start")
@row("events.text_delta")
@row("events.thinking_delta")
@row("events.input_json_delta")
@row("events.message_delta")
@row("events.message_stop")
def test_events_of_a_stream(rig: Rig) -> None:
    steps = [Think("Hm, well."), Text("I call it."), Call("f", '{"a": [1, 2]}')]
    reply = rig.served(*steps, stream=True, tools=[TOOL], **ON)
    events = reply.events
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    starts = [each["content_block"] for each in events if each["type"] == "content_block_start"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert starts[1] == {"type": "text", "text": ""}
    assert (starts[2]["type"], starts[2]["input"]) == ("tool_use", {})
    assert "".join(each["thinking"] for each in deltas(reply, "thinking_delta")) == "Hm, well."
    assert len(deltas(reply, "signature_delta")) == 1
    assert "".join(each["text"] for each in deltas(reply, "text_delta")) == "I call it."
    arguments = "".join(each["partial_json"] for each in deltas(reply, "input_json_delta"))
    assert json.loads(arguments) == {"a": [1, 2]}
    assert [each["type"] for each in events[-2:]] == ["message_delta", "message_stop"]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


@row("events.citations_delta")
@row("answer.citations")
def test_citations_come_behind_their_text(rig: Rig) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "All cats are grey."}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    messages = [{"role": "user", "content": [document]}]
    reply = rig.served(Text("They are grey.[citation:1]"), messages=messages, stream=True)
    kinds = [e["delta"]["type"] for e in reply.events if e["type"] == "content_block_delta"]
    assert kinds[-1] == "citations_delta"
    assert deltas(reply, "citations_delta")[0]["citation"]["cited_text"] == "All cats are grey."


@row("events.compaction_delta")
def test_a_summary_comes_in_one(rig: Rig) -> None:
    reply = rig.served(Text("So far."), compaction={"type": "summarize"}, stream=True)
    assert [each["content"] for each in deltas(reply, "compaction_delta")] == ["So far."]


@row("events.error")
@row("events.message_stop")
def test_an_answer_that_breaks_ends_in_an_error(rig: Rig) -> None:
    reply = rig.served(Text("Half of "), Cut(), stream=True)
    last = reply.events[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert last["request_id"] == reply.headers["request-id"]
    assert b"message_stop" not in reply.raw
