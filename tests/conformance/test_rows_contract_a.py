"""Each row of DeepSeek's "Anthropic API" guide of autumn 2025, end to end: what the client got,
and what a strict DeepSeek was sent for it.
"""

from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.upstreams.double import AUTUMN_2025, Call, Double, Stall, Text, Think
from tests.conformance.rig import JSON, Reply, Rig, running_rig
from tests.support.gates import WAIT_SECONDS

row = pytest.mark.row


def user(*content: Any) -> JSON:
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def assistant(*blocks: JSON) -> JSON:
    return {"role": "assistant", "content": list(blocks)}


def sent_texts(reply: Reply) -> str:
    """All text of the messages that went upstream."""
    return "\n".join(str(message.get("content")) for message in reply.sent["messages"])


WEATHER = {
    "name": "get_weather",
    "description": "The weather now.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
TIME = {"name": "get_time", "description": "The time now.", "input_schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}}


def result(**fields: Any) -> JSON:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 C"} | fields


def loop(*results: JSON, call: JSON = CALL) -> list[JSON]:
    return [user("Weather in Rome?"), assistant(call), {"role": "user", "content": [*results]}]


# --- headers --------------------------------------------------------------------------------------

KEY = {"content-type": "application/json", "x-api-key": "sk-one"}


@row("headers.anthropic-beta")
@pytest.mark.parametrize("value", ["", "files-api-2025-04-14", "no-such-beta,,other-2099-01-01"])
def test_beta_header_is_ignored(rig: Rig, value: str) -> None:
    plain = rig.served(headers=KEY)
    with_beta = rig.served(headers=KEY | {"anthropic-beta": value})
    assert with_beta.sent == plain.sent
    assert with_beta.text == plain.text


@row("headers.anthropic-version")
@pytest.mark.parametrize("value", ["2023-06-01", "2026-10-21", "1999-01-01", "nonsense"])
def test_version_header_is_ignored(rig: Rig, value: str) -> None:
    plain = rig.served(headers=KEY)
    assert rig.served(headers=KEY | {"anthropic-version": value}).sent == plain.sent


@row("headers.x-api-key")
def test_key_goes_upstream(rig: Rig) -> None:
    reply = rig.served(headers={"x-api-key": "sk-mine"})
    assert reply.seen is not None
    assert reply.seen.key == "sk-mine"


@row("headers.x-api-key")
@pytest.mark.parametrize("headers", [{}, {"x-api-key": "sk-invalid"}], ids=["none", "wrong"])
def test_missing_or_wrong_key_is_an_authentication_error(rig: Rig, headers: dict[str, str]) -> None:
    reply = rig.ask(headers=headers)
    assert reply.status == 401
    assert reply.body["error"]["type"] == "authentication_error"


@row("headers.authorization")
def test_bearer_wins_over_the_other_key(rig: Rig) -> None:
    headers = {"x-api-key": "sk-invalid", "authorization": "Bearer sk-mine"}
    reply = rig.served(headers=headers)
    assert reply.seen is not None
    assert reply.seen.key == "sk-mine"


# --- simple fields --------------------------------------------------------------------------------


@row("model")
@pytest.mark.parametrize(
    ("name", "served", "thinking"),
    [
        ("deepseek-chat", "deepseek-flash", "disabled"),
        ("deepseek-reasoner", "deepseek-flash", "enabled"),
        ("deepseek-flash", "deepseek-flash", "disabled"),
        ("deepseek-v4-pro[1m]", "deepseek-v4-pro", "disabled"),
        ("claude-opus-5-5", "deepseek-v4-pro", "disabled"),
        ("claude-haiku-5-5", "deepseek-flash", "disabled"),
        ("no-such-model", "deepseek-flash", "disabled"),
    ],
)
def test_model_is_served(rig: Rig, name: str, served: str, thinking: str) -> None:
    reply = rig.served(Think("Hm."), Text("Hi."), model=name)
    assert reply.sent["model"] == served
    assert reply.sent["thinking"] == {"type": thinking}
    kinds = [block["type"] for block in reply.body["content"]]
    assert kinds == (["thinking", "text"] if thinking == "enabled" else ["text"])


@row("model")
def test_unknown_model_is_served_by_deepseek_chat_where_there_is_one(
    tmp_path: Path,
) -> None:
    with running_rig(tmp_path, Double(models=AUTUMN_2025), key="sk-server") as old:
        assert old.served(model="no-such-model").sent["model"] == "deepseek-chat"
        assert old.served(model="deepseek-reasoner").sent["model"] == "deepseek-reasoner"
        clamped = old.served(model="deepseek-chat", max_tokens=32_000)
        assert clamped.sent["max_tokens"] == 8_192


@row("max_tokens")
def test_max_tokens_is_passed_on(rig: Rig) -> None:
    assert rig.served(max_tokens=77).sent["max_tokens"] == 77


@row("max_tokens")
def test_answer_ends_at_max_tokens(rig: Rig) -> None:
    reply = rig.served(Text("one two three four five six seven"), max_tokens=3)
    assert reply.body["stop_reason"] == "max_tokens"
    assert reply.body["usage"]["output_tokens"] == 3


@row("max_tokens")
def test_max_tokens_above_the_models_is_lowered(rig: Rig) -> None:
    reply = rig.served(max_tokens=10_000_000)
    assert reply.sent["max_tokens"] == 393_216
    assert "clamped=max_tokens@max_tokens" in reply.notes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("container", "container_1", marks=row("container")),
        pytest.param("container", {"id": "c", "skills": []}, marks=row("container")),
        pytest.param("mcp_servers", [{"type": "url", "url": "x"}], marks=row("mcp_servers")),
        pytest.param("service_tier", "standard_only", marks=row("service_tier")),
        pytest.param("safety_check", {"level": "high"}, marks=row("safety_check")),
        pytest.param("top_k", 40, marks=row("top_k")),
    ],
)
def test_field_is_accepted_without_effect(rig: Rig, field: str, value: object) -> None:
    plain = rig.served()
    reply = rig.served(**{field: value})
    assert reply.sent == plain.sent
    assert any(field in note for note in reply.notes)


@row("metadata")
def test_user_id_travels_as_a_digest_and_the_rest_does_not(rig: Rig) -> None:
    reply = rig.served(metadata={"user_id": "Jörg <j@example.com>", "other": "thing"})
    again = rig.served(metadata={"user_id": "Jörg <j@example.com>"})
    assert reply.sent == again.sent
    assert reply.sent["user_id"].isalnum()
    assert "example" not in str(reply.sent)
    assert rig.served(metadata={"user_id": None}).sent.get("user_id") is None


@row("stop_sequences")
def test_answer_ends_at_a_stop_sequence(rig: Rig) -> None:
    reply = rig.served(Text("one two STOP three"), stop_sequences=["HALT", "STOP"])
    assert reply.text == "one two "
    assert reply.body["stop_reason"] == "stop_sequence"
    assert reply.body["stop_sequence"] == "STOP"


@row("stop_sequences")
def test_stream_ends_at_a_stop_sequence_and_the_upstream_is_closed(rig: Rig) -> None:
    reply = rig.served(Text("one two STOP"), Stall(), stream=True, stop_sequences=["STOP"])
    assert reply.events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}
    usage = reply.events[-2]["usage"]
    assert usage["input_tokens"] == reply.events[0]["message"]["usage"]["input_tokens"] > 0
    assert usage["output_tokens"] == 3
    assert reply.notes == ["emulated=stop_sequences@stop_sequences"]
    assert reply.seen is not None
    assert reply.seen.ended.wait(WAIT_SECONDS)
    assert reply.seen.outcome == "client gone"


@row("stop_sequences")
def test_more_stop_sequences_than_deepseek_takes(rig: Rig) -> None:
    stops = [f"<{number}>" for number in range(40)]
    reply = rig.served(Text("one <39> two"), stop_sequences=stops)
    assert reply.text == "one "
    assert reply.body["stop_sequence"] == "<39>"


@row("stream")
def test_stream(rig: Rig) -> None:
    reply = rig.served(Text("Hi there."), stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.events[0]["type"] == "message_start"
    assert reply.events[-1]["type"] == "message_stop"
    assert reply.sent["stream"] is True


@row("stream")
@pytest.mark.parametrize("value", [False, None, ...])
def test_without_stream_the_answer_is_whole(rig: Rig, value: object) -> None:
    reply = rig.served(Text("Hi there."), stream=value)
    assert reply.headers["content-type"].startswith("application/json")
    assert (reply.body["type"], reply.text) == ("message", "Hi there.")


@row("system")
@pytest.mark.parametrize(
    ("system", "sent"),
    [
        ("Be kind.", "Be kind."),
        ([{"type": "text", "text": "Be kind."}], "Be kind."),
        ([{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}], "Be\n\nkind."),
    ],
)
def test_system_prompt_comes_first(rig: Rig, system: object, sent: str) -> None:
    first = rig.served(system=system).sent["messages"][0]
    assert first == {"role": "system", "content": sent}


@row("system")
@pytest.mark.parametrize("system", [None, ..., "", []])
def test_no_system_prompt(rig: Rig, system: object) -> None:
    assert rig.served(system=system).sent["messages"][0]["role"] == "user"


@row("temperature")
@pytest.mark.parametrize("value", [0, 0.5, 2])
def test_temperature_is_passed_on(rig: Rig, value: float) -> None:
    assert rig.served(temperature=value).sent["temperature"] == value


@row("temperature")
@pytest.mark.parametrize("value", [-0.1, 2.1])
def test_temperature_out_of_range_is_refused_by_name(rig: Rig, value: float) -> None:
    reply = rig.ask(temperature=value)
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("temperature: ")


@row("top_p")
def test_top_p_is_passed_on(rig: Rig) -> None:
    assert rig.served(top_p=0.9).sent["top_p"] == 0.9


@row("top_p")
@pytest.mark.parametrize("value", [0, -0.0, 5e-324, 1e-320, 1e-39])
def test_top_p_of_zero_is_the_smallest_that_deepseek_takes(rig: Rig, value: float) -> None:
    reply = rig.served(top_p=value)
    assert reply.sent["top_p"] == 0.01
    assert reply.notes == ["clamped=top_p@top_p"]


@row("top_p")
@pytest.mark.parametrize("value", [2e-38, 1e-9, 0.01, 1])
def test_top_p_at_its_borders_is_passed_on(rig: Rig, value: float) -> None:
    assert rig.served(top_p=value).sent["top_p"] == value


@row("top_p")
def test_top_p_out_of_range_is_refused_by_name(rig: Rig) -> None:
    reply = rig.ask(top_p=1.1)
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("top_p: ")


@row("thinking")
@pytest.mark.parametrize(
    ("thinking", "switch"),
    [
        (..., "disabled"),
        ({"type": "disabled"}, "disabled"),
        ({"type": "enabled", "budget_tokens": 2048}, "enabled"),
        ({"type": "adaptive"}, "enabled"),
    ],
)
def test_thinking_is_switched(rig: Rig, thinking: object, switch: str) -> None:
    reply = rig.served(Think("Because."), Text("Hi."), thinking=thinking, max_tokens=4096)
    assert reply.sent["thinking"] == {"type": switch}
    kinds = [block["type"] for block in reply.body["content"]]
    assert kinds == (["thinking", "text"] if switch == "enabled" else ["text"])


@row("output_config")
@pytest.mark.parametrize(
    ("effort", "sent"), [("low", "low"), ("high", "high"), ("xhigh", "high"), ("max", "max")]
)
def test_effort_is_translated(rig: Rig, effort: str, sent: str) -> None:
    reply = rig.served(thinking={"type": "adaptive"}, output_config={"effort": effort})
    assert reply.sent["reasoning_effort"] == sent


# --- tools ----------------------------------------------------------------------------------------


@row("tools.name")
@row("tools.description")
@row("tools.input_schema")
def test_tool_is_passed_on(rig: Rig) -> None:
    reply = rig.served(tools=[WEATHER])
    assert reply.sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather now.",
                "parameters": WEATHER["input_schema"],
            },
        }
    ]


@row("tools.name")
def test_odd_tool_name_comes_back_as_it_was(rig: Rig) -> None:
    name = "files.read/Ω " + "x" * 80
    reply = rig.served(tools=[WEATHER | {"name": name}], tool_choice={"type": "any"})
    sent = reply.sent["tools"][0]["function"]["name"]
    assert len(sent) <= 64
    assert sent.isascii()
    assert reply.body["content"][0]["name"] == name


@row("tools.cache_control")
def test_cache_control_of_a_tool_is_ignored(rig: Rig) -> None:
    plain = rig.served(tools=[WEATHER])
    marked = rig.served(tools=[WEATHER | {"cache_control": {"type": "ephemeral"}}])
    assert marked.sent == plain.sent


@row("tools.web_search")
def test_web_search_is_left_out_with_a_note(rig: Rig) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    reply = rig.served(tools=[search, WEATHER])
    assert [tool["function"]["name"] for tool in reply.sent["tools"]] == ["get_weather"]
    assert "dropped=tools.web_search_20250305@tools.0" in reply.notes


# --- tool_choice ----------------------------------------------------------------------------------


@row("tool_choice.none")
def test_none_keeps_tools_out_of_the_prompt(rig: Rig) -> None:
    reply = rig.served(tools=[WEATHER], tool_choice={"type": "none"})
    assert reply.seen is not None
    assert "get_weather" not in reply.seen.prompt
    assert [block["type"] for block in reply.body["content"]] == ["text"]


@row("tool_choice.auto")
def test_auto_leaves_the_choice_to_the_model(rig: Rig) -> None:
    calls = rig.served(Call("get_weather"), tools=[WEATHER], tool_choice={"type": "auto"})
    assert calls.body["stop_reason"] == "tool_use"
    talks = rig.served(Text("No."), tools=[WEATHER], tool_choice={"type": "auto"})
    assert talks.body["stop_reason"] == "end_turn"


@row("tool_choice.any")
def test_any_forces_a_call(rig: Rig) -> None:
    reply = rig.served(tools=[WEATHER, TIME], tool_choice={"type": "any"})
    assert reply.sent["tool_choice"] == "required"
    assert reply.body["stop_reason"] == "tool_use"


@row("tool_choice.tool")
def test_tool_forces_a_call_of_that_tool(rig: Rig) -> None:
    reply = rig.served(tools=[WEATHER, TIME], tool_choice={"type": "tool", "name": "get_time"})
    assert [block["name"] for block in reply.body["content"]] == ["get_time"]


@row("tool_choice.any")
@row("tool_choice.tool")
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_time"}])
def test_forced_call_goes_before_thinking(rig: Rig, choice: JSON) -> None:
    reply = rig.served(tools=[TIME], tool_choice=choice, thinking={"type": "adaptive"})
    assert reply.sent["thinking"] == {"type": "disabled"}
    assert "emulated=tool_choice.thinking_off@tool_choice" in reply.notes
    assert [block["type"] for block in reply.body["content"]] == ["tool_use"]


@row("tool_choice.null")
def test_null_is_the_same_as_nothing(rig: Rig) -> None:
    plain = rig.served(tools=[WEATHER])
    assert rig.served(tools=[WEATHER], tool_choice=None).sent == plain.sent


@row("tool_choice.disable_parallel_tool_use")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["auto", "any"])
def test_at_most_one_call(rig: Rig, kind: str, stream: bool) -> None:
    reply = rig.served(
        Call("get_weather", '{"city": "Rome"}'),
        Call("get_time"),
        tools=[WEATHER, TIME],
        tool_choice={"type": kind, "disable_parallel_tool_use": True},
        stream=stream,
    )
    if stream:
        starts = [each for each in reply.events if each["type"] == "content_block_start"]
        names = [each["content_block"].get("name") for each in starts]
    else:
        names = [block["name"] for block in reply.body["content"]]
    assert names == ["get_weather"]


# --- content --------------------------------------------------------------------------------------


@row("messages.content.string")
@row("messages.content.text.text")
def test_string_and_text_block_are_the_same(rig: Rig) -> None:
    string = rig.served(messages=[user("Say it.")])
    block = rig.served(messages=[user([{"type": "text", "text": "Say it."}])])
    assert string.sent == block.sent
    assert string.sent["messages"] == [{"role": "user", "content": "Say it."}]


@row("messages.content.text.text")
def test_text_blocks_are_joined(rig: Rig) -> None:
    blocks = [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert rig.served(messages=[user(blocks)]).sent["messages"][0]["content"] == "One.\n\nTwo."


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("plain", "marked"),
    [
        pytest.param(
            [user([{"type": "text", "text": "Hi"}])],
            [user([{"type": "text", "text": "Hi"} | MARK])],
            marks=row("messages.content.text.cache_control"),
        ),
        pytest.param(
            [user([{"type": "text", "text": "Hi"}])],
            [user([{"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]}])],
            marks=row("messages.content.text.citations"),
        ),
        pytest.param(
            loop(result()),
            loop(result(), call=CALL | MARK),
            marks=row("messages.content.tool_use.cache_control"),
        ),
        pytest.param(
            loop(result()),
            loop(result(**MARK)),
            marks=row("messages.content.tool_result.cache_control"),
        ),
    ],
)
def test_sub_field_is_ignored(rig: Rig, plain: list[JSON], marked: list[JSON]) -> None:
    without = rig.served(messages=plain, tools=[WEATHER])
    assert rig.served(messages=marked, tools=[WEATHER]).sent == without.sent


PIXEL = "R0lGODlhAQABAAAAADs="


@row("messages.content.image.source")
@pytest.mark.parametrize(
    ("source", "part"),
    [
        (
            {"type": "base64", "media_type": "image/gif", "data": PIXEL},
            {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{PIXEL}"}},
        ),
        (
            {"type": "url", "url": "https://example.com/a.png"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ),
    ],
    ids=["base64", "url"],
)
def test_image_reaches_a_model_that_sees(rig: Rig, source: JSON, part: JSON) -> None:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    reply = rig.ask(messages=[user(content)])
    assert reply.seen is not None
    assert reply.seen.body is not None
    assert part in reply.seen.body["messages"][0]["content"]


@row("messages.content.image.source")
def test_image_becomes_a_note_for_a_model_that_does_not_see(rig: Rig) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    reply = rig.served(model="deepseek-v4-pro", messages=[user([image])])
    assert "image" in sent_texts(reply)
    assert "example.com" not in sent_texts(reply)
    assert "replaced=image@messages.0.content.0" in reply.notes


@row("messages.content.document")
def test_text_document_reaches_the_model(rig: Rig) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "All cats are grey."}
    document = {"type": "document", "source": source, "title": "Cats"}
    text = sent_texts(rig.served(messages=[user([document])]))
    assert "All cats are grey." in text
    assert "Cats" in text


@row("messages.content.search_result")
def test_search_result_reaches_the_model(rig: Rig) -> None:
    found = {
        "type": "search_result",
        "source": "https://example.com/cats",
        "title": "Cats",
        "content": [{"type": "text", "text": "All cats are grey."}],
    }
    text = sent_texts(rig.served(messages=[user([found])]))
    assert all(each in text for each in ("All cats are grey.", "Cats", "https://example.com/cats"))


@row("messages.content.thinking")
@pytest.mark.parametrize("signature", [..., "", "of another vendor"])
def test_thinking_goes_back_as_reasoning(rig: Rig, signature: object) -> None:
    thought = {"type": "thinking", "thinking": "Rome is in Italy."}
    if signature is not ...:
        thought["signature"] = str(signature)
    messages = [user("Weather?"), assistant(thought, CALL), user([result()])]
    reply = rig.served(messages=messages, tools=[WEATHER], thinking={"type": "adaptive"})
    assert reply.sent["messages"][1]["reasoning_content"] == "Rome is in Italy."


@row("messages.content.redacted_thinking")
def test_redacted_thinking_is_left_out_with_a_note(rig: Rig) -> None:
    hidden = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    said = {"type": "text", "text": "Hello."}
    reply = rig.served(messages=[user("Hi"), assistant(hidden, said), user("Go on.")])
    assert "c2VjcmV0" not in str(reply.sent)
    assert reply.sent["messages"][1]["content"] == "Hello."
    assert "ignored=redacted_thinking@messages.1.content.0" in reply.notes


@row("messages.content.tool_use.id")
@row("messages.content.tool_use.name")
@row("messages.content.tool_use.input")
@row("messages.content.tool_result.tool_use_id")
@row("messages.content.tool_result.content")
def test_call_and_result_go_back(rig: Rig) -> None:
    reply = rig.served(messages=loop(result()), tools=[WEATHER])
    call = reply.sent["messages"][1]["tool_calls"][0]
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Rome"}'}
    assert call["id"] == "toolu_1"
    answer = reply.sent["messages"][2]
    assert answer == {"role": "tool", "tool_call_id": "toolu_1", "content": "18 C"}


@row("messages.content.tool_use.id")
@row("messages.content.tool_use.input")
def test_call_comes_out_whole(rig: Rig) -> None:
    reply = rig.served(Call("get_weather", '{"city": "São Paulo"}'), tools=[WEATHER])
    block = reply.body["content"][0]
    assert block["input"] == {"city": "São Paulo"}
    assert block["id"]


@row("messages.content.tool_result.tool_use_id")
def test_results_find_their_calls_in_any_order(rig: Rig) -> None:
    second = CALL | {"id": "toolu_2", "input": {"city": "Oslo"}}
    results = [result(tool_use_id="toolu_2", content="2 C"), result(content="18 C")]
    messages = [user("Weather?"), assistant(CALL, second), user(results)]
    sent = rig.served(messages=messages, tools=[WEATHER]).sent["messages"][2:]
    assert [(each["tool_call_id"], each["content"]) for each in sent] == [
        ("toolu_1", "18 C"),
        ("toolu_2", "2 C"),
    ]


@row("messages.content.tool_result.content")
@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("18 C", "18 C"),
        ([{"type": "text", "text": "18"}, {"type": "text", "text": "C"}], "18\n\nC"),
        ([], ""),
        (None, ""),
    ],
)
def test_result_content_of_each_form(rig: Rig, content: object, sent: str) -> None:
    reply = rig.served(messages=loop(result(content=content)), tools=[WEATHER])
    assert reply.sent["messages"][2]["content"] == sent


@row("messages.content.tool_result.is_error")
def test_failed_call_is_told_to_the_model(rig: Rig) -> None:
    failed = rig.served(messages=loop(result(is_error=True)), tools=[WEATHER])
    fine = rig.served(messages=loop(result(is_error=False)), tools=[WEATHER])
    assert "error" in failed.sent["messages"][2]["content"]
    assert failed.sent["messages"][2]["content"].endswith("18 C")
    assert fine.sent["messages"][2]["content"] == "18 C"


SEARCH = {"type": "web_search_result", "url": "https://example.com", "title": "Grey cats"}


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        pytest.param(
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            "web_search",
            marks=row("messages.content.server_tool_use"),
        ),
        pytest.param(
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": [SEARCH | {"encrypted_content": "c2VjcmV0"}],
            },
            "Grey cats",
            marks=row("messages.content.web_search_tool_result"),
        ),
        pytest.param(
            {
                "type": "code_execution_tool_result",
                "tool_use_id": "s1",
                "content": {"type": "code_execution_result", "stdout": "42"},
            },
            "42",
            marks=row("messages.content.code_execution_tool_result"),
        ),
        pytest.param(
            {"type": "mcp_tool_use", "id": "m1", "name": "look", "server_name": "s", "input": {}},
            "look",
            marks=row("messages.content.mcp_tool_use"),
        ),
        pytest.param(
            {
                "type": "mcp_tool_result",
                "tool_use_id": "m1",
                "content": [{"type": "text", "text": "found it"}],
            },
            "found it",
            marks=row("messages.content.mcp_tool_result"),
        ),
    ],
)
def test_block_of_a_server_tool_becomes_text_with_a_note(rig: Rig, block: JSON, shown: str) -> None:
    said = {"type": "text", "text": "Done."}
    reply = rig.served(messages=[user("Hi"), assistant(block, said), user("Go on.")])
    answer = reply.sent["messages"][1]["content"]
    assert shown in answer
    assert answer.endswith("Done.")
    assert "c2VjcmV0" not in answer
    assert f"replaced={block['type']}@messages.1.content.0" in reply.notes


@row("messages.content.container_upload")
def test_container_upload_becomes_a_note(rig: Rig) -> None:
    upload = {"type": "container_upload", "file_id": "file_1"}
    reply = rig.served(messages=[user([upload, {"type": "text", "text": "Look."}])])
    assert "file_1" in sent_texts(reply)
    assert "replaced=container_upload@messages.0.content.0" in reply.notes


@row("messages.content.document")
def test_document_that_cannot_be_read_becomes_a_note(rig: Rig) -> None:
    document = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    reply = rig.served(messages=[user([document])])
    assert "document" in sent_texts(reply)
    assert "replaced=document@messages.0.content.0" in reply.notes


@pytest.mark.parametrize(
    ("model", "block"),
    [
        ("deepseek-v4-pro", {"type": "image", "source": {"type": "url", "url": "https://x/y"}}),
        ("deepseek-chat", {"type": "document", "source": {"type": "file", "file_id": "f"}}),
        ("deepseek-chat", {"type": "container_upload", "file_id": "f"}),
    ],
    ids=["image", "document", "container_upload"],
)
def test_strict_mode_refuses_what_would_be_replaced(
    tmp_path: Path, model: str, block: JSON
) -> None:
    with running_rig(tmp_path, strict=True) as strict:
        reply = strict.ask(model=model, messages=[user([block])])
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("messages.0.content.0: ")
    assert reply.seen is None


# --- endpoints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/anthropic"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v1/messages", marks=row("endpoints.messages")),
        pytest.param("/v1/messages?beta=true", marks=row("endpoints.messages")),
        pytest.param("/messages", marks=row("endpoints.messages_without_version")),
    ],
)
def test_messages_endpoint(rig: Rig, prefix: str, path: str) -> None:
    body = {"model": "deepseek-chat", "max_tokens": 9, "messages": [user("Hi")]}
    reply = rig.call("POST", prefix + path, body)
    assert (reply.status, reply.body["type"]) == (200, "message")


@row("endpoints.count_tokens")
@pytest.mark.parametrize("prefix", ["", "/anthropic"])
def test_count_is_what_the_request_is_charged(rig: Rig, prefix: str) -> None:
    body = {"model": "deepseek-chat", "messages": loop(result()), "tools": [WEATHER]}
    counted = rig.call("POST", prefix + "/v1/messages/count_tokens", body)
    assert counted.status == 200
    assert counted.seen is None
    usage = rig.served(messages=body["messages"], tools=body["tools"]).body["usage"]
    assert counted.body == {
        "input_tokens": usage["input_tokens"]
        + usage["cache_read_input_tokens"]
        + usage["cache_creation_input_tokens"]
    }


@row("endpoints.count_tokens")
def test_count_with_an_image_that_only_deepseek_can_see_is_an_estimate(rig: Rig) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    body = {"model": "deepseek-flash", "messages": [user([image])]}
    counted = rig.call("POST", "/v1/messages/count_tokens", body)
    assert counted.body["input_tokens"] > 1000
    assert "estimated=input_tokens" in counted.notes


@row("endpoints.models")
def test_models_are_listed_in_both_shapes(rig: Rig) -> None:
    for path in ("/v1/models", "/anthropic/v1/models?limit=1000"):
        body = rig.call("GET", path).body
        assert body["object"] == "list"
        assert body["has_more"] is False
        ids = [model["id"] for model in body["data"]]
        assert ids[:2] == ["deepseek-flash", "deepseek-v4-pro"]
        assert {"deepseek-chat", "deepseek-reasoner"} <= set(ids)


@row("endpoints.models")
def test_models_come_in_pages(rig: Rig) -> None:
    first = rig.call("GET", "/v1/models?limit=1").body
    assert (first["has_more"], first["last_id"]) == (True, "deepseek-flash")
    second = rig.call("GET", "/v1/models?limit=1&after_id=deepseek-flash").body
    assert second["first_id"] == "deepseek-v4-pro"
    assert rig.call("GET", "/v1/models?limit=0").status == 400


@row("endpoints.model")
@pytest.mark.parametrize("name", ["deepseek-v4-pro", "deepseek%2Fdeepseek-v4-pro", "claude-opus-5"])
def test_one_model(rig: Rig, name: str) -> None:
    body = rig.call("GET", f"/v1/models/{name}").body
    assert (body["type"], body["id"]) == ("model", "deepseek-v4-pro")


@row("endpoints.model")
def test_unknown_model_is_not_found(rig: Rig) -> None:
    reply = rig.call("GET", "/v1/models/no/such:model")
    assert reply.status == 404
    assert reply.body["error"] == {"type": "not_found_error", "message": "model: no/such:model"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/v1/messages/batches", marks=row("endpoints.batches")),
        pytest.param("GET", "/v1/messages/batches/b1", marks=row("endpoints.batches")),
        pytest.param("POST", "/v1/files", marks=row("endpoints.files")),
        pytest.param("GET", "/v1/files/file_1/content", marks=row("endpoints.files")),
        pytest.param("GET", "/v1/skills", marks=row("endpoints.skills")),
        pytest.param("GET", "/v1/user_profiles", marks=row("endpoints.user_profiles")),
        pytest.param("POST", "/v1/complete", marks=row("endpoints.complete")),
        pytest.param("GET", "/v1/agents", marks=row("endpoints.hosted_products")),
        pytest.param("POST", "/v1/sessions/s1/events", marks=row("endpoints.hosted_products")),
    ],
)
def test_endpoint_that_is_not_offered_is_not_found(rig: Rig, method: str, path: str) -> None:
    reply = rig.call(method, path, {} if method == "POST" else None)
    assert reply.status == 404
    assert reply.body["error"]["type"] == "not_found_error"
