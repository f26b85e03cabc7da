"""Each part of the Messages API that DeepSeek's guide has no row for, end to end: requests as the
official SDK types them, and what a strict DeepSeek was sent.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import DocumentsSettings
from deepseek_messages.upstreams.double import Call, Text, Think
from tests.conformance.rig import JSON, Reply, Rig, running_rig
from tests.support.pdf import pdf_base64

row = pytest.mark.row


def words(text: str) -> JSON:
    return {"type": "text", "text": text}


def user(*content: Any) -> JSON:
    return {"role": "user", "content": [words(c) if isinstance(c, str) else c for c in content]}


def assistant(*content: Any) -> JSON:
    return user(*content) | {"role": "assistant"}


def tool(name: str = "f", **fields: Any) -> JSON:
    return {"name": name, "input_schema": {"type": "object", "properties": {}}, **fields}


CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}


def loop(content: Any, **fields: Any) -> list[JSON]:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": content}
    return [user("Go."), assistant(CALL | fields), user(result)]


def functions(reply: Reply) -> list[JSON]:
    return [each["function"] for each in reply.sent.get("tools", [])]


def prompt(reply: Reply) -> str:
    assert reply.seen is not None
    return reply.seen.prompt


# --- fields ---------------------------------------------------------------------------------------

WITHOUT_EFFECT: dict[str, tuple[str, JSON]] = {
    "cache_control": ("cache_control", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    "speed": ("speed", {"speed": "fast"}),
    "inference_geo": ("inference_geo", {"inference_geo": "eu"}),
    "diagnostics": ("diagnostics", {"diagnostics": {"previous_message_id": "msg_1"}}),
    "fallbacks": ("fallbacks", {"fallbacks": [{"model": "other", "max_tokens": 3}]}),
    "fallbacks by default": ("fallbacks", {"fallbacks": "default"}),
    "fallback_credit_token": ("fallback_credit_token", {"fallback_credit_token": "t"}),
    "billing_policy": ("billing_policy", {"billing_policy": {"type": "x"}}),
    "safeguards": ("safeguards", {"safeguards": ["a"]}),
    "tags": ("tags", {"tags": {"a": "b"}}),
    "unknown": ("unknown_fields", {"no_such_field": {"a": [1]}, "another": None}),
    "task budget": (
        "output_config.task_budget",
        {"output_config": {"task_budget": {"type": "tokens", "total": 9}}},
    ),
    "block binding": (
        "thinking.block_binding",
        {"thinking": {"type": "disabled", "block_binding": {"prefix_mismatch_behavior": "error"}}},
    ),
}


@pytest.mark.parametrize(
    "fields",
    [pytest.param(fields, marks=row(name)) for name, fields in WITHOUT_EFFECT.values()],
    ids=WITHOUT_EFFECT.keys(),
)
def test_a_field_without_effect(rig: Rig, fields: JSON) -> None:
    plain = rig.served()
    reply = rig.served(**fields)
    assert reply.sent == plain.sent
    assert not [note for note in reply.notes if not note.startswith("ignored=")]


@row("max_tokens")
@pytest.mark.parametrize("stream", [True, False])
def test_max_tokens_of_0_only_fills_the_cache(rig: Rig, stream: bool) -> None:
    reply = rig.served(Text("Hi."), max_tokens=0, stream=stream)
    assert reply.sent["max_tokens"] == 1
    assert b"text_delta" not in reply.raw
    assert b"Hi." not in reply.raw
    assert "emulated=max_tokens@max_tokens" in reply.notes


@row("max_tokens")
@pytest.mark.parametrize(
    ("value", "words"),
    [(..., "Field required"), (-1, "Input should be greater than or equal to 0")],
)
def test_max_tokens_is_needed(rig: Rig, value: object, words: str) -> None:
    reply = rig.ask(max_tokens=value)
    assert reply.status == 400
    assert reply.body["error"]["message"] == f"max_tokens: {words}"


@row("thread")
@pytest.mark.parametrize(
    "thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}]
)
def test_threads_are_refused_so_that_the_sdk_goes_on_without(rig: Rig, thread: JSON) -> None:
    reply = rig.ask(thread=thread)
    assert reply.status == 400
    assert reply.body["error"]["type"] == "invalid_request_error"
    assert reply.body["error"]["details"]["error_code"] == "thread_unsupported_request"


THINKING: dict[str, tuple[str, Any, bool]] = {
    "enabled": ("thinking.enabled", {"type": "enabled", "budget_tokens": 1024}, True),
    "adaptive": ("thinking.adaptive", {"type": "adaptive"}, True),
    "between_tools": ("thinking.between_tools", {"type": "between_tools"}, True),
    "disabled": ("thinking.disabled", {"type": "disabled"}, False),
    "absent": ("thinking.disabled", ..., False),
    "odd budget": ("thinking.budget_tokens", {"type": "enabled", "budget_tokens": 1}, True),
    "huge budget": ("thinking.budget_tokens", {"type": "enabled", "budget_tokens": 10**9}, True),
}


@pytest.mark.parametrize(
    ("thinking", "on"),
    [pytest.param(value, on, marks=row(name)) for name, value, on in THINKING.values()],
    ids=THINKING.keys(),
)
@pytest.mark.parametrize("stream", [True, False])
def test_thinking_is_on_or_off(rig: Rig, thinking: Any, on: bool, stream: bool) -> None:
    reply = rig.served(Think("Hm."), Text("Hi."), thinking=thinking, stream=stream)
    assert reply.sent["thinking"] == {"type": "enabled" if on else "disabled"}
    assert (b'"type":"thinking"' in reply.raw) is on


@row("thinking.display")
@row("messages.content.thinking.signature")
@pytest.mark.parametrize("display", ["summarized", "updates", None, "omitted"])
def test_reasoning_is_shown_or_carried_by_its_signature(rig: Rig, display: Any) -> None:
    thinking = {"type": "adaptive", "display": display}
    reply = rig.served(Think("Hm."), Call("f"), tools=[tool()], thinking=thinking)
    block, call = reply.body["content"]
    assert block["thinking"] == ("" if display == "omitted" else "Hm.")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "r"}
    again = [user("Hello"), assistant(block, call), user(result)]
    back = rig.served(messages=again, tools=[tool()], thinking=thinking)
    assert back.sent["messages"][1]["reasoning_content"] == "Hm."


@row("output_config.effort")
@row("messages.output_config")
@row("messages.clear_at")
def test_the_last_effort_of_the_conversation_holds(rig: Rig) -> None:
    switch = {"role": "system", "content": [], "output_config": {"effort": "max"}}
    switch["clear_at"] = "next_user_message"
    asked = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    assert rig.served(**asked).sent["reasoning_effort"] == "low"
    later = rig.served(messages=[user("a"), switch], **asked)
    assert later.sent["reasoning_effort"] == "max"
    assert len(later.sent["messages"]) == 1


@row("output_config.format")
@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_structured_output_at_both_places(rig: Rig, place: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    chosen = {"type": "json_schema", "schema": schema}
    fields = {place: {"format": chosen} if place == "output_config" else chosen}
    reply = rig.served(Text('```json\n{"n": 3}\n```'), **fields)
    assert reply.text == '{"n": 3}'


# --- messages -------------------------------------------------------------------------------------


@row("messages.role")
@row("messages.system")
@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
def test_system_messages_keep_their_place(rig: Rig, model: str) -> None:
    messages = [
        {"role": "system", "content": "FIRST"},
        user("one"),
        assistant("two"),
        user("three"),
        {"role": "system", "content": [words("LAST")]},
    ]
    text = prompt(rig.served(model=model, messages=messages))
    places = [text.index(each) for each in ("FIRST", "one", "two", "three", "LAST")]
    assert places == sorted(places)


@row("messages.role")
@pytest.mark.parametrize("role", ["tool", "developer", ""])
def test_another_role_is_refused_by_its_place(rig: Rig, role: str) -> None:
    reply = rig.ask(messages=[user("a"), {"role": role, "content": "x"}])
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("messages.1.role: ")


@row("messages.consecutive")
def test_messages_of_one_role_in_a_row(rig: Rig) -> None:
    reply = rig.served(messages=[user("one"), user("two"), assistant("x"), assistant("y"), user()])
    sent = reply.sent["messages"]
    assert sent[0] == {"role": "user", "content": "one\n\ntwo"}
    assert [each["content"] for each in sent[1:3]] == ["x", "y"]


@row("messages.empty")
@pytest.mark.parametrize("content", ["", [], [words("")]])
@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_empty_content_is_accepted(rig: Rig, role: str, content: Any) -> None:
    rig.served(messages=[user("a"), {"role": role, "content": content}, user("b")])


@row("messages.prefill")
@pytest.mark.parametrize("stream", [True, False])
def test_a_last_answer_is_continued(rig: Rig, stream: bool) -> None:
    messages = [user("Count."), assistant("1, 2,")]
    reply = rig.served(Text(" 3"), messages=messages, stream=stream)
    assert reply.sent["messages"][-1] == {"role": "assistant", "content": "1, 2,", "prefix": True}
    assert b"1, 2," not in reply.raw
    noted = rig.served(Text("3"), messages=messages, tools=[tool()])
    assert "dropped=prefill@messages.1" in noted.notes


# --- tools ----------------------------------------------------------------------------------------


@row("tools.type")
@pytest.mark.parametrize("kind", [..., None, "custom"])
def test_kinds_of_the_clients_own_tool(rig: Rig, kind: Any) -> None:
    given = tool("web_search") if kind is ... else tool("web_search", type=kind)
    reply = rig.served(Call("web_search"), tools=[given])
    assert functions(reply)[0]["name"] == "web_search"
    assert reply.body["content"][0]["type"] == "tool_use"


@row("tools.strict")
@row("tools.allowed_callers")
@row("tools.eager_input_streaming")
def test_settings_of_a_tool_that_change_nothing_on_deepseek(rig: Rig) -> None:
    plain = rig.served(tools=[tool()])
    callers = ["direct", "code_execution_20260120"]
    more = tool(strict=True, allowed_callers=callers, eager_input_streaming=True)
    reply = rig.served(tools=[more])
    stripped = [{k: v for k, v in each.items() if k != "strict"} for each in functions(reply)]
    assert stripped == functions(plain)


@row("tools.input_examples")
def test_examples_join_the_description(rig: Rig) -> None:
    examples = [{"city": "Rome"}, {"city": "Oslo"}]
    reply = rig.served(tools=[tool(description="Weather.", input_examples=examples)])
    described = functions(reply)[0]["description"]
    assert described.startswith("Weather.")
    assert '{"city": "Rome"}' in described.replace(':"', ': "')


REFERENCE = {"type": "tool_reference", "tool_name": "later"}
LATER = tool("later", description="Comes later.", defer_loading=True)


@row("tools.defer_loading")
@row("messages.content.tool_reference")
@row("messages.content.tool_result.tool_reference")
@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro"])
def test_a_deferred_tool_comes_with_its_reference(rig: Rig, model: str) -> None:
    without = rig.served(model=model, messages=loop("nothing"), tools=[tool(), LATER])
    assert "Comes later." not in prompt(without)
    reply = rig.served(
        Call("later"), model=model, messages=loop([REFERENCE]), tools=[tool(), LATER]
    )
    assert "Comes later." in prompt(reply)
    assert reply.body["content"][0]["name"] == "later"


@row("messages.content.tool_addition")
@row("messages.content.tool_removal")
def test_tools_are_added_and_removed_in_the_conversation(rig: Rig) -> None:
    added = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "later"}}
    gone = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}}
    messages = [user("a"), {"role": "system", "content": [added, gone]}]
    reply = rig.served(messages=messages, tools=[tool(), LATER])
    assert "Comes later." in prompt(reply)
    assert "The tool f is no longer available." in prompt(reply)


CLIENT_TOOLS: list[tuple[str, JSON, str, str]] = [
    ("tools.bash", {"type": "bash_20250124", "name": "bash"}, "bash", "command"),
    ("tools.bash", {"type": "bash_20241022", "name": "bash"}, "bash", "restart"),
    (
        "tools.text_editor",
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        "str_replace_based_edit_tool",
        "old_str",
    ),
    (
        "tools.text_editor",
        {"type": "text_editor_20241022", "name": "str_replace_editor"},
        "str_replace_editor",
        "undo_edit",
    ),
    ("tools.memory", {"type": "memory_20250818", "name": "memory"}, "memory", "insert_text"),
    (
        "tools.computer",
        {
            "type": "computer_20251124",
            "name": "computer",
            "display_width_px": 1024,
            "display_height_px": 768,
        },
        "computer",
        "1024",
    ),
]


@pytest.mark.parametrize(
    ("given", "name", "known"),
    [pytest.param(*each[1:], marks=row(each[0]), id=each[1]["type"]) for each in CLIENT_TOOLS],
)
def test_anthropics_client_tools_are_known_by_type(
    rig: Rig, given: JSON, name: str, known: str
) -> None:
    reply = rig.served(Call(name), tools=[given])
    (function,) = functions(reply)
    assert function["name"] == name
    assert known in json.dumps(function)
    assert (reply.body["content"][0]["type"], reply.body["stop_reason"]) == ("tool_use",) * 2


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("computer_toolset_20260801", marks=row("tools.toolsets")),
        pytest.param("browser_toolset_20260801", marks=row("tools.toolsets")),
        pytest.param("deepseek_web_search", marks=row("tools.deepseek_own")),
        pytest.param("deepseek_read_url", marks=row("tools.deepseek_own")),
        pytest.param("advisor_20260301", marks=row("tools.code_execution")),
    ],
)
def test_tools_that_cannot_be_served_are_left_out_with_a_note(rig: Rig, kind: str) -> None:
    reply = rig.served(tools=[tool(), {"type": kind}])
    assert [each["name"] for each in functions(reply)] == ["f"]
    assert f"dropped=tools.{kind}@tools.1" in reply.notes


# --- blocks ---------------------------------------------------------------------------------------

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg"
    "=="
)
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "All cats are grey."},
    "title": "Cats",
    "context": "An old saying",
}
FOUND = {
    "type": "search_result",
    "source": "https://example.com/cats",
    "title": "On cats",
    "content": [words("Some are black.")],
}


@row("messages.content.image.source")
def test_an_image_by_file_id(rig: Rig) -> None:
    image = {"type": "image", "source": {"type": "file", "file_id": "file-api-1"}}
    reply = rig.ask(messages=[user("What is this?", image)])
    assert reply.seen is not None
    assert reply.seen.body is not None
    sent = reply.seen.body["messages"][0]["content"]
    assert {"type": "file", "file": {"file_id": "file-api-1"}} in sent


@row("messages.content.document.pdf")
def test_a_pdf_of_too_many_pages_is_refused_in_anthropics_words(tmp_path: Path) -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf_base64("1", "2", "3")}
    few = DocumentsSettings(max_pages=2)
    with running_rig(tmp_path, documents=few) as rig:
        reply = rig.ask(messages=[user({"type": "document", "source": source})])
    assert reply.status == 400
    assert reply.body["error"]["message"] == (
        "messages.0.content.0.document.source.base64.data: "
        "A maximum of 2 PDF pages may be provided."
    )


@row("messages.content.image.transformations")
def test_transformations_of_an_image_change_nothing(rig: Rig) -> None:
    plain = rig.ask(messages=[user(IMAGE)])
    told = IMAGE | {"transformations": {"oversized_image": "downsize"}}
    reply = rig.ask(messages=[user(told)])
    assert plain.seen is not None
    assert reply.seen is not None
    assert reply.seen.body == plain.seen.body


@row("messages.content.document.title")
def test_a_document_has_title_and_context(rig: Rig) -> None:
    text = prompt(rig.served(messages=[user(DOCUMENT)]))
    assert text.index("Cats") < text.index("An old saying") < text.index("All cats are grey.")


@row("messages.content.document.pdf")
@row("messages.content.tool_result.document")
@row("messages.content.tool_result.search_result")
def test_documents_and_search_results_inside_a_result(rig: Rig) -> None:
    file = {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": pdf_base64("Page one"),
        },
    }
    reply = rig.served(messages=loop([words("See:"), DOCUMENT, FOUND, file]), tools=[tool()])
    (result,) = [each for each in reply.sent["messages"] if each["role"] == "tool"]
    shown = ("See:", "All cats are grey.", "Some are black.", "Page one")
    places = [result["content"].index(each) for each in shown]
    assert places == sorted(places)


@row("messages.content.tool_result.image")
@pytest.mark.parametrize(
    ("model", "shown"), [("deepseek-flash", "<｜image｜>"), ("deepseek-v4-pro", "[image left out")]
)
def test_an_image_inside_a_result(rig: Rig, model: str, shown: str) -> None:
    reply = rig.served(model=model, messages=loop([IMAGE]), tools=[tool()])
    assert shown in prompt(reply)


@row("messages.content.tool_result.unknown")
def test_another_block_inside_a_result_becomes_a_note(rig: Rig) -> None:
    state = {"type": "browser_state", "url": "https://example.com", "tabs": []}
    reply = rig.served(messages=loop([words("Ok"), state]), tools=[tool()])
    assert "block of type browser_state left out" in prompt(reply)
    assert "replaced=unknown_block@messages.2.content.0.content.1" in reply.notes


@row("messages.content.tool_use.caller")
def test_the_caller_of_a_call_changes_nothing(rig: Rig) -> None:
    plain = rig.served(messages=loop("r"), tools=[tool()])
    more = {"caller": {"type": "direct"}, "toolset_name": "computer"}
    assert rig.served(messages=loop("r", **more), tools=[tool()]).sent == plain.sent


PAST: list[tuple[str, JSON, str]] = [
    (
        "messages.content.web_fetch_tool_result",
        {
            "type": "web_fetch_tool_result",
            "content": {"type": "web_fetch_result", "url": "https://e.com/", "content": DOCUMENT},
        },
        "All cats are grey.",
    ),
    (
        "messages.content.bash_code_execution_tool_result",
        {"type": "bash_code_execution_tool_result", "content": {"stdout": "forty-two"}},
        "forty-two",
    ),
    (
        "messages.content.bash_code_execution_tool_result",
        {"type": "text_editor_code_execution_tool_result", "content": {"lines": ["forty-two"]}},
        "forty-two",
    ),
    (
        "messages.content.tool_search_tool_result",
        {
            "type": "tool_search_tool_result",
            "content": {
                "type": "tool_search_tool_search_result",
                "tool_references": [REFERENCE],
            },
        },
        "Comes later.",
    ),
]


@pytest.mark.parametrize(
    ("block", "shown"), [pytest.param(*each[1:], marks=row(each[0])) for each in PAST]
)
def test_results_of_other_servers_tools_are_read_as_text(rig: Rig, block: JSON, shown: str) -> None:
    answer = assistant(block | {"tool_use_id": "srvtoolu_1"}, "Done.")
    reply = rig.served(messages=[user("a"), answer, user("b")], tools=[tool(), LATER])
    assert shown in prompt(reply)
    assert f"replaced={block['type']}@messages.1.content.0" in reply.notes


@row("messages.content.unknown")
@pytest.mark.parametrize(
    "kind", ["mcp_tool_listing", "advisor_tool_result", "fallback", "of_the_future"]
)
def test_blocks_of_other_types_in_an_answer_become_notes(rig: Rig, kind: str) -> None:
    block = {"type": kind, "content": [{"x": 1}], "from": {"model": "a"}, "to": {"model": "b"}}
    reply = rig.served(messages=[user("a"), assistant(block, "Done."), user("b")])
    assert reply.sent["messages"][1]["content"].endswith("Done.")
    assert "replaced=unknown_block@messages.1.content.0" in reply.notes
    refused = rig.ask(messages=[user(block)])
    assert refused.status == 400
    assert refused.body["error"]["message"].startswith("messages.0.content.0: ")
