"""Tools, their names, their choice, and loading them late."""

import json
import re
from random import Random
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.tools.names import upstream_id, upstream_name
from tests.support.generated import cases
from tests.support.generated import text as random_text
from tests.support.translating import (
    assistant,
    call,
    model,
    result,
    system,
    text,
    tool,
    translated,
    user,
)

ON = {"type": "adaptive"}


def functions(*tools: Any, **options: Any) -> list[Any]:
    done = translated("hi", tools=list(tools), **options)
    return [entry["function"] for entry in done.sent.get("tools", [])]


# --- definitions ----------------------------------------------------------------------------------

DEFINITIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (
        tool("f", description="d"),
        {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
    ),
    "TC-19 custom": (
        tool("f", type="custom"),
        {"name": "f", "parameters": {"type": "object", "properties": {}}},
    ),
    "TC-21 null type": (
        tool("f", type=None),
        {"name": "f", "parameters": {"type": "object", "properties": {}}},
    ),
    "no schema": ({"name": "f"}, {"name": "f", "parameters": {"type": "object", "properties": {}}}),
    "SC-05 empty schema": (
        {"name": "f", "input_schema": {}},
        {"name": "f", "parameters": {"type": "object", "properties": {}}},
    ),
    "TC-20 fields of the tool": (
        tool("f", allowed_callers=["direct"], eager_input_streaming=True, strict=True),
        {"name": "f", "parameters": {"type": "object", "properties": {}}},
    ),
    "input examples": (
        tool("f", description="d", input_examples=[{"a": 1}, {"a": "é"}]),
        {
            "name": "f",
            "description": 'd\n\nExamples of input:\n{"a":1}\n{"a":"é"}',
            "parameters": {"type": "object", "properties": {}},
        },
    ),
    "WS-04 a client's own web_search": (
        tool("web_search"),
        {"name": "web_search", "parameters": {"type": "object", "properties": {}}},
    ),
}


@pytest.mark.parametrize(("given", "sent"), DEFINITIONS.values(), ids=DEFINITIONS.keys())
def test_definition_as_sent(given: dict[str, Any], sent: dict[str, Any]) -> None:
    assert functions(given) == [sent]


def test_schema_passes_byte_for_byte() -> None:
    schema = b'{ "properties" : {"z":{"maximum":1.50},"a":{}} ,"type":"object"}'
    done = translated("hi", tools=[tool("f", input_schema=msgspec.Raw(schema))])

    assert done.chat.tools is not None
    assert bytes(done.chat.tools[0].function.parameters) == schema  # type: ignore[arg-type]


def test_strict_is_passed_on_where_the_upstream_takes_it() -> None:
    assert functions(tool(strict=True), dialect=SGLANG)[0]["strict"] is True


def test_empty_tools_are_left_out() -> None:
    assert "tools" not in translated("hi", tools=[]).sent


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(Refusal, match=r"^tools: Tool names must be unique"):
        translated("hi", tools=[tool("f"), tool("f")])


CLIENT_TOOLS = {
    "bash_20250124": ("bash", {"command", "restart"}),
    "text_editor_20250124": ("str_replace_editor", {"command", "path", "new_str", "view_range"}),
    "text_editor_20250728": ("str_replace_based_edit_tool", {"insert_text", "insert_line"}),
    "memory_20250818": ("memory", {"command", "path", "old_path", "new_path"}),
    "computer_20241022": ("computer", {"action", "coordinate", "text"}),
    "computer_20250124": ("computer", {"scroll_direction", "duration"}),
    "computer_20251124": ("computer", {"region"}),
}


@pytest.mark.parametrize(("kind", "known"), CLIENT_TOOLS.items(), ids=CLIENT_TOOLS.keys())
def test_anthropics_client_tool_gets_its_schema(kind: str, known: tuple[str, set[str]]) -> None:
    name, properties = known
    sent = functions({"type": kind, "name": name, "display_width_px": 8, "display_height_px": 6})

    assert sent[0]["name"] == name
    assert properties <= set(sent[0]["parameters"]["properties"])
    assert sent[0]["description"]


@pytest.mark.parametrize("kind", ["web_search_20250305", "code_execution_20250825", "advisor_1"])
def test_server_tool_is_left_out_with_a_note(kind: str) -> None:
    done = translated("hi", tools=[{"type": kind, "name": "web_search"}, tool("f")])

    assert [t["function"]["name"] for t in done.sent["tools"]] == ["f"]
    assert done.notes == [f"dropped=tools.{kind}@tools.0"]


def test_server_tool_is_refused_when_strict() -> None:
    with pytest.raises(Refusal, match=r"^tools\.0: "):
        translated("hi", tools=[{"type": "web_search_20250305", "name": "w"}], strict=True)


# --- names and ids --------------------------------------------------------------------------------

NAMES = ["fs.readFile", "a b", "é" * 60, "x" * 129, "", "名", "f\n"]


@pytest.mark.parametrize("name", NAMES)
def test_name_is_mapped_into_the_alphabet(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", upstream_name(name))
    assert upstream_name(name) == upstream_name(name)


@pytest.mark.parametrize("name", ["Read", "mcp__a-b__c", "x" * 128])
def test_plain_name_is_not_changed(name: str) -> None:
    assert upstream_name(name) == name


@cases()
def test_a_word_is_told_as_a_regular_expression_would(dice: Random) -> None:
    name = random_text(dice, [*"aZ09_-", "é", "²", "٣", "\n", ".", "word", "x" * 30], 5)
    assert (upstream_name(name) == name) == bool(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name))
    assert (upstream_id(name) == name) == bool(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name))


def test_names_that_look_alike_stay_apart() -> None:
    assert len({upstream_name(name) for name in ("a.b", "a b", "a/b", "a_b")}) == 4


def test_mapped_name_has_a_way_back() -> None:
    done = translated(
        "hi", assistant(call("t1", "fs.read")), user(result("t1")), tools=[tool("fs.read")]
    )
    name = done.sent["tools"][0]["function"]["name"]

    assert done.plan.tool_names == {name: "fs.read"}
    assert done.plan.tools == {name}
    assert done.messages[1]["tool_calls"][0]["function"]["name"] == name
    assert done.notes == ["mapped=tools.name@tools.0"]


@pytest.mark.parametrize("tool_id", ["fs.readFile:0", "é", "", "x" * 200])
def test_tc09_id_outside_the_alphabet_is_replaced_on_both_sides(tool_id: str) -> None:
    done = translated("hi", assistant(call(tool_id)), user(result(tool_id)))
    sent = done.messages[1]["tool_calls"][0]["id"]

    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", sent)
    assert done.messages[2]["tool_call_id"] == sent


def test_ids_of_earlier_calls_are_not_given_again() -> None:
    done = translated(
        "hi", assistant(call("call_0")), user(result("call_0")), assistant(call("call_1"))
    )

    assert done.plan.used_tool_ids == {"call_0", "call_1"}


def test_tc29_replaced_id_is_the_same_every_time() -> None:
    assert upstream_id("a:1") == "call_" + upstream_id("a:1").removeprefix("call_")
    assert upstream_id("a:1") != upstream_id("a:2")


@pytest.mark.parametrize(
    "arguments",
    ['{ "b":1.50, "a":{"z":[1,2],"y":"\\u00e9"}}', "[1]", '"x"', "null", "5", "{}"],
)
def test_tc24_tc25_arguments_pass_byte_for_byte(arguments: str) -> None:
    block = {**call(), "input": msgspec.Raw(arguments.encode())}
    done = translated("hi", assistant(block), user(result()))

    assert done.messages[1]["tool_calls"][0]["function"]["arguments"] == arguments


# --- choice ---------------------------------------------------------------------------------------

NAMED = {"type": "function", "function": {"name": "g"}}
CHOICES: dict[str, tuple[Any, Any]] = {
    "absent": (None, None),
    "auto": ({"type": "auto"}, None),
    "any": ({"type": "any"}, "required"),
    "tool": ({"type": "tool", "name": "g"}, NAMED),
}


@pytest.mark.parametrize(("choice", "sent"), CHOICES.values(), ids=CHOICES.keys())
def test_tool_choice_as_sent(choice: Any, sent: Any) -> None:
    done = translated("hi", tools=[tool("f"), tool("g")], tool_choice=choice)

    assert done.sent.get("tool_choice") == sent
    assert done.plan.must_call is (sent is not None)
    assert done.plan.forced_tool == ("g" if sent == NAMED else None)


def test_choice_of_none_leaves_the_tools_out_of_the_prompt() -> None:
    done = translated("hi", tools=[tool("f")], tool_choice={"type": "none"})

    assert "tools" not in done.sent
    assert "tool_choice" not in done.sent
    assert done.plan.tools == frozenset()


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}])
@pytest.mark.parametrize("tools", [[], None, [{"type": "web_search_20250305", "name": "w"}]])
def test_tc17_choice_without_tools_is_left_out(choice: Any, tools: Any) -> None:
    done = translated("hi", tools=tools, tool_choice=choice)

    assert "tool_choice" not in done.sent
    assert not done.plan.must_call


def test_choice_of_an_unknown_tool_is_refused_by_name() -> None:
    with pytest.raises(Refusal) as caught:
        translated("hi", tools=[tool("f")], tool_choice={"type": "tool", "name": "x"})
    assert caught.value.message == "tool_choice.name: Tool 'x' not found in provided tools"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "f"}])
def test_tc23_forced_choice_turns_thinking_off_where_both_are_refused(choice: Any) -> None:
    done = translated("hi", tools=[tool("f")], tool_choice=choice, thinking=ON)

    assert done.sent["thinking"] == {"type": "disabled"}
    assert not done.plan.thinking
    assert done.notes == ["emulated=tool_choice.thinking_off@tool_choice"]


def test_forced_choice_keeps_thinking_where_the_upstream_can_do_both() -> None:
    done = translated(
        "hi", tools=[tool("f")], tool_choice={"type": "any"}, thinking=ON, dialect=VLLM
    )

    assert done.plan.thinking
    assert done.notes == []


@pytest.mark.parametrize("dialect", [LLAMA_CPP, OLLAMA], ids=lambda d: d.name)
def test_named_tool_is_the_only_one_told_where_no_name_is_taken(dialect: Dialect) -> None:
    done = translated(
        "hi",
        tools=[tool("f"), tool("g")],
        tool_choice={"type": "tool", "name": "g"},
        dialect=dialect,
    )

    assert [t["function"]["name"] for t in done.sent["tools"]] == ["g"]
    assert done.sent.get("tool_choice") == ("required" if dialect is LLAMA_CPP else None)
    assert done.plan.forced_tool == "g"
    assert done.notes == ["emulated=tool_choice@tool_choice"]


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "f"}])
def test_a_call_is_asked_for_in_words_where_no_choice_is_taken(choice: Any) -> None:
    """Ollama's ChatCompletionRequest has no ``tool_choice``."""
    done = translated(
        "hi", system="Be brief.", tools=[tool("f")], tool_choice=choice, dialect=OLLAMA
    )

    head = done.sent["messages"][0]
    assert "tool_choice" not in done.sent
    assert head["role"] == "system"
    assert head["content"].startswith("Be brief.")
    assert "call of one of the tools" in head["content"]
    assert done.plan.must_call
    assert done.notes == ["emulated=tool_choice@tool_choice"]


def test_no_call_is_asked_for_in_words_without_a_forced_choice() -> None:
    done = translated("hi", tools=[tool("f")], dialect=OLLAMA)

    assert [message["role"] for message in done.sent["messages"]] == ["user"]


PARALLEL = {"deepseek": (DEEPSEEK, None), "vllm": (VLLM, False), "generic": (GENERIC, None)}


@pytest.mark.row("tool_choice.disable_parallel_tool_use")
@pytest.mark.parametrize(("dialect", "sent"), PARALLEL.values(), ids=PARALLEL.keys())
def test_single_tool_is_asked_for_where_taken_and_always_planned(
    dialect: Dialect, sent: bool | None
) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    done = translated("hi", tools=[tool("f")], tool_choice=choice, dialect=dialect)

    assert done.sent.get("parallel_tool_calls") == sent
    assert done.plan.single_tool


# --- deferred tools -------------------------------------------------------------------------------

LATE = [tool("f"), tool("late", defer_loading=True), tool("rare", defer_loading=True)]


def reference(name: str) -> dict[str, Any]:
    return {"type": "tool_reference", "tool_name": name}


def loaded(*names: str) -> list[Any]:
    return ["go", assistant(call()), user(result("t1", [reference(name) for name in names]))]


def test_deferred_tool_is_left_out_until_it_is_referred_to() -> None:
    assert [f["name"] for f in functions(*LATE)] == ["f"]


def test_referenced_tool_is_shown_in_its_place_in_v41() -> None:
    done = translated(*loaded("late"), tools=LATE)
    shown = json.dumps({"name": "late", "description": "", "parameters": LATE[1]["input_schema"]})

    assert [t["function"]["name"] for t in done.sent["tools"]] == ["f"]
    assert done.messages[2:] == [
        {"role": "tool", "tool_call_id": "t1", "content": "late"},
        {"role": "system", "content": f"\n\n### Updated Tool Schemas\n\n{shown}"},
    ]
    assert done.plan.tools == {"f", "late"}


def test_referenced_tools_join_the_others_in_order_of_reference_elsewhere() -> None:
    done = translated(*loaded("rare", "late"), tools=LATE, served=model("v4"))

    assert [t["function"]["name"] for t in done.sent["tools"]] == ["f", "rare", "late"]
    assert done.messages[2]["content"] == "rare\n\nlate"


def test_order_of_deferred_tools_in_the_request_does_not_matter() -> None:
    """Claude Code inserts loaded tools by name; the prompt's head must stay as it was."""
    either = [
        translated(*loaded("late"), tools=tools, served=model("v4")).sent["tools"]
        for tools in (LATE[:2], [LATE[1], LATE[0]])
    ]

    assert either[0] == either[1]


def test_reference_to_nothing_is_noted() -> None:
    done = translated(*loaded("nobody"), tools=LATE)

    assert done.messages[2]["content"] == "nobody"
    assert done.notes == ["dropped=tool_reference@messages.2.content.0.content.0"]


def test_tool_addition_in_a_system_message_loads_the_tool() -> None:
    addition = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "late"}}
    done = translated("a", system(text("new"), addition), tools=LATE)

    assert done.messages[1]["role"] == "system"
    assert done.messages[1]["content"].startswith("new\n\n### Updated Tool Schemas\n\n{")


def test_deferred_tools_wait_for_the_servers_own_search() -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    done = translated("hi", tools=[search, *LATE])

    names = [t["function"]["name"] for t in done.sent["tools"]]
    assert names == ["tool_search_tool_regex", "f"]
    assert done.notes == ["emulated=tools.tool_search_tool_regex@tools.0"]


def test_many_references_do_not_grow_a_small_request_without_limit() -> None:
    big = tool("late", defer_loading=True, description="x" * 100_000)
    turns: list[Any] = ["go"]
    for number in range(100):
        turns += [
            assistant(call(f"t{number}")),
            user(result(f"t{number}", [reference("late")])),
        ]
    done = translated(*turns, tools=[tool("f"), big])

    assert len(json.dumps(done.messages)) < 2_000_000
