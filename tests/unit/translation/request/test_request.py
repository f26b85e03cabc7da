"""The request as a whole: turns, system prompt, images and documents, structured output."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    LLAMA_CPP,
    SGLANG,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.refusals import Refusal
from tests.support.translating import (
    assistant,
    call,
    model,
    result,
    text,
    thinking,
    translated,
    user,
)

ON = {"type": "adaptive"}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}

# --- turns ----------------------------------------------------------------------------------------


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

SENT = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def test_image_reaches_a_model_that_sees() -> None:
    done = translated(user("a", "b", PNG, "c"))

    assert done.messages[0]["content"] == [text("a\n\nb"), SENT, text("c")]


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
