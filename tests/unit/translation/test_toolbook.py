"""The tools of a request: what is noted, MCP toolsets, references, and the way names come back."""

from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.translation.dialects import DEEPSEEK, LLAMA_CPP, SGLANG
from deepseek_messages.translation.hosted.server_tools import Hosted, McpTool, ServerTool
from deepseek_messages.translation.limits import MAX_REPEATED_SCHEMA_CHARS
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.tools import Tool
from tests.support.translating import (
    Translated,
    assistant,
    call,
    model,
    result,
    tool,
    translated,
    user,
)

SCHEMA = Raw(b'{"type":"object"}')


def offered(server: str, name: str, description: str = "") -> McpTool:
    return McpTool(server=server, name=name, description=description, schema=SCHEMA)


SHOP = Hosted(
    mcp_servers=frozenset({"shop", "bank"}),
    mcp_tools=(
        offered("shop", "buy", "B"),
        offered("shop", "sell"),
        offered("bank", "pay"),
        offered("elsewhere", "x"),
    ),
)
SERVERS = [{"type": "url", "name": name, "url": "https://e.com"} for name in ("shop", "bank")]


def toolset(name: str | None = "shop", **fields: Any) -> dict[str, Any]:
    return {"type": "mcp_toolset", "mcp_server_name": name, **fields}


def shopped(*tools: dict[str, Any], **fields: Any) -> Translated:
    given: dict[str, Any] = {"hosted": SHOP, "mcp_servers": SERVERS, **fields}
    return translated("hi", tools=list(tools), **given)


def names(done: Translated) -> list[str]:
    return [entry["function"]["name"] for entry in done.sent.get("tools", [])]


def book(done: Translated) -> ToolBook:
    assert done.rounds is not None
    return done.rounds.book


# --- what is noted --------------------------------------------------------------------------------

NOTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a schema that is missing": ({"name": "f"}, ["repaired=tools.input_schema@tools.1"]),
    "a schema that is repaired": (
        {"name": "f", "input_schema": {}},
        ["repaired=tools.input_schema@tools.1"],
    ),
    "a schema that is good": (tool("f"), []),
    "strictness that is not taken": (tool("f", strict=True), ["ignored=tools.strict@tools.1"]),
    "strictness that is not asked for": (
        tool("f", strict=False),
        ["ignored=tools.strict@tools.1"],
    ),
    "examples": (
        tool("f", input_examples=[{"a": 1}]),
        ["emulated=tools.input_examples@tools.1"],
    ),
    "a name outside the alphabet": (tool("a b"), ["mapped=tools.name@tools.1"]),
    "a server tool that cannot run": (
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        ["dropped=tools.web_fetch_20250910@tools.1"],
    ),
}


@pytest.mark.parametrize(("given", "notes"), NOTED.values(), ids=NOTED)
def test_a_change_of_a_tool_is_noted_at_its_place(given: dict[str, Any], notes: list[str]) -> None:
    assert translated("hi", tools=[tool("first"), given]).notes == notes


def test_strictness_is_noted_once() -> None:
    tools = [tool("f", strict=True), tool("g", strict=True)]
    assert translated("hi", tools=tools).notes == ["ignored=tools.strict@tools.0"]
    assert translated("hi", tools=tools, dialect=SGLANG).notes == []


def test_a_schema_that_is_none_is_refused_by_its_place() -> None:
    for schema in (5, [], "x"):
        with pytest.raises(Refusal) as caught:
            translated("hi", tools=[tool("first"), {"name": "f", "input_schema": schema}])
        assert caught.value.path == "tools.1.input_schema"


@pytest.mark.parametrize("description", [None, "", "D"])
def test_examples_stand_behind_the_description(description: str | None) -> None:
    given = tool("f", description=description, input_examples=[{"a": 1}, {}])
    sent = translated("hi", tools=[given]).sent["tools"][0]["function"]["description"]
    examples = 'Examples of input:\n{"a":1}\n{}'
    assert sent == (f"{description}\n\n{examples}" if description else examples)


# --- MCP toolsets ---------------------------------------------------------------------------------


def test_a_toolset_is_the_tools_of_its_server() -> None:
    done = shopped(toolset("shop"), toolset("bank"), tool("f"))
    assert names(done) == ["mcp__shop__buy", "mcp__shop__sell", "mcp__bank__pay", "f"]
    first, second = (entry["function"] for entry in done.sent["tools"][:2])
    assert first == {
        "name": "mcp__shop__buy",
        "description": "B",
        "parameters": {"type": "object"},
    }
    assert "description" not in second
    assert book(done).server["mcp__shop__buy"] == ServerTool(kind="mcp", name="buy", server="shop")
    assert done.notes == [f"emulated=tools.mcp_toolset@tools.{n}" for n in (0, 1)]
    assert book(done).runs_mcp is True


def test_servers_without_a_toolset_bring_all_their_tools() -> None:
    done = shopped(toolset("shop"))
    assert names(done) == ["mcp__shop__buy", "mcp__shop__sell", "mcp__bank__pay"]
    assert done.notes == [
        "emulated=tools.mcp_toolset@tools.0",
        "emulated=tools.mcp_toolset@mcp_servers",
    ]
    assert names(shopped()) == ["mcp__bank__pay", "mcp__shop__buy", "mcp__shop__sell"]


@pytest.mark.parametrize("name", ["elsewhere", "", None])
def test_a_toolset_of_a_server_that_was_not_asked_is_dropped(name: str | None) -> None:
    done = translated("hi", tools=[tool("f"), toolset(name)])
    assert names(done) == ["f"]
    assert done.notes == ["dropped=tools.mcp_toolset@tools.1"]


PICKED: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "all": ({}, ["buy", "sell"], []),
    "one is not wanted": ({"configs": {"buy": {"enabled": False}}}, ["sell"], []),
    "one alone is wanted": (
        {"default_config": {"enabled": False}, "configs": {"buy": {"enabled": True}}},
        ["buy"],
        [],
    ),
    "one waits": ({"configs": {"buy": {"defer_loading": True}}}, ["sell"], ["buy"]),
    "one does not wait": (
        {"default_config": {"defer_loading": True}, "configs": {"buy": {"defer_loading": False}}},
        ["buy"],
        ["sell"],
    ),
    "nothing said": ({"default_config": None, "configs": None}, ["buy", "sell"], []),
}


@pytest.mark.parametrize(("fields", "shown", "hidden"), PICKED.values(), ids=PICKED)
def test_a_toolset_picks(fields: dict[str, Any], shown: list[str], hidden: list[str]) -> None:
    done = shopped(toolset("shop", **fields), toolset("bank", default_config={"enabled": False}))
    assert names(done) == [f"mcp__shop__{name}" for name in shown]
    found = [name for name, _ in book(done).hidden()]
    assert found == [f"mcp__shop__{name}" for name in hidden]


def test_a_toolset_that_cannot_be_read_is_refused_by_its_place() -> None:
    with pytest.raises(Refusal) as caught:
        shopped(toolset("shop", configs=[1]))
    assert caught.value.path == "tools.0"
    assert "Expected" in caught.value.message


def test_two_tools_of_one_name_are_refused_also_from_a_server() -> None:
    for tools in ([tool("mcp__shop__buy"), toolset("shop")], [toolset("shop"), toolset("shop")]):
        with pytest.raises(Refusal) as caught:
            shopped(*tools)
        assert caught.value.path == "tools"


# --- server tools ---------------------------------------------------------------------------------


def test_a_server_tool_runs_where_it_can() -> None:
    fetch = {
        "type": "web_fetch_20250910",
        "name": "web_fetch",
        "max_uses": 3,
        "max_content_tokens": 9,
        "allowed_domains": ["a.com"],
        "blocked_domains": ["b.com"],
    }
    done = translated("hi", tools=[fetch], hosted=Hosted(web_fetch=True))
    (sent,) = done.sent["tools"]
    assert sent["function"]["name"] == "web_fetch"
    assert sent["function"]["description"] == "Read a page or document on the web."
    assert set(sent["function"]["parameters"]["properties"]) == {"url"}
    assert book(done).server == {
        "web_fetch": ServerTool(
            kind="web_fetch",
            name="web_fetch",
            max_uses=3,
            max_content_tokens=9,
            allowed_domains=("a.com",),
            blocked_domains=("b.com",),
        )
    }
    assert done.notes == ["emulated=tools.web_fetch@tools.0"]
    other = translated("hi", tools=[fetch], hosted=Hosted(web_search=True))
    assert other.notes == ["dropped=tools.web_fetch_20250910@tools.0"]


# --- choice ---------------------------------------------------------------------------------------


def named(name: Any) -> dict[str, Any]:
    return {"type": "tool", "name": name}


def test_a_choice_among_no_tools_is_noted() -> None:
    assert translated("hi", tool_choice={"type": "any"}).notes == [
        "ignored=tool_choice@tool_choice"
    ]


def test_the_only_tool_is_the_forced_one() -> None:
    one = translated("hi", tools=[tool("f")], tool_choice={"type": "any"})
    assert (one.sent["tool_choice"], one.plan.forced_tool) == ("required", "f")
    two = translated("hi", tools=[tool("f"), tool("g")], tool_choice={"type": "any"})
    assert (two.sent["tool_choice"], two.plan.forced_tool) == ("required", None)


def test_a_deferred_tool_that_is_chosen_is_loaded() -> None:
    late = tool("late", defer_loading=True)
    done = translated("hi", tools=[tool("f"), late], tool_choice=named("late"))
    assert names(done) == ["f", "late"]
    assert done.plan.forced_tool == "late"
    assert book(done).hidden() == []


def test_a_tool_that_was_left_out_cannot_be_forced() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    done = translated("hi", tools=[search, tool("f")], tool_choice=named("web_search"))
    assert "tool_choice" not in done.sent
    assert not done.plan.must_call
    assert done.notes[1:] == ["dropped=tool_choice@tool_choice"]


def test_a_client_tool_is_chosen_by_its_name() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    done = translated("hi", tools=[bash], tool_choice=named("bash"))
    assert done.plan.forced_tool == "bash"


def test_where_no_name_is_taken_only_the_named_tool_may_be_called() -> None:
    tools = [tool("f"), tool("g")]
    done = translated("hi", tools=tools, tool_choice=named("g"), dialect=LLAMA_CPP)
    assert done.plan.tools == {"g"}


def test_tools_of_an_earlier_turn_come_back_under_their_names() -> None:
    done = translated("hi", assistant(call("t", "a b")), user(result("t")))
    assert list(done.plan.tool_names.values()) == ["a b"]
    plain = translated("hi", assistant(call("t", "ab")), user(result("t")))
    assert plain.plan.tool_names == {}


# --- references -----------------------------------------------------------------------------------


def defined(*tools: Tool, in_place: bool) -> ToolBook:
    made = ToolBook(DEEPSEEK, Notes(), updates_in_place=in_place)
    made.define(list(tools))
    return made


LATE = Tool(name="late", description="é", input_schema=SCHEMA, defer_loading=True)


def test_a_reference_shows_the_definition_or_loads_it_once() -> None:
    line = '{"name": "late", "description": "é", "parameters": {"type": "object"}}'
    shown = defined(LATE, in_place=True)
    assert shown.callable == set()
    assert [shown.refer("late", "p") for _ in range(2)] == [line, line]
    assert shown.callable == {"late"}
    loaded = defined(LATE, in_place=False)
    assert [loaded.refer("late", "p") for _ in range(2)] == [None, None]
    assert [each.function.name for each in loaded.functions] == ["late"]
    assert loaded.hidden() == []


def test_repeated_definitions_come_to_an_end() -> None:
    long = Tool(name="late", description="x" * 100_000, input_schema=SCHEMA, defer_loading=True)
    made = defined(long, in_place=True)
    seen = [made.refer("late", "p") for _ in range(20)]
    assert seen[0] is not None
    repeats = sum(line is not None for line in seen[1:])
    assert repeats == MAX_REPEATED_SCHEMA_CHARS // len(seen[0])
    assert seen[repeats + 1 :] == [None] * (19 - repeats)


def test_without_tools_in_the_prompt_no_reference_shows_any() -> None:
    late = tool("late", defer_loading=True)
    reference = {"type": "tool_reference", "tool_name": "late"}
    done = translated(
        "q",
        assistant(call("t", "f")),
        user(result("t", [reference])),
        tools=[tool("f"), late],
        tool_choice={"type": "none"},
        served=model("v4.1"),
    )
    assert "tools" not in done.sent
    assert [m["role"] for m in done.messages] == ["user", "assistant", "tool"]
