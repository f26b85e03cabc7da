"""Answers in which this server runs tools: what waits, what is read and what the client gets."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.citing.citations import INSTRUCTION
from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, VLLM
from deepseek_messages.translation.faults import garbage
from deepseek_messages.translation.hosted.rounds import MAX_ROUNDS, Need
from deepseek_messages.translation.hosted.server_tools import Hosted, McpTool, Outcome
from tests.support.answers import call, delta, plain, sse
from tests.support.rounds import Played, play, rounds_of
from tests.support.translating import SEAL, tool

S, E = "message_start", "message_stop"
WEB = Hosted(web_search=True, web_fetch=True)
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}
PAGE = {
    "type": "web_search_result",
    "title": "T",
    "url": "https://e.com",
    "page_age": "1 day",
    "encrypted_content": SEAL.seal("An excerpt."),
}
DONE = [delta(content="Done."), delta("stop")]


def outcome(content: Any, *, is_error: bool = False) -> Outcome:
    return Outcome(Raw(msgspec.json.encode(content)), is_error)


FOUND = outcome([PAGE])


def calls(*given: tuple[str, str, Any]) -> list[Any]:
    entries = [call(n, i, name, json.dumps(given)) for n, (i, name, given) in enumerate(given)]
    return [delta(tool_calls=entries), delta("tool_calls")]


def spent(output: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": output}}


def looked(**fields: Any) -> Played:
    """A search, and then the answer."""
    first = [
        delta(reasoning_content="Hm."),
        delta(content="I look."),
        *calls(("c", "web_search", {"query": "q"})),
        spent(5),
    ]
    settings: dict[str, Any] = {"tools": [SEARCH], "hosted": WEB, "outcomes": [FOUND], **fields}
    return play(first, [*DONE, spent(8)], **settings)


def test_the_client_sees_the_call_the_result_and_the_answer() -> None:
    done = looked()
    assert [line for line in done.plain if "~" not in line] == [
        S,
        *("0+thinking", "0=Hm.", "0-"),
        *("1+text", "1=I look.", "1-"),
        *("2+server_tool_use", '2={"query": "q"}', "2-"),
        *("3+web_search_tool_result", "3-"),
        *("4+text", "4=Done.", "4-"),
        *("end_turn", E),
    ]
    assert done.blocks == [
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_c", "content": [PAGE]}
    ]
    assert [(each.id, each.tool.kind, each.arguments) for each in done.waited] == [
        ("srvtoolu_c", "web_search", {"query": "q"})
    ]
    assert done.notes == ["emulated=tools.web_search@tools.0"]


def test_the_model_reads_the_result_behind_its_call() -> None:
    first, second = looked().asked
    assert second["messages"] == [
        *first["messages"],
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {
                    "type": "function",
                    "id": "srvtoolu_c",
                    "function": {"name": "web_search", "arguments": '{"query": "q"}'},
                }
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "srvtoolu_c",
            "content": f"{INSTRUCTION}\n\n1. T (1 day)\nhttps://e.com\n[passage 1] An excerpt.",
        },
    ]
    assert second["max_tokens"] == first["max_tokens"] - 5
    assert second["tools"] == first["tools"]


@pytest.mark.parametrize(
    ("dialect", "field"), [(DEEPSEEK, "reasoning_content"), (VLLM, "reasoning"), (GENERIC, None)]
)
def test_reasoning_goes_back_under_the_dialects_name(dialect: Any, field: str | None) -> None:
    turn = looked(dialect=dialect).asked[1]["messages"][-2]
    told = {"reasoning_content": None, "reasoning": None}
    if field is not None:
        told[field] = "Hm."
    assert {name: turn.get(name) for name in told} == told


def test_reasoning_that_deepseek_demands_is_never_missing() -> None:
    scripts = calls(("c", "web_search", {"query": "q"})), DONE
    settings: dict[str, Any] = {"tools": [SEARCH], "hosted": WEB, "outcomes": [FOUND]}
    done = play(*scripts, thinking={"type": "adaptive"}, **settings)
    turn = done.asked[1]["messages"][-2]
    assert (turn["content"], turn["reasoning_content"]) == (None, "")
    assert "reasoning_content" not in play(*scripts, **settings).asked[1]["messages"][-2]


def test_usage_counts_what_ran() -> None:
    usage = looked().usage
    assert (usage.input_tokens, usage.output_tokens) == (20, 13)
    assert msgspec.to_builtins(usage.server_tool_use) == {
        "web_search_requests": 1,
        "web_fetch_requests": 0,
    }


def test_a_tool_that_failed_did_not_run() -> None:
    error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    done = looked(outcomes=[outcome(error, is_error=True)])
    assert done.usage.server_tool_use is msgspec.UNSET
    assert done.blocks[0]["content"] == error
    assert done.asked[1]["messages"][-1]["content"] == "[tool error] unavailable"


def test_a_tool_is_used_no_more_often_than_it_may_be() -> None:
    search = {**SEARCH, "max_uses": 2}
    three = calls(*((f"c{n}", "web_search", {"query": str(n)}) for n in range(3)))
    one = calls(("d", "web_search", {"query": "again"}))
    done = play(three, one, DONE, tools=[search], hosted=WEB, outcomes=[FOUND, FOUND])
    over = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    assert [block["content"] == over for block in done.blocks] == [False, False, True, True]
    assert [each.id for each in done.waited] == ["srvtoolu_c0", "srvtoolu_c1"]
    told = [m["content"] for m in done.asked[2]["messages"] if m["role"] == "tool"]
    assert told[2:] == ["[tool error] max_uses_exceeded"] * 2
    assert done.usage.server_tool_use.web_search_requests == 2  # type: ignore[union-attr]


def test_uses_are_counted_by_tool() -> None:
    tools = [{**SEARCH, "max_uses": 1}, {**FETCH, "max_uses": 1}]
    both = calls(("c", "web_search", {"query": "q"}), ("d", "web_fetch", {"url": "u"}))
    fetched = outcome(
        {
            "type": "web_fetch_result",
            "url": "u",
            "content": {
                "type": "document",
                "title": "D",
                "source": {"type": "text", "data": "words"},
            },
        }
    )
    done = play(both, DONE, tools=tools, hosted=WEB, outcomes=[FOUND, fetched])
    assert [block["type"] for block in done.blocks] == [
        "web_search_tool_result",
        "web_fetch_tool_result",
    ]
    assert done.asked[1]["messages"][-1]["content"] == "D\nu\n\nwords"
    assert msgspec.to_builtins(done.usage.server_tool_use) == {
        "web_search_requests": 1,
        "web_fetch_requests": 1,
    }


def test_the_clients_own_call_comes_first() -> None:
    mixed = calls(("c", "web_search", {"query": "q"}), ("d", "f", {}))
    done = play(mixed, tools=[SEARCH, tool("f")], hosted=WEB, outcomes=[FOUND])
    assert done.plain == [
        S,
        *("0+server_tool_use", '0={"query": "q"}', "0-"),
        *("1+tool f d", "1={}", "1-"),
        *("2+web_search_tool_result", "2-"),
        *("tool_use", E),
    ]


def test_a_call_of_the_client_alone_ends_the_answer() -> None:
    done = play(calls(("d", "f", {})), tools=[SEARCH, tool("f")], hosted=WEB)
    assert done.plain == [S, "0+tool f d", "0={}", "0-", "tool_use", E]


def test_an_answer_that_goes_on_for_ten_calls_pauses() -> None:
    scripts = [calls((f"c{n}", "web_search", {"query": "q"})) for n in range(MAX_ROUNDS)]
    done = play(*scripts, tools=[SEARCH], hosted=WEB, outcomes=[FOUND] * MAX_ROUNDS)
    assert done.plain[-2:] == ["pause_turn", E]
    assert len(done.blocks) == MAX_ROUNDS


def test_an_answer_without_tokens_left_ends() -> None:
    script = [*calls(("c", "web_search", {"query": "q"})), spent(100)]
    done = play(script, tools=[SEARCH], hosted=WEB, outcomes=[FOUND])
    assert done.plain[-2:] == ["max_tokens", E]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_call_in_an_answer_that_was_ended_is_not_run(finish: str) -> None:
    script = [*calls(("c", "web_search", {"query": "q"}))[:1], delta(finish)]
    done = play(script, tools=[SEARCH], hosted=WEB)
    assert done.waited == []
    assert done.plain[-1] == E


def test_ids_are_not_used_twice() -> None:
    same = calls(("c", "web_search", {"query": "q"}))
    done = play(same, same, DONE, tools=[SEARCH], hosted=WEB, outcomes=[FOUND, FOUND])
    first, second = (block["tool_use_id"] for block in done.blocks)
    assert first == "srvtoolu_c"
    assert second != first


@pytest.mark.parametrize("arguments", ["", "[1]"])
def test_arguments_that_are_no_object_are_none(arguments: str) -> None:
    script = [delta(tool_calls=[call(0, "c", "web_search", arguments)]), delta("tool_calls")]
    done = play(script, DONE, tools=[SEARCH], hosted=WEB, outcomes=[FOUND])
    assert [each.arguments for each in done.waited] == [{}]
    sent = done.asked[1]["messages"][-2]["tool_calls"][0]["function"]["arguments"]
    assert sent == (arguments or "{}")


def test_a_forced_call_is_forced_once() -> None:
    choice = {"type": "tool", "name": "web_search"}
    done = play(
        calls(("c", "web_search", {"query": "q"})),
        DONE,
        tools=[SEARCH],
        tool_choice=choice,
        hosted=WEB,
        outcomes=[FOUND],
    )
    first, second = done.asked
    assert first["tool_choice"]["function"] == {"name": "web_search"}
    assert "tool_choice" not in second
    assert done.plain[-2:] == ["end_turn", E]


def test_reasoning_that_is_not_wanted_is_not_shown_in_any_call() -> None:
    done = looked(thinking={"type": "adaptive", "display": "omitted"})
    assert "0=Hm." not in done.plain
    assert done.asked[1]["messages"][-2]["reasoning_content"] == "Hm."


def test_uses_add_up_over_the_calls_of_an_answer() -> None:
    one, two = (calls((name, "web_search", {"query": "q"})) for name in "cd")
    done = play(one, two, DONE, tools=[SEARCH], hosted=WEB, outcomes=[FOUND, FOUND])
    assert done.usage.server_tool_use.web_search_requests == 2  # type: ignore[union-attr]


def test_what_comes_in_pieces_goes_back_as_one() -> None:
    pieces = [
        *(delta(reasoning_content=word) for word in ("Hm", ".")),
        *(delta(content=word) for word in ("I ", "look.")),
        delta(tool_calls=[call(0, "c", "web_search", '{"query":')]),
        delta(tool_calls=[call(0, None, None, ' "q"}')]),
        delta("tool_calls"),
    ]
    done = play(pieces, DONE, tools=[SEARCH], hosted=WEB, outcomes=[FOUND])
    turn = done.asked[1]["messages"][-2]
    assert (turn["content"], turn["reasoning_content"]) == ("I look.", "Hm.")
    assert turn["tool_calls"][0]["function"]["arguments"] == '{"query": "q"}'
    assert done.waited[0].arguments == {"query": "q"}


def test_no_outcome_may_be_missing() -> None:
    rounds, _ = rounds_of(tools=[SEARCH], hosted=WEB)
    for chunk in ChunkReader().feed(sse(*calls(("c", "web_search", {"query": "q"})))):
        rounds.feed(chunk)
    rounds.finish()
    with pytest.raises(ValueError, match="shorter"):
        rounds.results([])


def test_the_start_is_told_once() -> None:
    rounds, _ = rounds_of(tools=[SEARCH], hosted=WEB)
    assert plain(rounds.start()) == [S]
    assert rounds.start() == []
    assert rounds.waiting == []


def test_a_tool_found_in_an_answer_that_may_leak_its_call_is_found_there_too() -> None:
    kind = "tool_search_tool_regex"
    leaked = '<｜DSML｜invoke name="weather_now">\n</｜DSML｜invoke>'
    done = play(
        calls(("c", kind, {"query": "weather"})),
        [delta(content=leaked), delta("stop")],
        tools=[{"type": f"{kind}_20251119", "name": kind}, *LATE],
        hosted=Hosted(),
    )
    assert done.plain[-5].startswith("2+tool weather_now toolu_")


# --- tool search ----------------------------------------------------------------------------------

LATE = [
    tool("weather_now", description="The weather", defer_loading=True),
    tool("stocks", description="Prices", defer_loading=True),
]


def searched(kind: str, query: Any, **fields: Any) -> Played:
    searching = {"type": f"{kind}_20251119", "name": kind}
    return play(
        calls(("c", kind, query)), DONE, tools=[searching, *LATE], **{"hosted": Hosted(), **fields}
    )


SEARCHES: dict[str, tuple[str, Any, list[str]]] = {
    "a pattern": ("tool_search_tool_regex", {"query": "^weather"}, ["weather_now"]),
    "a pattern by its other name": ("tool_search_tool_regex", {"pattern": "st.cks"}, ["stocks"]),
    "words": ("tool_search_tool_bm25", {"query": "prices of stocks"}, ["stocks"]),
    "no such tool": ("tool_search_tool_bm25", {"query": "music"}, []),
    "no question": ("tool_search_tool_bm25", {}, []),
    "a question that is no text": ("tool_search_tool_bm25", {"query": 5}, []),
}


@pytest.mark.parametrize(("kind", "query", "names"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_is_answered_at_once(kind: str, query: Any, names: list[str]) -> None:
    done = searched(kind, query)
    assert done.waited == []
    assert done.blocks == [
        {
            "type": "tool_search_tool_result",
            "tool_use_id": "srvtoolu_c",
            "content": {
                "type": "tool_search_tool_search_result",
                "tool_references": [
                    {"type": "tool_reference", "tool_name": name} for name in names
                ],
            },
        }
    ]
    read = done.asked[1]["messages"][-1]["content"]
    if names:
        assert read.startswith(f"Tools found: {names[0]}\n\n### Updated Tool Schemas\n\n{{")
        assert f'"name": "{names[0]}"' in read
    else:
        assert read == "No tool was found."
    assert done.usage.server_tool_use is msgspec.UNSET


def test_a_search_that_cannot_be_made_says_so() -> None:
    done = searched("tool_search_tool_regex", {"query": "("})
    error = {"type": "tool_search_tool_result_error", "error_code": "invalid_pattern"}
    assert done.blocks[0]["content"] == error
    assert done.asked[1]["messages"][-1]["content"] == "[tool error] invalid_pattern"


def test_a_tool_that_was_found_may_be_called() -> None:
    kind = "tool_search_tool_regex"
    found = calls(("c", kind, {"query": "weather"}))
    done = play(
        found,
        calls(("d", "weather_now", {})),
        tools=[{"type": f"{kind}_20251119", "name": kind}, *LATE],
        hosted=Hosted(),
    )
    assert done.plain[-5:] == ["2+tool weather_now d", "2={}", "2-", "tool_use", E]


def test_a_search_beside_another_tool_waits_with_it() -> None:
    kind = "tool_search_tool_bm25"
    both = calls(("c", kind, {"query": "weather"}), ("d", "web_search", {"query": "q"}))
    searching = {"type": f"{kind}_20251119", "name": kind}
    done = play(both, DONE, tools=[searching, SEARCH, *LATE], hosted=WEB, outcomes=[FOUND])
    assert [each.id for each in done.waited] == ["srvtoolu_d"]
    assert [block["tool_use_id"] for block in done.blocks] == ["srvtoolu_c", "srvtoolu_d"]


# --- MCP ------------------------------------------------------------------------------------------

SHOP = Hosted(
    mcp_servers=frozenset({"shop"}),
    mcp_tools=(
        McpTool(server="shop", name="buy", description="B", schema=Raw(b'{"type":"object"}')),
        McpTool(server="shop", name="sell", schema=Raw(b'{"type":"object"}')),
        McpTool(server="other", name="buy", schema=Raw(b'{"type":"object"}')),
    ),
)
SERVERS = [{"type": "url", "name": "shop", "url": "https://shop.example"}]
TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "shop"}


def bought(answer: Outcome, **fields: Any) -> Played:
    given: dict[str, Any] = {"tools": [TOOLSET], "mcp_servers": SERVERS, "hosted": SHOP, **fields}
    return play(calls(("toolu_1", "mcp__shop__buy", {"n": 1})), DONE, outcomes=[answer], **given)


def test_an_mcp_tool_is_run_under_its_own_name() -> None:
    done = bought(outcome([{"type": "text", "text": "bought"}]))
    start = next(e for e in done.events if "McpToolUseStart" in repr(e))
    assert msgspec.to_builtins(start.content_block) == {  # type: ignore[union-attr]
        "type": "mcp_tool_use",
        "id": "mcptoolu_1",
        "name": "buy",
        "server_name": "shop",
        "input": {},
    }
    assert done.blocks == [
        {
            "type": "mcp_tool_result",
            "tool_use_id": "mcptoolu_1",
            "content": [{"type": "text", "text": "bought"}],
            "is_error": False,
        }
    ]
    (waited,) = done.waited
    assert (waited.tool.kind, waited.tool.server, waited.tool.name) == ("mcp", "shop", "buy")
    assert done.asked[1]["messages"][-1]["content"] == "bought"
    assert done.notes == ["emulated=tools.mcp_toolset@tools.0"]


def test_an_mcp_tool_that_fails_says_so_to_the_model() -> None:
    done = bought(outcome([{"type": "text", "text": "sold out"}], is_error=True))
    assert done.blocks[0]["is_error"] is True
    assert done.asked[1]["messages"][-1]["content"] == "[tool error] sold out"


def test_other_content_of_an_mcp_tool_is_named() -> None:
    done = bought(outcome([{"type": "text", "text": "a"}, {"type": "image"}, 5]))
    assert done.asked[1]["messages"][-1]["content"] == "a\n\n[image left out]"


# --- failures and figures -------------------------------------------------------------------------


def test_so_far_while_tools_run() -> None:
    rounds, _ = rounds_of(tools=[SEARCH], hosted=WEB)
    for chunk in ChunkReader().feed(sse(*calls(("c", "web_search", {"query": "q"})), spent(5))):
        rounds.feed(chunk)
    rounds.finish()
    assert rounds.need is Need.TOOLS
    found = rounds.so_far()
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (10, 5)
    rounds.results([FOUND])
    assert rounds.need is Need.CALL
    for chunk in ChunkReader().feed(sse(delta(content="a" * 10), done=False)):
        rounds.feed(chunk)
    found = rounds.so_far()
    assert found is not None
    assert (found.input_tokens, found.output_tokens) == (10, 8)
    assert found.server_tool_use.web_search_requests == 1  # type: ignore[union-attr]


def test_a_tool_that_breaks_ends_the_answer_with_one_error() -> None:
    rounds, _ = rounds_of(tools=[SEARCH], hosted=WEB)
    for chunk in ChunkReader().feed(sse(*calls(("c", "web_search", {"query": "q"})))):
        rounds.feed(chunk)
    rounds.finish()
    assert plain(rounds.fail(garbage("x"))) == ["error api_error: x"]
    assert rounds.need is Need.ENDED


def test_a_broken_answer_without_a_check_is_not_made_again() -> None:
    rounds, _ = rounds_of(tools=[SEARCH], hosted=WEB)
    assert not rounds.retry(garbage("x"))
