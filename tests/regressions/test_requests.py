"""ER, SC, SY, CT, MO, WS: errors, schemas, system prompts, counts, models, server tools."""

import json
import re
from typing import Any

import pytest

from deepseek_messages.upstreams.double import Double, Status, Text
from tests.conformance.rig import Rig, running_rig
from tests.regressions.stage import Stage, chunk, error_stop, frames, usage

READ = {"name": "read", "input_schema": {"type": "object", "properties": {}}}


def openai_error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None} | more}


# --- errors ---------------------------------------------------------------------------------------

OVERFLOW = (
    "This model's maximum context length is 262144 tokens. However, you requested 262462 tokens"
    " (230462 in the messages, 32000 in the completion). Please reduce the length of the messages"
    " or completion."
)


@pytest.mark.parametrize("stream", [False, True])
def test_er_01_03_overflow_in_words_that_clients_act_on(vllm: Stage, stream: bool) -> None:
    vllm.answers(openai_error(OVERFLOW, code=400), 400)
    status, kind, message = vllm.ask(stream=stream).error()
    assert (status, kind) == (400, "invalid_request_error")
    assert message.startswith(
        "input length and `max_tokens` exceed context limit: 230462 + 32000 > 262144"
    )
    assert "Exception" not in message


def test_er_04_an_error_inside_a_stream(vllm: Stage) -> None:
    vllm.streams(chunk(content="Half"), {"error": {"message": "EngineCore died", "code": 500}})
    message = error_stop(vllm.events())
    assert message is not None
    assert "EngineCore died" in message


@pytest.mark.parametrize("code", [400, "400", None, {"a": 1}, [4], 4.5])
def test_er_05_an_error_code_of_any_type(vllm: Stage, code: Any) -> None:
    vllm.answers(openai_error("Bad thing", code=code), 400)
    assert vllm.ask().error() == (400, "invalid_request_error", "Bad thing")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (429, "rate_limit_error")],
)
def test_er_07_the_status_is_kept(deepseek: Stage, status: int, kind: str) -> None:
    deepseek.answers(openai_error("No."), status)
    assert deepseek.ask().error()[:2] == (status, kind)


def test_er_08_retry_after_is_passed_on(deepseek: Stage) -> None:
    deepseek.answers(openai_error("Slow down"), 429, retry_after="7")
    reply = deepseek.ask()
    assert reply.status == 429
    assert reply.headers["retry-after"] == "7"


@pytest.mark.row("headers.anthropic-ratelimit")
def test_rate_limits_of_a_refusal_are_passed_on(deepseek: Stage) -> None:
    deepseek.answers(
        openai_error("Slow down"),
        429,
        date="Sun, 22 Nov 2026 10:00:00 GMT",
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="1m30s",
        anthropic_ratelimit_unified_status="rejected",
    )
    headers = deepseek.ask().headers
    told = {name: value for name, value in headers.items() if "ratelimit" in name}
    assert told == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-22T10:01:30Z",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "messages: "),
        ({"messages": [{"role": "foo", "content": "x"}]}, "messages.0.role: "),
        ({"messages": [{"role": "user", "content": [{"type": "zap"}]}]}, "messages.0.content.0: "),
        ({"max_tokens": "many"}, "max_tokens: "),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name: "),
    ],
    ids=["ER-09", "ER-11 role", "ER-11 block", "ER-15 type", "ER-15 field"],
)
def test_er_09_11_15_bad_requests_are_named(
    deepseek: Stage, body: dict[str, Any], message: str
) -> None:
    status, kind, said = deepseek.ask(**body).error()
    assert (status, kind) == (400, "invalid_request_error")
    assert said.startswith(message)


def test_er_12_context_management_is_accepted(rig: Rig) -> None:
    edits = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    assert rig.served(context_management=edits).text


def test_er_13_a_user_id_that_deepseek_would_refuse(rig: Rig) -> None:
    odd = json.dumps({"device_id": "a" * 64, "account": "", "session_id": "é"})
    sent = rig.served(metadata={"user_id": odd}).sent
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", sent["user_id"])
    assert sent["user_id"] == rig.served(metadata={"user_id": odd}).sent["user_id"]


@pytest.mark.parametrize("inside", [False, True], ids=["status", "first event"])
def test_er_16_an_error_before_any_data(deepseek: Stage, inside: bool) -> None:
    if inside:
        deepseek.streams({"error": {"message": "No capacity", "type": "server_error"}})
        reply = deepseek.ask(stream=True)
        assert "No capacity" in reply.body.decode()
        assert b"message_stop" not in reply.body
    else:
        deepseek.answers(openai_error("No capacity"), 503)
        reply = deepseek.ask(stream=True)
        assert reply.error() == (529, "overloaded_error", "No capacity")


def test_er_17_a_compressed_stream_is_read(deepseek: Stage) -> None:
    import gzip

    data = gzip.compress(frames(chunk(content="Packed"), chunk("stop"), usage()))
    fields = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    deepseek.server.script.append((200, fields, [data[:20], data[20:]]))
    (block,) = deepseek.blocks()
    assert block["text"] == "Packed"


# --- schemas --------------------------------------------------------------------------------------


def parameters(rig: Rig, schema: Any) -> Any:
    sent = rig.served(tools=[{"name": "t", "input_schema": schema}]).sent
    return sent["tools"][0]["function"]["parameters"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"properties": {"a": {"type": "string"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}, "b": {}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"enum": [None, 1]}]}}},
    ],
    ids=["SC-04", "SC-04 nested", "SC-05", "SC-03", "SC-09 types", "SC-09 null"],
)
def test_sc_03_04_05_09_schemas_that_others_refuse(rig: Rig, schema: dict[str, Any]) -> None:
    found = parameters(rig, schema)  # the double refuses what DeepSeek refuses
    assert found["type"] == "object"
    given = schema.get("properties", {})
    assert set(found.get("properties", {})) == set(given)


FORMAT = {
    "type": "json_schema",
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    },
}


def test_sc_07_structured_output_where_only_json_mode_is(rig: Rig) -> None:
    reply = rig.served(Text('{"a": 1}'), output_config={"format": FORMAT})
    assert reply.sent["response_format"] == {"type": "json_object"}
    assert "additionalProperties" in reply.sent["messages"][0]["content"]
    assert json.loads(reply.text) == {"a": 1}


def test_sc_07_08_structured_output_goes_as_it_is_where_it_can(vllm: Stage) -> None:
    vllm.answers({"choices": [{"message": {"content": '{"a": 1}'}, "finish_reason": "stop"}]})
    vllm.served(output_config={"format": FORMAT})
    given = vllm.sent["response_format"]["json_schema"]
    assert given["schema"] == FORMAT["schema"]
    assert not given.get("strict")


# --- system prompts -------------------------------------------------------------------------------

NOTE = {"role": "system", "content": "<total_tokens>9 tokens left</total_tokens>"}
TURNS = [
    {"role": "user", "content": "One"},
    {"role": "assistant", "content": "Two"},
    {"role": "user", "content": "Three"},
]


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
def test_sy_01_03_04_a_system_message_keeps_its_place(rig: Rig, model: str) -> None:
    sent = rig.served(model=model, messages=[*TURNS, NOTE]).sent["messages"]
    assert "tokens left" in str(sent[-1])
    assert [m["content"] for m in sent[:2]] == ["One", "Two"]
    if model == "deepseek-v4-pro":
        assert sent[-1]["role"] == "user"


def test_sy_05_both_kinds_of_system_prompt_are_kept(rig: Rig) -> None:
    top = [{"type": "text", "text": "Top.", "cache_control": {"type": "ephemeral"}}]
    sent = rig.served(system=top, messages=[NOTE, *TURNS]).sent["messages"]
    text = json.dumps(sent)
    assert "Top." in text
    assert "tokens left" in text


@pytest.mark.parametrize("upstream", ["rig", "vllm"])
def test_sy_07_the_billing_block_is_left_out(request: Any, upstream: str) -> None:
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.abc; cch=1;"},
        {"type": "text", "text": "You are useful."},
    ]
    stage = request.getfixturevalue(upstream)
    reply = stage.served(system=system)
    sent = reply.sent if upstream == "rig" else stage.sent
    assert sent["messages"][0] == {"role": "system", "content": "You are useful."}


def test_sy_08_09_parts_are_joined_by_a_blank_line_into_one_string(rig: Rig) -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    sent = rig.served(system=parts, messages=[{"role": "user", "content": parts}]).sent
    assert [message["content"] for message in sent["messages"]] == ["A\n\nB", "A\n\nB"]


def test_sy_11_a_last_answer_is_continued_with_thinking_off(rig: Rig) -> None:
    messages = [{"role": "user", "content": "Count"}, {"role": "assistant", "content": "One, "}]
    reply = rig.served(Text("two."), messages=messages, thinking={"type": "adaptive"})
    assert reply.sent["thinking"] == {"type": "disabled"}
    assert reply.sent["messages"][-1]["prefix"] is True
    assert reply.text == "two."


@pytest.mark.parametrize("role", ["ctx", "msg"])
def test_sy_12_roles_of_claude_code_count_as_the_user(rig: Rig, role: str) -> None:
    sent = rig.served(messages=[{"role": role, "content": "Hi"}]).sent
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]


def test_sy_13_nothing_of_ours_stands_before_the_callers_prompt(rig: Rig) -> None:
    for _ in range(2):
        sent = rig.served(system="Be brief.", messages=TURNS).sent
        assert sent["messages"] == [{"role": "system", "content": "Be brief."}, *TURNS]


# --- counts ---------------------------------------------------------------------------------------


def count(rig: Rig, **fields: Any) -> Any:
    body = {"model": "deepseek-chat", "messages": TURNS} | fields
    return rig.call("POST", "/v1/messages/count_tokens", body)


def test_ct_01_05_a_count_needs_no_upstream_and_no_max_tokens(rig: Rig) -> None:
    reply = count(rig)
    assert reply.status == 200
    assert reply.body["input_tokens"] > 0
    assert reply.seen is None


def test_ct_03_only_what_the_caller_sent_is_counted(rig: Rig) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    # <begin of sentence> <User> Hello <Assistant> </think>
    assert count(rig, messages=hello).body == {"input_tokens": 5}


@pytest.mark.parametrize("kind", ["image", "document", "text"])
def test_ct_04_counts_are_exact_and_no_block_breaks_them(rig: Rig, kind: str) -> None:
    blocks = {
        "image": {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        "document": {"type": "document", "source": {"type": "file", "file_id": "f"}},
        "text": {"type": "text", "text": "Hi"},
    }
    messages = [{"role": "user", "content": [blocks[kind]]}]
    reply = count(rig, messages=messages)
    assert reply.status == 200
    if kind == "image":
        assert "estimated=input_tokens" in reply.notes
    else:
        usage_told = rig.served(messages=messages).body["usage"]
        read = usage_told["input_tokens"] + usage_told["cache_read_input_tokens"]
        assert reply.body["input_tokens"] == read


def test_ct_07_the_window_is_told(rig: Rig) -> None:
    for model in rig.call("GET", "/v1/models?limit=1000").body["data"]:
        assert model["max_input_tokens"] >= 100_000


# --- models ---------------------------------------------------------------------------------------


def test_mo_01_05_the_list_is_what_claude_code_reads(rig: Rig) -> None:
    client = {"user-agent": "claude-code/2.1.330", "x-api-key": "sk-rig"}
    reply = rig.call("GET", "/anthropic/v1/models?limit=1000", headers=client)
    assert reply.status == 200
    found = reply.body
    assert {"data", "first_id", "last_id", "has_more"} <= set(found)
    assert any(model["id"].startswith("claude") for model in found["data"])
    for model in found["data"]:
        assert model["type"] == "model"
        assert model["display_name"]
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", model["created_at"])


@pytest.mark.parametrize(
    "name",
    [
        "deepseek/deepseek-v4-pro",
        "models/deepseek-v4-pro",
        "DeepSeek-V4-Pro",
        "deepseek-v4-pro[1m]",
    ],
)
def test_mo_03_prefixes_and_suffixes_of_names(rig: Rig, name: str) -> None:
    assert rig.served(model=name).sent["model"] == "deepseek-v4-pro"


@pytest.mark.parametrize("name", ["模型", "modèle-é", "🦊"])
@pytest.mark.parametrize("stream", [False, True])
def test_mo_04_names_outside_ascii(rig: Rig, name: str, stream: bool) -> None:
    reply = rig.served(model=name, stream=stream)
    told = reply.events[0]["message"]["model"] if stream else reply.body["model"]
    assert told == name
    assert all(value.isascii() for value in reply.headers.values())


# --- server tools ---------------------------------------------------------------------------------


def test_ws_03_web_search_is_no_option_of_the_upstream(vllm: Stage) -> None:
    web = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    vllm.ask(tools=[web])
    for sent in vllm.server.requests:
        assert "web_search_options" not in sent


def test_ws_04_a_tool_of_the_caller_may_be_called_web_search(rig: Rig) -> None:
    own = READ | {"name": "web_search"}
    sent = rig.served(tools=[own]).sent
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["web_search"]


def test_a_status_of_the_upstream_reaches_a_strict_client(tmp_path: Any) -> None:
    body = json.dumps(openai_error("Insufficient Balance")).encode()
    with running_rig(tmp_path, Double()) as rig:
        reply = rig.ask(Status(402, body))
    assert (reply.status, reply.body["error"]["type"]) == (402, "billing_error")
