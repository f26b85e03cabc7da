"""Answers over several calls: what is tried again, what reaches the client, what is closed."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import VLLM, Dialect
from deepseek_messages.translation.faults import cut, garbage
from deepseek_messages.translation.hosted import hosted_calls
from deepseek_messages.translation.hosted.structured import SchemaCheck
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from tests.support.app import served
from tests.support.client import HELLO, Reply, read_reply
from tests.support.fake import FINISH, SILENCE, FakeStep, FakeUpstream, finish, text
from tests.support.gates import Gate
from tests.support.raw import Reached
from tests.support.servers import assert_lawful

row = pytest.mark.row


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"name": name, "description": name, "input_schema": schema}


WEATHER, TIME = tool("get_weather"), tool("get_time")
ANY = {"type": "any"}
NAMED = {"type": "tool", "name": "get_weather"}
ROME = '{"city": "Rome"}'


def call(name: str = "get_weather", arguments: str = ROME) -> ChatChunk:
    delta = ChatDelta(tool_calls=[ToolCallDelta(0, f"id_{name}", FunctionDelta(name, arguments))])
    return ChatChunk(choices=[ChunkChoice(index=0, delta=delta)])


def thought(words: str) -> ChatChunk:
    delta = ChatDelta(reasoning_content=words)
    return ChatChunk(choices=[ChunkChoice(index=0, delta=delta)])


CALLED = [call(), finish("tool_calls")]
NO = [thought("Must I?"), text("No."), FINISH]
JSON_CALL = [text('{"name": "get_weather", '), text(f'"arguments": {ROME}}}'), FINISH]


class Played:
    def __init__(self, reply: Reply, upstream: FakeUpstream) -> None:
        self.reply = reply
        self.upstream = upstream
        self.requests = [played.call.request for played in upstream.played]
        if reply.headers["content-type"].startswith("text/event-stream"):
            events = reply.events()
            assert_lawful(events)
            self.end = events[-1]
            if self.end["type"] != "error":
                self.end = {**events[-2]["delta"], "usage": events[-2]["usage"]}
            self.content = _blocks(events)
        else:
            self.end = reply.json()
            self.content = self.end.get("content", [])


def _blocks(events: list[Any]) -> list[Any]:
    blocks: list[Any] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "parts": ""})
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            blocks[-1]["parts"] += delta.get("text", "") + delta.get("partial_json", "")
    for block in blocks:
        parts = block.pop("parts")
        if block["type"] == "tool_use":
            block["input"] = json.loads(parts)
        elif block["type"] == "text":
            block["text"] = parts
    return blocks


def play(
    *scripts: list[FakeStep], dialect: Dialect | None = None, stream: bool = True, **fields: Any
) -> Played:
    upstream = FakeUpstream(*scripts, **({"dialect": dialect} if dialect else {}))
    with served(upstream) as running:
        reply = running.client.post(HELLO | {"stream": stream} | fields)
    assert len(upstream.played) == len(scripts)
    assert all(played.closed.is_set() for played in upstream.played)
    return Played(reply, upstream)


both = pytest.mark.parametrize("stream", [True, False])


@both
@row("tool_choice.any")
@row("tool_choice.tool")
@pytest.mark.parametrize("choice", [ANY, NAMED])
def test_a_forced_call_that_comes_takes_one_call(choice: Any, stream: bool) -> None:
    script: list[FakeStep] = [text("Let me see."), *CALLED]
    done = play(script, tools=[WEATHER, TIME], tool_choice=choice, stream=stream)
    assert [block["type"] for block in done.content] == ["text", "tool_use"]
    assert done.content[1]["input"] == {"city": "Rome"}
    assert done.end["stop_reason"] == "tool_use"
    assert "emulated=tool_choice" not in done.reply.headers.get("deepseek-messages-notes", "")


@both
@row("tool_choice.tool")
@pytest.mark.parametrize("first", [NO, [call("get_time"), finish("tool_calls")]])
def test_tc23_text_or_another_tool_instead_of_the_forced_one_is_tried_again(
    first: list[FakeStep], stream: bool
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    fields = {"tools": [WEATHER, TIME], "tool_choice": NAMED, "thinking": thinking}
    done = play(first, CALLED, stream=stream, dialect=VLLM, **fields)
    assert [block["name"] for block in done.content] == ["get_weather"]
    assert done.end["stop_reason"] == "tool_use"
    assert b"No." not in done.reply.body
    assert b"get_time" not in done.reply.body
    assert done.end["usage"]["input_tokens"] == 14
    assert done.end["usage"]["output_tokens"] == 6
    again = done.requests[1]
    assert again.messages[-1].content == (
        "Hello\n\nCall the tool get_weather now. Do not answer in text."
    )
    assert again.chat_template_kwargs == {"thinking": False, "enable_thinking": False}
    if not stream:
        assert "emulated=tool_choice@tool_choice" in done.reply.headers["deepseek-messages-notes"]


@both
@row("tool_choice.any")
@pytest.mark.parametrize("dialect", [None, VLLM])
def test_a_call_that_never_comes_is_asked_for_as_json(
    dialect: Dialect | None, stream: bool
) -> None:
    fields = {"tools": [WEATHER, TIME], "tool_choice": ANY, "stream": stream, "dialect": dialect}
    done = play(NO, NO, JSON_CALL, **fields)
    assert [(block["name"], block["input"]) for block in done.content] == [
        ("get_weather", {"city": "Rome"})
    ]
    assert done.end["stop_reason"] == "tool_use"
    assert done.end["usage"]["input_tokens"] == 21
    last = done.requests[-1]
    assert last.tools is None
    assert last.tool_choice is None
    assert last.response_format is not None
    assert last.response_format.type == ("json_schema" if dialect else "json_object")


@both
@row("tool_choice.any")
@pytest.mark.parametrize(
    "last",
    ["No.", '{"name": "get_weather", "arguments": {}}', '{"name": "x", "arguments": {}}', "[]"],
)
def test_a_call_that_never_comes_ends_in_a_clear_error(last: str, stream: bool) -> None:
    fields = {"tools": [WEATHER, TIME], "tool_choice": ANY}
    done = play(NO, NO, [text(last), FINISH], stream=stream, **fields)
    assert done.end["error"]["type"] == "api_error"
    assert "did not call the tool" in done.end["error"]["message"]
    assert done.content == []


@row("tool_choice.any")
@pytest.mark.parametrize(
    ("reason", "stop"), [("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_an_end_that_says_why_is_not_tried_again(reason: str, stop: str) -> None:
    done = play([text("Well"), finish(reason)], tools=[WEATHER], tool_choice=ANY)
    assert ([block["text"] for block in done.content], done.end["stop_reason"]) == (["Well"], stop)


@both
@row("tool_choice.any")
def test_broken_arguments_of_a_wrong_call_are_tried_again(stream: bool) -> None:
    broken = [call("get_time", "nonsense"), finish("tool_calls")]
    fields = {"tools": [WEATHER, TIME], "tool_choice": NAMED, "stream": stream}
    assert play(broken, CALLED, **fields).content[0]["input"] == {"city": "Rome"}


@both
def test_a_try_that_broke_is_paid_for_too(stream: bool) -> None:
    told = [text("Well"), finish("stop"), garbage("no JSON")]
    untold = [text("A few words, and then nonsense."), garbage("no JSON")]
    fields = {"tools": [WEATHER], "tool_choice": ANY, "stream": stream}
    usage = play(told, CALLED, **fields).end["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (14, 6)
    assert play(untold, CALLED, **fields).end["usage"]["output_tokens"] > 3


@both
@row("tool_choice.disable_parallel_tool_use")
def test_at_most_one_call_where_parallel_calls_are_off(stream: bool) -> None:
    other = ChatChunk(
        choices=[
            ChunkChoice(
                index=0,
                delta=ChatDelta(
                    tool_calls=[ToolCallDelta(1, "id_2", FunctionDelta("get_time", ROME))]
                ),
            )
        ]
    )
    choice = ANY | {"disable_parallel_tool_use": True}
    script: list[FakeStep] = [call(), other, finish("tool_calls")]
    done = play(script, tools=[WEATHER, TIME], tool_choice=choice, stream=stream)
    assert [block["name"] for block in done.content] == ["get_weather"]


def test_what_is_held_back_is_silence_with_pings_and_the_open_call_ends_with_the_client() -> None:
    waiting = Gate()
    upstream = FakeUpstream(NO, [Reached(waiting), SILENCE])
    pace = {"commit_after": 0.01, "ping_interval": 0.01}
    fields = {"tools": [WEATHER], "tool_choice": ANY, "stream": True}
    with served(upstream, server=pace) as running:
        with running.client.stream(HELLO | fields) as stream:
            first = stream.next()
            assert first is not None
            assert first["type"] == "message_start"
            second = stream.next()
            assert second is not None
            assert second["type"] == "ping"
            waiting.require()
        upstream.played[1].closed.require()


def test_the_second_call_may_fail_too() -> None:
    done = play(NO, [cut()], tools=[WEATHER], tool_choice=ANY, stream=False)
    assert done.reply.status == 502


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}


@row("output_config")
def test_sc07_native_structured_output_streams_as_it_comes() -> None:
    upstream = FakeUpstream([text('{"a":'), SILENCE], dialect=VLLM)
    with served(upstream) as running:
        fields = {"stream": True, "output_config": FORMAT}
        with running.client.stream(HELLO | fields) as stream:
            events = [stream.next() for _ in range(3)]
    names = [event["type"] for event in events if event is not None]
    assert names == ["message_start", "content_block_start", "content_block_delta"]


@row("output_config")
def test_native_structured_output_that_breaks_its_schema_is_an_error() -> None:
    done = play([text('{"a": "x"}'), FINISH], dialect=VLLM, output_config=FORMAT)
    assert done.end["error"]["message"].startswith("the answer does not fit the schema: /a:")


@row("output_config")
def test_sc08_the_schema_is_sent_as_the_caller_wrote_it() -> None:
    done = play([text('{"a": 1}'), FINISH], dialect=VLLM, output_config=FORMAT, stream=False)
    form = done.requests[0].response_format
    assert form is not None
    assert form.json_schema is not None
    assert json.loads(bytes(form.json_schema.schema)) == SCHEMA
    assert done.content == [{"type": "text", "text": '{"a": 1}'}]


BM25 = {"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}


def test_a_check_of_what_was_written_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = Gate(), Gate()
    check = SchemaCheck.problems

    def problems(self: SchemaCheck, said: str) -> list[str]:
        begun.set()
        go_on.require("the other answer")
        return check(self, said)

    monkeypatch.setattr(SchemaCheck, "problems", problems)
    with served(FakeUpstream([text('{"a": 1}'), FINISH])) as s:
        asked = s.client.send("POST", "/v1/messages", HELLO | {"output_config": FORMAT})
        begun.require("the check")
        assert s.client.get("/healthz").status == 200
        go_on.set()
        assert read_reply(asked).json()["content"][0]["text"] == '{"a": 1}'
        asked.close()


def test_a_search_for_tools_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = Gate(), Gate()

    def search(_query: str, _tools: object) -> list[str]:
        begun.set()
        go_on.require("the other answer")
        return ["get_weather"]

    monkeypatch.setattr(hosted_calls, "search_bm25", search)
    searching = [call(BM25["name"], '{"query": "weather"}'), finish("tool_calls")]
    with served(FakeUpstream(searching, CALLED)) as s:
        body = HELLO | {"tools": [BM25, WEATHER | {"defer_loading": True}]}
        asked = s.client.send("POST", "/v1/messages", body)
        begun.require("the search")
        assert s.client.get("/healthz").status == 200
        go_on.set()
        found = read_reply(asked).json()
        asked.close()
    assert [block["type"] for block in found["content"]] == [
        "server_tool_use", "tool_search_tool_result", "tool_use",
    ]  # fmt: skip
