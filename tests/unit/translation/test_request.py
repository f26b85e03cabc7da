"""The request as a whole: settings, thinking, prefill, structured output, notes."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    EMBEDDED,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    TOKENS,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.server_tools import Hosted
from tests.support.translating import (
    SEAL,
    assistant,
    call,
    model,
    result,
    text,
    thinking,
    tool,
    translated,
    user,
)

ON = {"type": "adaptive"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}

# --- thinking -------------------------------------------------------------------------------------

MODES: dict[str, tuple[Any, bool]] = {
    "TH-15 adaptive": ({"type": "adaptive"}, True),
    "enabled": ({"type": "enabled", "budget_tokens": 2048}, True),
    "TH-12 small budget": ({"type": "enabled", "budget_tokens": 500}, True),
    "TH-13 budget over max_tokens": ({"type": "enabled", "budget_tokens": 99999}, True),
    "between tools": ({"type": "between_tools"}, True),
    "disabled": ({"type": "disabled"}, False),
    "absent": (None, False),
}


@pytest.mark.row("thinking")
@pytest.mark.parametrize(("given", "on"), MODES.values(), ids=MODES.keys())
def test_thinking_is_switched(given: Any, on: bool) -> None:
    done = translated("hi", thinking=given)

    assert done.sent["thinking"] == {"type": "enabled" if on else "disabled"}
    assert done.plan.thinking is on


def test_name_of_the_model_decides_where_the_request_does_not() -> None:
    assert translated("hi", thinking_default=True).plan.thinking
    assert not translated("hi", thinking_default=True, thinking={"type": "disabled"}).plan.thinking


STYLES: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any]]] = {
    "deepseek": (
        DEEPSEEK,
        {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
        {"thinking": {"type": "disabled"}},
    ),
    "vllm": (
        VLLM,
        {
            "chat_template_kwargs": {"thinking": True, "enable_thinking": True},
            "reasoning_effort": "low",
        },
        {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}},
    ),
    "ollama": (OLLAMA, {"reasoning_effort": "low"}, {"reasoning_effort": "none"}),
    "generic": (GENERIC, {}, {}),
}


@pytest.mark.parametrize(("dialect", "on", "off"), STYLES.values(), ids=STYLES.keys())
def test_thinking_is_said_as_the_dialect_wants_it(dialect: Dialect, on: Any, off: Any) -> None:
    fields = ("thinking", "chat_template_kwargs", "reasoning_effort")
    effort = {"effort": "low"}

    for setting, expected in ((ON, on), ({"type": "disabled"}, off)):
        done = translated("hi", dialect=dialect, thinking=setting, output_config=effort)
        assert {k: v for k, v in done.sent.items() if k in fields} == expected


EFFORTS = {"low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max"}


@pytest.mark.parametrize(("given", "sent"), EFFORTS.items())
def test_effort_is_mapped(given: str, sent: str) -> None:
    done = translated("hi", thinking=ON, output_config={"effort": given})

    assert done.sent["reasoning_effort"] == sent


def test_effort_is_never_sent_with_thinking_disabled() -> None:
    assert "reasoning_effort" not in translated("hi", output_config={"effort": "max"}).sent


def test_latest_effort_in_the_conversation_holds() -> None:
    changes = [
        {"role": "system", "content": [], "output_config": {"effort": effort}}
        for effort in ("max", "low")
    ]
    done = translated(
        "a",
        changes[0],
        assistant("b"),
        "c",
        changes[1],
        thinking=ON,
        output_config={"effort": "high"},
    )

    assert done.sent["reasoning_effort"] == "low"


def test_th11_thinking_is_ignored_for_a_model_that_cannot() -> None:
    done = translated("hi", thinking=ON, served=model(thinks=False))

    assert not done.plan.thinking
    assert done.notes == ["ignored=thinking@thinking"]


@pytest.mark.parametrize(
    ("display", "plan"),
    [(None, "shown"), ("summarized", "shown"), ("updates", "shown"), ("omitted", "omitted")],
)
def test_th20_display_is_planned(display: Any, plan: str) -> None:
    assert translated("hi", thinking={**ON, "display": display}).plan.display == plan


# --- replayed reasoning ---------------------------------------------------------------------------

REPLAYS: dict[str, tuple[Any, str]] = {
    "TH-09 as it was": (thinking("because", "sig"), "because"),
    "without a signature": ({"type": "thinking", "thinking": "because"}, "because"),
    "TH-07 foreign signature": (thinking("because", "EqQBCkYIBx"), "because"),
    "TH-19 untrimmed": (thinking(" because \n"), " because \n"),
    "empty": (thinking(""), ""),
    "TH-20 omitted, sealed": (thinking("", SEAL.seal("hidden")), "hidden"),
    "omitted, foreign": (thinking("", "EqQBCkYIBx"), ""),
    "forged": (thinking("", "dsm1.AAAA"), ""),
}


@pytest.mark.parametrize(("block", "reasoning"), REPLAYS.values(), ids=REPLAYS.keys())
def test_th04_reasoning_goes_back_with_its_calls(block: Any, reasoning: str) -> None:
    done = translated("a", assistant(block, call()), user(result()), tools=[tool()], thinking=ON)

    assert done.messages[1]["reasoning_content"] == reasoning
    assert done.notes == []


def test_reasoning_goes_by_the_dialects_name() -> None:
    answer = assistant(thinking("because"), "x")

    assert translated("a", answer, "b", dialect=VLLM).messages[1]["reasoning"] == "because"
    assert "because" not in json.dumps(translated("a", answer, "b", dialect=GENERIC).messages)


LOST: dict[str, Any] = {
    "TH-05 call": [assistant(call()), user(result())],
    "TH-03 string": [assistant("x"), "b"],
    "TH-03 text": [assistant(text("x")), "b"],
    "TH-16 redacted": [
        assistant({"type": "redacted_thinking", "data": "d"}, call()),
        user(result()),
    ],
}


@pytest.mark.parametrize("messages", LOST.values(), ids=LOST.keys())
def test_lost_reasoning_that_deepseek_demands_is_filled_in(messages: Any) -> None:
    done = translated("a", *messages, tools=[tool()], thinking=ON)

    assert done.messages[1]["reasoning_content"] == ""
    assert "repaired=thinking@messages.1" in done.notes


def test_th01_nothing_is_filled_in_with_thinking_off() -> None:
    done = translated("a", assistant(call()), user(result()), tools=[tool()])

    assert "reasoning_content" not in done.messages[1]
    assert done.sent["thinking"] == {"type": "disabled"}


def test_tc32_text_and_calls_stay_one_message() -> None:
    done = translated("a", assistant(thinking("t"), "x", call(), "y"), user(result()))

    assert done.messages[1] == {
        "role": "assistant",
        "content": "x\n\ny",
        "reasoning_content": "t",
        "tool_calls": [
            {"type": "function", "id": "t1", "function": {"name": "f", "arguments": "{}"}}
        ],
    }


@pytest.mark.parametrize("answer", [assistant(""), assistant(thinking("t"))])
def test_answer_without_text_has_empty_content(answer: Any) -> None:
    """DeepSeek: "content or tool_calls must be set"."""
    assert translated("a", answer, "b").messages[1]["content"] == ""


def test_unknown_block_of_an_answer_becomes_a_note() -> None:
    done = translated("a", assistant("x", {"type": "hologram"}), "b")

    assert "hologram" in done.messages[1]["content"]
    assert done.notes == ["replaced=unknown_block@messages.1.content.1"]


# --- system prompt --------------------------------------------------------------------------------

BILLING = "x-anthropic-billing-header: cc_version=2.1.330.abc;"
SYSTEMS: dict[str, tuple[Any, Any]] = {
    "absent": (None, None),
    "empty": ("", None),
    "string": ("s", "s"),
    "SY-08 blocks": ([text("a"), text("b")], "a\n\nb"),
    "SY-07 billing block": ([text(BILLING), text("a")], "a"),
    "SY-07 nothing else": ([text(BILLING)], None),
}


@pytest.mark.row("system")
@pytest.mark.parametrize(("given", "sent"), SYSTEMS.values(), ids=SYSTEMS.keys())
def test_system_prompt_as_sent(given: Any, sent: Any) -> None:
    first = translated("hi", system=given).messages[0]

    assert first == (
        {"role": "system", "content": sent} if sent else {"role": "user", "content": "hi"}
    )


def test_the_billing_block_is_noted_once_at_its_place() -> None:
    done = translated("hi", system=[text("a"), text(BILLING), text(BILLING)])
    assert done.notes == ["ignored=system.billing_header@system.1"]


def test_sy05_system_prompt_and_system_message_are_both_kept() -> None:
    done = translated("a", {"role": "system", "content": "later"}, system="top")

    assert [m["content"] for m in done.messages] == ["top", "a", "later"]


# --- images and documents -------------------------------------------------------------------------

SOURCES: dict[str, tuple[Any, Any]] = {
    "base64": (
        {"type": "base64", "media_type": "image/gif", "data": "QUJD"},
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,QUJD"}},
    ),
    "url": (
        {"type": "url", "url": "https://e.com/a.png"},
        {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
    ),
    "file": (
        {"type": "file", "file_id": "file-api-1"},
        {"type": "file", "file": {"file_id": "file-api-1"}},
    ),
}


@pytest.mark.row("messages.content.image.source")
@pytest.mark.parametrize(("source", "part"), SOURCES.values(), ids=SOURCES.keys())
def test_image_reaches_a_model_that_sees(source: Any, part: Any) -> None:
    done = translated(user("a", "b", {"type": "image", "source": source}, "c"))

    assert done.messages[0]["content"] == [text("a\n\nb"), part, text("c")]


def test_image_becomes_text_for_a_model_that_cannot_see() -> None:
    done = translated(user("a", PNG), served=model(sees=False))

    assert done.messages[0]["content"] == "a\n\n[image left out: this model cannot see images]"
    assert done.notes == ["replaced=image@messages.0.content.1"]


def test_image_is_refused_by_path_when_strict() -> None:
    with pytest.raises(Refusal) as caught:
        translated(user("a", PNG), served=model(sees=False), strict=True)
    assert caught.value.path == "messages.0.content.1"


DOCUMENTS: dict[str, tuple[Any, str]] = {
    "text": ({"source": {"type": "text", "data": "d"}}, "<document>\nd\n</document>"),
    "title and context": (
        {"source": {"type": "text", "data": "d"}, "title": "T", "context": "C"},
        '<document title="T">\n<context>C</context>\nd\n</document>',
    ),
    "content string": (
        {"source": {"type": "content", "content": "d"}},
        "<document>\nd\n</document>",
    ),
    "content blocks": (
        {"source": {"type": "content", "content": [text("d"), text("e")]}},
        "<document>\n\nd\n\ne\n\n</document>",
    ),
    "PDF": (
        {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        "[document (application/pdf) left out: it cannot be shown to this model]",
    ),
    "URL": (
        {"source": {"type": "url", "url": "https://e.com/a.pdf"}, "title": "T"},
        '[document at https://e.com/a.pdf "T" left out: it cannot be shown to this model]',
    ),
}


@pytest.mark.row("messages.content.document")
@pytest.mark.parametrize(("fields", "sent"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_document_is_shown_as_text(fields: Any, sent: str) -> None:
    assert translated(user({"type": "document", **fields})).messages[0]["content"] == sent


FOREIGN: dict[str, tuple[Any, str]] = {
    "server_tool_use": (
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        'called web_search with {"query":"q"}',
    ),
    "web_search_tool_result": (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [
                {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "E"}
            ],
        },
        'web search tool result: [{"type":"web_search_result","url":"u","title":"t"}]',
    ),
    "mcp_tool_use": (
        {"type": "mcp_tool_use", "id": "s", "name": "n", "server_name": "x", "input": {}},
        "called n with {}",
    ),
    "mcp_tool_result": (
        {"type": "mcp_tool_result", "tool_use_id": "s", "content": "ok"},
        'mcp tool result: "ok"',
    ),
    "code_execution_tool_result": (
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "1"}},
        'code execution tool result: {"stdout":"1"}',
    ),
}


@pytest.mark.row("messages.content.server_tool_use")
@pytest.mark.row("messages.content.web_search_tool_result")
@pytest.mark.row("messages.content.code_execution_tool_result")
@pytest.mark.row("messages.content.mcp_tool_use")
@pytest.mark.row("messages.content.mcp_tool_result")
@pytest.mark.parametrize(("block", "sent"), FOREIGN.values(), ids=FOREIGN.keys())
def test_block_of_another_servers_tools_is_shown_as_text(block: Any, sent: str) -> None:
    done = translated("a", assistant(block, "x"), "b")

    assert done.messages[1]["content"] == f"[{sent}]\n\nx"
    assert done.notes == [f"replaced={block['type']}@messages.1.content.0"]


# --- limits and sampling --------------------------------------------------------------------------


@pytest.mark.row("max_tokens")
@pytest.mark.parametrize(
    ("given", "sent", "notes"),
    [
        (100, 100, []),
        (999_999, 8192, ["clamped=max_tokens@max_tokens"]),
        (0, 1, ["emulated=max_tokens@max_tokens"]),
    ],
)
def test_max_tokens_is_clamped(given: int, sent: int, notes: list[str]) -> None:
    done = translated("hi", max_tokens=given, served=model(max_output_tokens=8192))

    assert done.sent["max_tokens"] == sent
    assert done.notes == notes
    assert done.plan.no_output is (given == 0)


SAMPLING: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any], list[str]]] = {
    "temperature": (DEEPSEEK, {"temperature": 1.5}, {"temperature": 1.5}, []),
    "top_p": (DEEPSEEK, {"top_p": 0.5}, {"top_p": 0.5}, []),
    "top_p of zero": (DEEPSEEK, {"top_p": 0}, {"top_p": 0.01}, ["clamped=top_p@top_p"]),
    "top_k dropped": (DEEPSEEK, {"top_k": 5}, {}, ["ignored=top_k@top_k"]),
    "top_k dropped whatever it is": (DEEPSEEK, {"top_k": "x"}, {}, ["ignored=top_k@top_k"]),
    "top_k sent": (VLLM, {"top_k": 5}, {"top_k": 5}, []),
    "top_k of zero": (VLLM, {"top_k": 0}, {}, []),
    "null": (VLLM, {"top_k": None, "temperature": None, "top_p": None}, {}, []),
}


@pytest.mark.parametrize(
    ("dialect", "given", "sent", "notes"), SAMPLING.values(), ids=SAMPLING.keys()
)
def test_sampling_as_sent(dialect: Dialect, given: Any, sent: Any, notes: list[str]) -> None:
    done = translated("hi", dialect=dialect, **given)

    fields = ("temperature", "top_p", "top_k")
    assert {k: v for k, v in done.sent.items() if k in fields} == sent
    assert done.notes == notes


def test_bad_top_k_is_refused_where_it_counts() -> None:
    with pytest.raises(Refusal, match=r"^top_k: "):
        translated("hi", dialect=VLLM, top_k="x")


@pytest.mark.row("stop_sequences")
@pytest.mark.parametrize("count", [1, 20])
def test_sr05_sr07_stop_sequences_are_matched_here_where_the_upstream_hides_the_match(
    count: int,
) -> None:
    many = [f"<{number}>" for number in range(count)]
    done = translated("hi", stop_sequences=many)

    assert "stop" not in done.sent
    assert done.sent["stream"] is True  # so that it can be cut
    assert done.plan.stop_sequences == tuple(many)
    assert done.notes == ["emulated=stop_sequences@stop_sequences"]


def test_sr07_stop_sequences_are_sent_as_a_list_to_a_server_that_names_the_match() -> None:
    done = translated("hi", dialect=VLLM, stop_sequences=["END"])

    assert done.sent["stop"] == ["END"]
    assert "stream" not in done.sent
    assert done.notes == []


@pytest.mark.parametrize("given", [[], [""], None])
def test_no_stop_sequence_is_sent_when_none_means_anything(given: Any) -> None:
    assert "stop" not in translated("hi", stop_sequences=given).sent


def test_er13_user_id_is_hashed_into_the_alphabet() -> None:
    user_id = json.dumps({"device_id": "é", "session_id": "1"})
    ids = [
        translated("hi", metadata={"user_id": given}).sent["user_id"]
        for given in (user_id, user_id, "someone else")
    ]

    assert ids[0] == ids[1] != ids[2]
    assert ids[0].isalnum()
    assert len(ids[0]) == 32


def user_sent(user_id: Any) -> str:
    given = user_id if isinstance(user_id, str) else json.dumps(user_id)
    sent: str = translated("hi", metadata={"user_id": given}).sent["user_id"]
    return sent


def test_a_users_next_session_has_the_same_user_id() -> None:
    """DeepSeek's cache is kept by user: the long beginning that sessions share is cached once."""
    user = {"device_id": "d" * 64, "account_uuid": ""}
    assert user_sent(user | {"session_id": "1"}) == user_sent(user | {"session_id": "2"})
    assert user_sent(user | {"session_id": "1"}) != user_sent(user | {"device_id": "other"})
    old = "user_{}_account__session_{}"
    one, two = (f"{n}1234567-89ab-4cde-8f01-23456789abcd" for n in "01")
    assert user_sent(old.format("a", one)) == user_sent(old.format("a", two))
    assert user_sent(old.format("a", one)) != user_sent(old.format("b", one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"session_id": "1"}, {"session_id": "2"}),
        ({"session_id": "1", "device_id": ""}, {"session_id": "2", "device_id": ""}),
        ("[1]", "[2]"),
        ("1", "2"),
        ("{", "{{"),
        ("my_session_1", "my_session_2"),
        *[('{"a":' * n + "1" + "}" * n, '{"a":' * n + "2" + "}" * n) for n in (3, 600, 900, 5000)],
    ],
)
def test_what_names_no_user_is_taken_as_it_is(one: Any, other: Any) -> None:
    assert user_sent(one) != user_sent(other)


def test_user_id_is_not_sent_where_it_is_not_known() -> None:
    done = translated("hi", metadata={"user_id": "u"}, dialect=VLLM)

    assert "user_id" not in done.sent
    assert done.notes == ["ignored=metadata.user_id@metadata.user_id"]


@pytest.mark.parametrize("stream", [True, False, None])
def test_usage_is_always_asked_for_in_streams(stream: Any) -> None:
    done = translated("hi", stream=stream)

    assert done.sent.get("stream", False) is bool(stream)
    assert done.sent.get("stream_options") == ({"include_usage": True} if stream else None)


@pytest.mark.parametrize(
    "field",
    ["cache_control", "service_tier", "container", "diagnostics", "tags"],
)
def test_ignored_field_is_noted_and_not_sent(field: str) -> None:
    done = translated("hi", **{field: {"a": 1}})

    assert field not in done.sent
    assert done.notes == [f"ignored={field}@{field}"]


@pytest.mark.parametrize(("given", "noted"), [([], False), (None, False), ([{"url": "u"}], True)])
def test_mcp_servers_are_left_out_with_a_note(given: Any, noted: bool) -> None:
    assert translated("hi", mcp_servers=given).notes == (
        ["dropped=mcp_servers@mcp_servers"] if noted else []
    )


# --- structured output ----------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


@pytest.mark.parametrize(
    "fields", [{"output_config": {"format": FORMAT}}, {"output_format": FORMAT}]
)
def test_sc07_schema_is_emulated_by_json_mode(fields: Any) -> None:
    done = translated("hi", system="s", **fields)

    assert done.sent["response_format"] == {"type": "json_object"}
    assert done.messages[0]["content"].startswith("s\n\nAnswer with one JSON value")
    assert done.messages[0]["content"].endswith(json.dumps(SCHEMA, separators=(",", ":")))
    assert done.plan.schema is not None
    assert done.notes == ["emulated=output_config.format@output_config.format"]


@pytest.mark.parametrize("dialect", [VLLM, SGLANG, LLAMA_CPP], ids=lambda d: d.name)
def test_sc08_schema_is_passed_on_unchanged_where_the_upstream_has_it(dialect: Dialect) -> None:
    done = translated("hi", output_config={"format": FORMAT}, dialect=dialect)

    assert done.sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA},
    }
    assert [m["role"] for m in done.messages] == ["user"]
    assert done.notes == []


# --- prefill --------------------------------------------------------------------------------------

PREFILLS: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any]]] = {
    "deepseek": (DEEPSEEK, {"prefix": True}, {}),
    "vllm": (VLLM, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    "sglang": (SGLANG, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    "llama.cpp": (LLAMA_CPP, {}, {}),
    "ollama": (OLLAMA, {}, {}),
    "embedded": (EMBEDDED, {}, {}),
    "token ids": (TOKENS, {"prefix": True}, {}),
}


@pytest.mark.parametrize(("dialect", "last", "body"), PREFILLS.values(), ids=PREFILLS.keys())
@pytest.mark.parametrize("answer", [assistant("{"), assistant(text("{"))])
def test_last_answer_is_continued(dialect: Dialect, last: Any, body: Any, answer: Any) -> None:
    done = translated("a", answer, dialect=dialect)

    assert done.messages[-1] == {"role": "assistant", "content": "{", **last}
    fields = ("continue_final_message", "add_generation_prompt")
    assert {k: v for k, v in done.sent.items() if k in fields} == body
    assert done.plan.prefill == "{"


def test_sy11_prefill_turns_thinking_off() -> None:
    done = translated("a", assistant("{"), thinking=ON)

    assert done.sent["thinking"] == {"type": "disabled"}
    assert done.notes == ["emulated=prefill.thinking_off@messages.1"]


NOT_CONTINUED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "unknown server": ([assistant("{")], {"dialect": GENERIC}),
    "DeepSeek with tools": ([assistant("{")], {"tools": [tool()]}),
    "DeepSeek with calls": ([assistant(call()), user(result()), assistant("{")], {}),
}


@pytest.mark.parametrize(("messages", "options"), NOT_CONTINUED.values(), ids=NOT_CONTINUED.keys())
def test_answer_that_cannot_be_continued_is_noted(messages: Any, options: Any) -> None:
    done = translated("a", *messages, **options)

    assert done.plan.prefill == ""
    assert "prefix" not in done.messages[-1]
    assert done.notes == [f"dropped=prefill@messages.{len(messages)}"]


@pytest.mark.parametrize("answer", [assistant(""), assistant(call()), assistant(thinking("t"))])
def test_answer_without_unfinished_text_is_no_prefill(answer: Any) -> None:
    done = translated("a", answer)

    assert done.plan.prefill == ""
    assert "prefix" not in json.dumps(done.messages)


SUMMARY = {"type": "compaction", "content": "sum"}
SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
SEARCHED = [
    {"type": "server_tool_use", "id": "s", "name": SEARCH["name"], "input": {"query": "f"}},
    {
        "type": "tool_search_tool_result",
        "tool_use_id": "s",
        "content": {"type": "tool_search_tool_search_result", "tool_references": []},
    },
]


def test_answer_that_ends_with_a_summary_is_no_prefill() -> None:
    done = translated("a", assistant(text("b"), SUMMARY))

    assert [m["role"] for m in done.messages] == ["user"]
    assert done.plan.prefill == ""


def test_text_behind_a_summary_is_continued() -> None:
    done = translated("a", assistant(text("b"), SUMMARY, text("c")))

    assert done.messages[-1] == {"role": "assistant", "content": "c", "prefix": True}
    assert done.plan.prefill == "c"


def test_answer_that_ends_with_the_result_of_a_tool_here_is_no_prefill() -> None:
    done = translated("a", assistant(text("b"), *SEARCHED), dialect=VLLM, tools=[SEARCH])

    assert [m["role"] for m in done.messages] == ["user", "assistant", "tool"]
    assert done.plan.prefill == ""
    assert "continue_final_message" not in done.sent


FOUND = [
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
]


@pytest.mark.parametrize("dialect", [DEEPSEEK, VLLM, LLAMA_CPP])
def test_an_answer_that_paused_behind_a_search_is_no_prefill(dialect: Dialect) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    paused, hosted = assistant(text("I look."), *FOUND), Hosted(web_search=True)
    done = translated("a", paused, dialect=dialect, tools=tools, hosted=hosted)

    assert done.plan.prefill == ""
    assert "prefix" not in json.dumps(done.messages)
    assert not any("prefill" in note for note in done.notes)


# --- the rest -------------------------------------------------------------------------------------


def test_answer_is_planned_under_the_name_asked_for() -> None:
    done = translated("hi")

    assert done.sent["model"] == "served"
    assert done.plan.model == "asked"


def test_user_message_of_nothing_still_makes_a_request() -> None:
    assert translated(user()).messages == [{"role": "user", "content": ""}]


def test_pf03_cost_is_linear_in_history() -> None:
    """Each turn adds its own messages and nothing that grows with the turns before."""
    turns: list[Any] = []
    for number in range(200):
        turns += [user("q"), assistant(call(f"t{number}")), user(result(f"t{number}"))]

    assert len(translated(*turns).messages) == 600
