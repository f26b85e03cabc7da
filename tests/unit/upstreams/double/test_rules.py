"""What the double lets through, and what it says to the rest."""

import base64
import json
import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.prompt.counting import count_prompt
from deepseek_messages.upstreams.double.errors import JSON_TYPE, OCTETS, Refused
from deepseek_messages.upstreams.double.models import AUTUMN_2025, CURRENT, Hosted
from deepseek_messages.upstreams.double.rules import check_key, check_request
from deepseek_messages.wire.chat import ChatRequest

USER = {"role": "user", "content": "Say hi briefly."}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "done"}
OFF = {"type": "disabled"}


def encode(**fields):
    body = {"model": "deepseek-flash", "messages": [USER]} | fields
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def check(raw=None, *, names=CURRENT, beta=False, **fields):
    return check_request(encode(**fields) if raw is None else raw, names, beta=beta)


def refusal(raw=None, **options) -> Refused:
    with pytest.raises(Refused) as caught:
        check(raw, **options)
    return caught.value


def without(message, *names):
    return {key: value for key, value in message.items() if key not in names}


def in_error(message, kind="invalid_request_error"):
    return (
        f'{{"error":{{"message":{json.dumps(message, ensure_ascii=False)},"type":"{kind}",'
        '"param":null,"code":"invalid_request_error"}}'
    ).encode()


# --- answers published byte for byte --------------------------------------------------------------

SERDE = "Failed to deserialize the JSON body into the target type: "
SYNTAX = "Failed to parse the request body as JSON: "
V4 = {
    "deepseek-v4-flash": Hosted(id="deepseek-v4-flash", version=CURRENT["deepseek-flash"].version),
    "deepseek-v4-pro": CURRENT["deepseek-v4-pro"],
}


@pytest.mark.parametrize(
    ("raw", "content_type", "body"),
    [
        (b"", OCTETS, f"{SYNTAX}EOF while parsing a value at line 1 column 0".encode()),
        (
            b'{"model":',
            OCTETS,
            f"{SYNTAX}model: EOF while parsing a value at line 1 column 9".encode(),
        ),
        (b"{}", JSON_TYPE, in_error(f"{SERDE}missing field `messages` at line 1 column 2")),
        (
            b'{"model":"deepseek-v4-flash","messages":{}}',
            JSON_TYPE,
            in_error(
                f"{SERDE}messages: invalid type: map, expected a sequence at line 1 column 40"
            ),
        ),
        (
            b'{"model":"deepseek-v4-flash","messages":[{"role":"developer","content":"x"}]}',
            JSON_TYPE,
            in_error(
                f"{SERDE}messages[0].role: unknown variant `developer`, expected one of `system`, "
                "`user`, `assistant`, `tool`, `latest_reminder` at line 1 column 60"
            ),
        ),
        (
            encode(model="X"),
            OCTETS,
            in_error(
                "The supported API model names are deepseek-v4-pro or deepseek-v4-flash, "
                "but you passed X."
            ),
        ),
        (
            encode(model="deepseek-v4-flash", temperature=3),
            OCTETS,
            in_error("Invalid temperature value, the valid range of temperature is [0, 2]"),
        ),
        (
            encode(model="deepseek-v4-flash", user_id="u" * 513),
            OCTETS,
            in_error(
                "Invalid 'user_id': string too long. Expected a string with maximum length 512, "
                "but got a string with length 513 instead"
            ),
        ),
    ],
)
def test_published_refusals_byte_for_byte(raw, content_type, body):
    refused = refusal(raw, names=V4)
    assert (refused.status, refused.content_type, refused.body) == (400, content_type, body)


# --- the rules ------------------------------------------------------------------------------------

RANGE = "Invalid max_tokens value, the valid range of max_tokens is [1, {}]"
REASONING = "The `reasoning_content` in the thinking mode must be passed back to the API."
UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. (insufficient tool messages following tool_calls message)"
)
ORPHAN = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"tools": []},
            (
                "Invalid 'tools': empty array. Expected an array with minimum length 1, "
                "but got an empty array instead."
            ),
        ),
        (
            {"user_id": "a b"},
            (
                "Invalid 'user_id': string does not match pattern. Expected a string that matches "
                "the pattern '^[a-zA-Z0-9_-]+$'."
            ),
        ),
        ({"max_tokens": 0}, RANGE.format(393216)),
        ({"max_tokens": 393217}, RANGE.format(393216)),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            "Thinking mode does not support this tool_choice",
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "Thinking mode does not support this tool_choice",
        ),
        (
            {"stream_options": {"include_usage": True}},
            "stream_options should be set along with stream = true",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {}},
                }
            },
            "This response_format type is unavailable now",
        ),
        ({"messages": [USER, RESULT]}, ORPHAN),
        ({"messages": [USER, CALLING, USER], "tools": [TOOL]}, UNANSWERED),
        (
            {"messages": [USER, CALLING, {"role": "system", "content": "s"}, RESULT]},
            UNANSWERED,
        ),
        ({"messages": [USER, CALLING, RESULT, RESULT], "tools": [TOOL]}, ORPHAN),
        (
            {"messages": [USER, {"role": "assistant"}, USER]},
            "Invalid assistant message: content or tool_calls must be set",
        ),
        (
            {"messages": [USER, without(CALLING, "reasoning_content"), RESULT], "tools": [TOOL]},
            REASONING,
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "a"}, USER], "tools": [TOOL]},
            REASONING,
        ),
        (
            {
                "messages": [USER, {**CALLING, "reasoning_content": None}, RESULT],
                "tools": [TOOL],
            },
            REASONING,
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "a", "prefix": True}]},
            (
                "prefix is only available when using beta api "
                '(set base_url="https://api.deepseek.com/beta")'
            ),
        ),
        ({"stop": ["s"] * 17}, "Stop string array too long: 17"),
        (
            {"max_tokens": 393216, "messages": [{"role": "user", "content": "a " * 700_000}]},
            (
                "This model's maximum context length is 1048576 tokens. However, you requested "
                "1093247 tokens (700031 in the messages, 393216 in the completion). Please reduce "
                "the length of the messages or completion."
            ),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]},
            ".messages[0]: file must have a file_id or file_data",
        ),
    ],
)
def test_refuses_in_deepseeks_words(fields, message):
    refused = refusal(**fields)
    assert (refused.status, refused.message) == (400, message)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [USER, CALLING, RESULT], "tools": [TOOL]},
        {"messages": [USER, {**CALLING, "reasoning_content": ""}, RESULT], "tools": [TOOL]},
        {"messages": [USER, {"role": "assistant", "content": "a"}, USER]},
        {"messages": [USER, {"role": "assistant", "content": ""}, USER]},
        {
            "messages": [USER, without(CALLING, "reasoning_content"), RESULT],
            "tools": [TOOL],
            "thinking": OFF,
        },
        {"thinking": OFF, "tools": [TOOL], "tool_choice": "required"},
        {"thinking": OFF, "reasoning_effort": "high"},
        {"max_tokens": 393216},
        {"user_id": "a-B_9" * 102},
        {"stop": ["s"] * 16},
        {"unknown_field": [1], "top_k": 3, "parallel_tool_calls": False},
        {"stream": True, "stream_options": {"include_usage": True}},
    ],
)
def test_accepts(fields):
    assert check(**fields).prompt_tokens > 0


def test_prefix_is_accepted_under_beta():
    prefixed = {"role": "assistant", "content": "a", "prefix": True}
    assert check(messages=[USER, prefixed], beta=True).prompt.endswith("a")


@pytest.mark.parametrize(
    ("model", "limit"), [("deepseek-chat", 8192), ("deepseek-reasoner", 65536)]
)
def test_the_names_of_2025_have_their_own_limits(model, limit):
    assert check(model=model, max_tokens=limit, names=AUTUMN_2025)
    refused = refusal(model=model, max_tokens=limit + 1, names=AUTUMN_2025)
    assert refused.message == RANGE.format(limit)


@pytest.mark.parametrize(
    ("model", "thinking", "served"),
    [
        ("deepseek-flash", True, "deepseek-flash"),
        ("deepseek-v4-flash", True, "deepseek-flash"),
        ("deepseek-v4-pro", True, "deepseek-v4-pro"),
        ("deepseek-reasoner", True, "deepseek-flash"),
        ("deepseek-chat", False, "deepseek-flash"),
    ],
)
def test_what_stands_behind_each_name(model, thinking, served):
    accepted = check(model=model)
    assert (accepted.thinking, accepted.model.id) == (thinking, served)


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 34),
        ({"reasoning_effort": "low"}, 34),
        ({"thinking": OFF}, 8),
        ({"model": "deepseek-v4-pro", "thinking": OFF}, 8),
    ],
)
def test_counts_prompts_as_published(fields, tokens):
    assert check(**fields).prompt_tokens == tokens


@pytest.mark.parametrize(
    ("fields", "default"),
    [({"thinking": OFF}, 8192), ({}, 65536), ({"reasoning_effort": "max"}, 131072)],
)
def test_default_output_depends_on_the_mode(fields, default):
    assert check(**fields).max_tokens == default


@pytest.mark.parametrize(
    ("model", "encoding"), [("deepseek-flash", "v4.1"), ("deepseek-v4-pro", "v4")]
)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"thinking": OFF},
        {"reasoning_effort": "max"},
        {
            "messages": [{"role": "system", "content": "<think> 你好"}, USER, CALLING, RESULT],
            "tools": [TOOL],
        },
    ],
)
def test_agrees_with_our_own_count(model, encoding, fields):
    """Two ways to count: the whole prompt's token ids here, remembered pieces there."""
    accepted = check(model=model, **fields)
    chat = msgspec.json.decode(encode(model=model, **fields), type=ChatRequest)
    assert accepted.prompt_tokens == count_prompt(chat, encoding)


# --- images ---------------------------------------------------------------------------------------


def png(width: int, height: int) -> str:
    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + b"\x7f" * width for _ in range(height))
    data = b"\x89PNG\r\n\x1a\n" + part(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    )
    data += part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(data).decode()


FRAME = 4  # begin of sentence, User, Assistant, end of thinking


def picture(url):
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_an_image_is_counted_by_its_size():
    small, large = (
        check(messages=[picture(png(side, side))], thinking=OFF).prompt_tokens
        for side in (64, 1024)
    )
    # 544 * 544 pixels at least: 13 * (13 + 1) + 2 cells of 42 px.
    assert small == 13 * 14 + 2 + FRAME
    assert large == 25 * 26 + 2 + FRAME


def test_an_image_by_url_is_not_fetched_and_counts_as_the_largest():
    accepted = check(messages=[picture("https://image.invalid/a.png")], thinking=OFF)
    assert accepted.prompt_tokens == 1024 + FRAME


def test_broken_images_are_refused():
    assert "unsupported image" in refusal(messages=[picture("data:image/png;base64,AAAA")]).message


def test_a_model_that_cannot_see_refuses_images():
    refused = refusal(model="deepseek-v4-pro", messages=[picture(png(8, 8))])
    assert refused.message == "This model does not support image"


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Bearer sk-good", "bearer x"])
def test_any_key_is_good(header):
    assert check_key(header) == header.partition(" ")[2]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eA==", "sk-good"])
def test_no_key_byte_for_byte(header):
    with pytest.raises(Refused) as caught:
        check_key(header)
    refused = caught.value
    assert (refused.status, refused.content_type) == (401, None)
    assert refused.body == b"Authentication Fails (governor)"


def test_a_bad_key_byte_for_byte():
    with pytest.raises(Refused) as caught:
        check_key("Bearer sk-invalid-0000")
    assert (caught.value.status, caught.value.content_type) == (401, JSON_TYPE)
    assert caught.value.body == in_error(
        "Authentication Fails, Your api key: ****0000 is invalid", "authentication_error"
    )


def test_no_balance():
    with pytest.raises(Refused) as caught:
        check_key("Bearer sk-empty-balance")
    assert caught.value.status == 402
    assert caught.value.body == in_error("Insufficient Balance", "unknown_error")


# --- hostile --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "x"]), inner)
    ),
    max_leaves=8,
)
FIELDS = [
    "model", "messages", "tools", "tool_choice", "response_format", "stop", "stream",
    "stream_options", "thinking", "user_id", "max_tokens", "temperature", "reasoning_effort",
]  # fmt: skip


def judged(raw):
    try:
        check(raw)
    except Refused as refused:
        return refused.status
    return "accepted"


@given(st.sampled_from(FIELDS), JSON)
def test_any_value_in_any_field_is_accepted_or_refused(field, value):
    assert judged(encode(**{field: value})) in ("accepted", 400)


@given(st.integers(0, 300), st.binary(max_size=3))
def test_any_damage_is_accepted_or_refused(at, damage):
    raw = encode(messages=[USER, CALLING, RESULT], tools=[TOOL], user_id="u")
    assert judged(raw[:at] + damage + raw[at + len(damage) :]) in ("accepted", 400)


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"3",
        b'"x"',
        b"\xff",
        b'{"model":"deepseek-flash","messages":[["user","x"]]}',
        b'{"model":"deepseek-flash","messages":' + b"[" * 500,
        b'{"model":"deepseek-flash","messages":[{"role":"user","content":"\\ud800"}]}',
    ],
)
def test_odd_bodies_are_refused(raw):
    assert refusal(raw).status == 400


def test_a_number_of_many_digits_is_read():
    raw = encode(x="NUMBER").replace(b'"NUMBER"', b"1" * 300)
    assert check(raw).prompt_tokens == 34
