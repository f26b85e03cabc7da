"""Reading a request: what is accepted, and how each refusal names its field."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.limits import MAX_OBJECTS
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.wire.content import UnknownBlock

HELLO: dict[str, Any] = {"role": "user", "content": "hi"}
BASE: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [HELLO]}


def body(**fields: Any) -> bytes:
    merged = {**BASE, **fields}
    return json.dumps({k: v for k, v in merged.items() if v is not ...}).encode()


def said(*blocks: Any, role: str = "user") -> list[Any]:
    return [{"role": role, "content": list(blocks)}]


def refusal_of(data: bytes, *, counting: bool = False) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_request(data, counting=counting)
    assert caught.value.status == 400
    assert caught.value.error_type == "invalid_request_error"
    return caught.value


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": ({"max_tokens": ...}, "max_tokens: Field required"),
    "null max_tokens": ({"max_tokens": None}, "max_tokens: Field required"),
    "negative max_tokens": (
        {"max_tokens": -1},
        "max_tokens: Input should be greater than or equal to 0",
    ),
    "fractional max_tokens": (
        {"max_tokens": 1.5},
        "max_tokens: Input should be a valid integer",
    ),
    "no model": ({"model": ...}, "model: Field required"),
    "numeric model": ({"model": 5}, "model: Input should be a valid string"),
    "empty model": ({"model": ""}, "model: String should have at least 1 character"),
    "no messages": ({"messages": ...}, "messages: Field required"),
    "ER-09 empty messages": ({"messages": []}, "messages: at least one message is required"),
    "ER-11 unknown role": (
        {"messages": [{"role": "foo", "content": "x"}]},
        "messages.0.role: Input should be 'user', 'assistant' or 'system', not 'foo'",
    ),
    "tool role": (
        {"messages": [HELLO, {"role": "tool", "content": "x"}]},
        "messages.1.role: Input should be 'user', 'assistant' or 'system', not 'tool'",
    ),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
    "numeric content": (
        {"messages": [{"role": "user", "content": 5}]},
        "messages.0.content: Input should be a valid string or list",
    ),
    "ER-11 unknown block": (
        {"messages": said({"type": "hologram"})},
        (
            "messages.0.content.0: Input tag 'hologram' found using 'type' does not match any"
            " expected tag"
        ),
    ),
    "block without type": (
        {"messages": said({"text": "x"})},
        "messages.0.content.0.type: Field required",
    ),
    "block without text": (
        {"messages": said({"type": "text", "text": "a"}, {"type": "text"})},
        "messages.0.content.1.text: Field required",
    ),
    "unknown image source": (
        {"messages": said({"type": "image", "source": {"type": "ftp"}})},
        (
            "messages.0.content.0.source: Input tag 'ftp' found using 'type' does not match any"
            " expected tag"
        ),
    ),
    "image in system": (
        {"system": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        "system.0: Input tag 'image' found using 'type' does not match any expected tag",
    ),
    "hot": ({"temperature": 2.1}, "temperature: Input should be between 0 and 2"),
    "cold": ({"temperature": -0.1}, "temperature: Input should be between 0 and 2"),
    "wide": ({"top_p": 1.1}, "top_p: Input should be between 0 and 1"),
    "unknown thinking": (
        {"thinking": {"type": "auto"}},
        "thinking.type: Input should be one of the documented values, not 'auto'",
    ),
    "unknown effort": (
        {"output_config": {"effort": "huge"}},
        "output_config.effort: Input should be one of the documented values, not 'huge'",
    ),
    "schema no object": (
        {"output_config": {"format": {"type": "json_schema", "schema": []}}},
        "output_config.format.schema: Input should be an object",
    ),
    "nameless tool": ({"tools": [{"input_schema": {}}]}, "tools.0.name: Field required"),
    "nameless choice": ({"tool_choice": {"type": "tool"}}, "tool_choice.name: Field required"),
    "nameless custom tool": (
        {"tools": [{"type": "custom", "input_schema": {}}]},
        "tools.0.name: Field required",
    ),
    "a thread": (
        {"thread": {"type": "create"}},
        "thread: message threads are not kept by this server; send the whole conversation",
    ),
    "an old schema no object": (
        {"output_format": {"type": "json_schema", "schema": []}},
        "output_format.schema: Input should be an object",
    ),
    "a long role": (
        {"messages": [{"role": "r" * 41, "content": "x"}]},
        "messages.0.role: Input should be 'user', 'assistant' or 'system', not "
        + repr("r" * 40 + "…"),
    ),
    "a role of forty characters": (
        {"messages": [{"role": "r" * 40, "content": "x"}]},
        "messages.0.role: Input should be 'user', 'assistant' or 'system', not " + repr("r" * 40),
    ),
    "a name of its own": (
        {"tools": [{"name": "f", "input_examples": 5}]},
        "tools.0.input_examples: Input should be a valid list",
    ),
    "compaction": (
        {"compaction": {"type": "shrink"}},
        "compaction.type: Input should be one of the documented values, not 'shrink'",
    ),
}


@pytest.mark.parametrize(("fields", "message"), FIELDS.values(), ids=FIELDS.keys())
def test_wrong_field_is_named(fields: dict[str, Any], message: str) -> None:
    assert refusal_of(body(**fields)).message == message


SYNTAX = {
    "empty": (b"", "The request body is empty; a JSON object is expected"),
    "cut": (
        b'{"model":',
        "The request body is not valid JSON: it ends too early at line 1 column 10",
    ),
    "comma": (
        b'{"a":1,\n }',
        "The request body is not valid JSON: trailing comma in object at line 2 column 2",
    ),
    "a fault in the third line": (
        b'{\n "a":1,\n "b": x}',
        "The request body is not valid JSON: invalid character at line 3 column 7",
    ),
    "a fault in the first line of several": (
        b'{"a": x,\n\n"b": 1}',
        "The request body is not valid JSON: invalid character at line 1 column 7",
    ),
    "a first line that is empty": (
        b"\n{]",
        "The request body is not valid JSON: object keys must be strings at line 2 column 2",
    ),
    "junk after": (
        body() + b" x",
        "The request body is not valid JSON: trailing characters at line 1 column 82",
    ),
    "junk after a wrong field": (
        b'{"a":1}x',
        "The request body is not valid JSON: trailing characters at line 1 column 8",
    ),
    "byte order mark": (
        b"\xef\xbb\xbf{}",
        "The request body is not valid JSON: it begins with a byte order mark",
    ),
    "invalid UTF-8": (b'{"a":"\xff"}', "The request body is not valid UTF-8 (byte 6)"),
    "lone surrogate in text": (
        b'{"model":"\\ud800"}',
        "The request body is not valid JSON: it holds an unpaired UTF-16 surrogate",
    ),
    "lone surrogate in an ignored field": (
        b'{"model":"m","messages":[],"tags":"\\ud800"}',
        "The request body is not valid JSON: it holds an unpaired UTF-16 surrogate",
    ),
    "deep": (
        b'{"model":"m","messages":[],"tags":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "The request body is nested too deeply (more than 128 levels)",
    ),
}


@pytest.mark.parametrize(("data", "message"), SYNTAX.values(), ids=SYNTAX.keys())
def test_json_error_is_told_with_its_place(data: bytes, message: str) -> None:
    assert refusal_of(data).message == message


@pytest.mark.parametrize("data", [b"[]", b"5", b'"x"', b"null"])
def test_body_must_be_an_object(data: bytes) -> None:
    assert refusal_of(data).message == "Input should be a valid object"


def test_too_many_objects_are_refused_before_they_are_read() -> None:
    blocks = b'{"type":"text","text":""},' * (MAX_OBJECTS + 1)
    data = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[' + blocks
    assert refusal_of(data).message == f"The request body holds more than {MAX_OBJECTS} objects"


def test_braces_in_a_text_are_no_objects() -> None:
    text = '{"a": 1}' * (MAX_OBJECTS + 1)
    assert parse_request(body(messages=said({"type": "text", "text": text}))).messages


def test_invalid_utf8_in_raw_json_is_refused() -> None:
    data = body().replace(b'"hi"', b'[{"type":"tool_use","id":"a","name":"b","input":"\xff"}]')

    assert "not valid UTF-8" in refusal_of(data).message


def test_a_key_that_stands_twice_is_refused() -> None:
    assert refusal_of(b'{"model":"a",' + body(model="b")[1:]).path == "model"


@pytest.mark.parametrize("fields", [{}, {"max_tokens": None}, {"max_tokens": ...}])
def test_counting_needs_no_max_tokens(fields: dict[str, Any]) -> None:
    assert parse_request(body(**fields), counting=True).model == "m"


BORDERS = [{"temperature": 0}, {"temperature": 2}, {"top_p": 0}, {"top_p": 1}]


@pytest.mark.parametrize("fields", BORDERS)
def test_the_borders_of_a_range_are_accepted(fields: dict[str, Any]) -> None:
    parse_request(body(**fields))


def test_as_many_messages_as_may_be_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.translation.request.parse.MAX_MESSAGES", 2)
    parse_request(body(messages=[HELLO] * 2))
    assert refusal_of(body(messages=[HELLO] * 3)).path == "messages"


def test_not_counting_is_the_rule() -> None:
    with pytest.raises(Refusal, match="max_tokens"):
        parse_request(body(max_tokens=...))


def test_a_schema_may_begin_with_blanks() -> None:
    spaced = body(output_format={"type": "json_schema", "schema": {}}).replace(
        b'"schema": {}', b'"schema":  \n {}  '
    )
    assert parse_request(spaced).output_format is not None


def test_odd_things_beside_an_unknown_block_are_named() -> None:
    unknown = {"type": "hologram"}
    for odd, path in ((5, "messages.1.content.1"), ({"type": 5}, "messages.1.content.1.type")):
        answer = said(unknown, odd, role="assistant")
        assert refusal_of(body(messages=[HELLO, *answer])).path == path
    inner = {"type": "tool_result", "tool_use_id": "1", "content": [unknown, 5]}
    refused = refusal_of(body(messages=[*said(unknown, role="assistant"), *said(inner)]))
    assert refused.path == "messages.1.content.0.content.1"
    blank = body(messages=said(unknown, role="assistant")).replace(b'{"type"', b' \n{"type"')
    assert parse_request(blank).messages[0].content


def test_max_tokens_of_zero_is_accepted() -> None:
    assert parse_request(body(max_tokens=0)).max_tokens == 0


@pytest.mark.parametrize("role", ["user", "assistant", "system", "ctx", "msg"])
def test_role_is_accepted(role: str) -> None:
    """SY-03 and SY-12: system entries, and Claude Code's ``ctx`` and ``msg``."""
    assert parse_request(body(messages=[{"role": role, "content": "x"}])).messages[0].role == role


def test_system_message_may_hold_settings_only() -> None:
    parse_request(body(messages=[HELLO, {"role": "system", "output_config": {"effort": "low"}}]))


@pytest.mark.parametrize(
    "field",
    [
        "cache_control",
        "service_tier",
        "speed",
        "inference_geo",
        "container",
        "diagnostics",
        "context_management",
        "mcp_servers",
        "fallbacks",
        "fallback_credit_token",
        "billing_policy",
        "safeguards",
        "safety_check",
        "tags",
        "top_k",
        "never_heard_of",
    ],
)
@pytest.mark.parametrize("value", [None, 5, "x", [], {"a": [1]}])
def test_field_is_accepted_whatever_it_holds(field: str, value: Any) -> None:
    """ER-12 among others: ``context_management`` is no reason to refuse."""
    parse_request(body(**{field: value}))


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "x": 1}])
def test_thread_is_refused_in_the_form_the_sdks_recover_from(thread: dict[str, Any]) -> None:
    refusal = refusal_of(body(thread=thread))

    assert refusal.error_code == "thread_unsupported_request"


def test_unknown_block_in_a_replayed_answer_is_kept() -> None:
    block = {"type": "hologram", "depth": [1, {"a": "é"}]}
    request = parse_request(body(messages=[HELLO, *said(block, role="assistant")]))

    content = request.messages[1].content
    assert isinstance(content, list)
    kept = content[0]
    assert isinstance(kept, UnknownBlock)
    assert kept.original_type == "hologram"
    assert json.loads(bytes(kept.raw)) == block


def test_far_too_many_unknown_blocks_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would keep the event loop from its work."""
    data = body(messages=said(*[{"type": "hologram"}] * 3, role="assistant"))
    monkeypatch.setattr("deepseek_messages.translation.request.parse.MAX_MARKED_OBJECTS", 5)
    assert parse_request(data).messages
    monkeypatch.setattr("deepseek_messages.translation.request.parse.MAX_MARKED_OBJECTS", 4)
    assert refusal_of(data).path == "messages.0.content.0"
    monkeypatch.setattr("deepseek_messages.translation.request.parse.LARGE_BODY", len(data) - 1)
    assert parse_request(data).messages  # by a thread, which may take its time


def test_unknown_block_in_a_tool_result_is_kept() -> None:
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "browser_state"}]}
    request = parse_request(body(messages=said(result)))

    assert "browser_state" in str(request.messages[0].content)


def test_the_second_look_keeps_raw_json_byte_for_byte() -> None:
    data = body(messages=[HELLO, *said({"type": "hologram"}, role="assistant")])
    data = data.replace(
        b'{"type": "hologram"}',
        b'{"type":"hologram"},{"type":"tool_use","id":"a","name":"b","input":{ "z":1.50,"a" :2}}',
    )

    content = parse_request(data).messages[1].content
    assert isinstance(content, list)
    assert bytes(content[1].input) == b'{ "z":1.50,"a" :2}'  # type: ignore[union-attr]


def test_unknown_block_of_the_user_is_refused_also_next_to_one_of_an_answer() -> None:
    unknown = {"type": "hologram"}
    messages = [*said(unknown, role="assistant"), *said({"type": "text", "text": "a"}, unknown)]

    assert refusal_of(body(messages=messages)).path == "messages.1.content.1"
