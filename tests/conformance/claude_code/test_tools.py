"""Tools beyond the shell: MCP, tools loaded on demand, structured output, the web, subagents."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deepseek_messages.upstreams.double import Seen, Text, Think
from deepseek_messages.upstreams.double.script import Answer
from tests.conformance.claude_code.stage import (
    BASH,
    TINY,
    Stage,
    call,
    conversation,
    messages,
    said,
    succeeded,
)
from tests.support.claude import ClaudeCode

HERE = Path(__file__).parent
CAPTURES = HERE.parents[1] / "captures"
SHOP = json.dumps(
    {"mcpServers": {"shop": {"command": sys.executable, "args": [str(HERE / "mcp_shop.py")]}}}
)


def names(stage: Stage, number: int) -> list[str]:
    return [tool["function"]["name"] for tool in stage.sent(number).get("tools", ())]


# --- MCP and deferred tools -----------------------------------------------------------------------


def test_mcp_tools(stage: Stage, claude: ClaudeCode) -> None:
    claude.environment["ENABLE_TOOL_SEARCH"] = "false"
    stage.double.expect(
        call("mcp__shop__price", article="pen"), call("mcp__shop__broken"), Text("Three coins.")
    )
    turn = succeeded(claude.turn("What is a pen?", *BASH, "--mcp-config", SHOP))
    assert turn.text == "Three coins."
    assert {"mcp__shop__price", "mcp__shop__broken"} < set(names(stage, 0))
    price, broken = messages(stage.sent(2), "tool")
    assert said(price) == "pen: 3 coins"
    assert said(broken) == "[tool error] out of order"


def test_tool_search_loads_deferred_tools(stage: Stage, claude: ClaudeCode) -> None:
    stage.double.expect(
        [Think("Which tool?"), call("ToolSearch", query="select:mcp__shop__price", max_results=5)],
        [Think("That one."), call("mcp__shop__price", article="cup")],
        [Think("Found."), call("ToolSearch", query="select:WebSearch,CronList", max_results=5)],
        [Think("More."), Text("Three coins.")],
    )
    turn = succeeded(claude.turn("What is a cup?", "--mcp-config", SHOP))
    assert turn.text == "Three coins."
    first, second, third, fourth = stage.double.requests
    assert "The price of an article." not in first.prompt
    assert "The price of an article." in second.prompt
    assert said(messages(stage.sent(2), "tool")[1]) == "cup: 3 coins"
    assert '"name": "WebSearch"' in fourth.prompt
    for earlier, later in ((first, second), (second, third), (third, fourth)):
        assert later.prompt.startswith(earlier.prompt), "loading a tool must keep the prefix"


# --- structured output ----------------------------------------------------------------------------

AGE = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}},
    "required": ["age"],
    "additionalProperties": False,
}


def test_json_schema(stage: Stage, either: ClaudeCode) -> None:
    stage.double.expect(call("StructuredOutput", age=7))
    turn = succeeded(either.turn("How old?", *BASH, "--json-schema", json.dumps(AGE)))
    assert turn.result["structured_output"] == {"age": 7}


def test_json_schema_is_demanded_again_from_a_model_that_answers_in_text(
    stage: Stage, claude: ClaudeCode
) -> None:
    stage.double.expect(Text("Seven."), call("StructuredOutput", age=7))
    turn = succeeded(claude.turn("How old?", *BASH, "--json-schema", json.dumps(AGE)))
    assert turn.result["structured_output"] == {"age": 7}
    assert "StructuredOutput" in said(messages(stage.sent(1), "user")[-1])


# --- the web --------------------------------------------------------------------------------------


def test_web_search_is_answered_from_what_the_model_knows(stage: Stage, claude: ClaudeCode) -> None:
    def respond(seen: Seen) -> Answer:
        text = conversation(seen.body or {})
        if "Perform a web search" in text:
            return Text("Whales are large: https://whales.example/size")
        return Text("They are large.") if "whales.example" in text else search

    search = call("WebSearch", query="whales")
    stage.respond = respond
    turn = succeeded(claude.turn("Search for whales"))
    assert turn.text == "They are large."
    assert "https://whales.example/size" in said(messages(stage.sent(stage.count - 1), "tool")[0])


def test_web_fetch_without_a_network_is_told_to_the_model(stage: Stage, claude: ClaudeCode) -> None:
    fetch = call("WebFetch", url="https://page.invalid/", prompt="What is it?")
    stage.double.expect(fetch, Text("No page."))
    turn = succeeded(claude.turn("Fetch it", "--settings", '{"skipWebFetchPreflight": true}'))
    assert turn.text == "No page."
    (result,) = messages(stage.sent(1), "tool")
    assert said(result).startswith("[tool error]")


def test_side_call_of_web_fetch(stage: Stage) -> None:
    """The page is reached over the network only, so its call is the recorded one."""
    recorded = json.loads((CAPTURES / "cc_webfetch_side_call.json").read_text())["requests"]
    (call_of_tool,) = [each for each in recorded if each["body"]["tools"] == []]
    stage.double.expect(Text("A page about whales."))
    reply = stage.ask("/v1/messages?beta=true", call_of_tool["body"])
    assert reply.status == 200
    deltas = [each["delta"] for each in reply.events() if each["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == "A page about whales."
    assert not stage.double.requests[0].thinking


# --- subagents and many sessions ------------------------------------------------------------------


def test_subagents_in_parallel_with_an_alias(stage: Stage, claude: ClaudeCode) -> None:
    claude.environment["ANTHROPIC_DEFAULT_HAIKU_MODEL"] = ""
    agent = {"description": "a part", "subagent_type": "general-purpose"}
    tasks = [
        call("Agent", prompt="Task Alpha", model="haiku", **agent),
        call("Agent", prompt="Task Beta", **agent),
    ]

    def respond(seen: Seen) -> Answer:
        said_by_users = [said(each) for each in messages(seen.body or {}, "user")]
        if said_by_users[0].endswith(("Task Alpha", "Task Beta")):
            return [Think("My part."), Text(f"Finished Task {said_by_users[0].split()[-1]}.")]
        if len(messages(seen.body or {}, "assistant")) == 0:
            return [Think("I delegate."), *tasks]
        reports = "\n".join(said_by_users)
        done = [name for name in ("Alpha", "Beta") if f"Finished Task {name}." in reports]
        return [Think("Reports."), Text(f"Read: {', '.join(done)}.")]

    stage.respond = respond
    turn = succeeded(claude.turn("Delegate both parts"))
    assert turn.text == "Read: Alpha, Beta."
    assert turn.result["subagent_stats"]["completed"] == 2
    assert any(name.startswith("claude-haiku") for name in turn.result["modelUsage"])
    assert {seen.body["model"] for seen in stage.double.requests if seen.body} == {"deepseek-flash"}


SESSIONS = 20


def test_twenty_sessions_at_once(stage: Stage, tmp_path: Path) -> None:
    def respond(seen: Seen) -> Answer:
        last = said(messages(seen.body or {}, "user")[-1])
        return [Think("Which one?"), Text(f"You are {last.split()[-1]}.")]

    stage.respond = respond
    users = [stage.user(tmp_path / str(number)) for number in range(SESSIONS)]
    with ThreadPoolExecutor(SESSIONS) as pool:
        turns = [
            pool.submit(user.turn, f"I am number {number}", *TINY)
            for number, user in enumerate(users)
        ]
    texts = [succeeded(turn.result()).text for turn in turns]
    assert texts == [f"You are {number}." for number in range(SESSIONS)]
    assert stage.count == SESSIONS
