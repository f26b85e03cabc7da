"""Earlier turns: what becomes of summaries, hidden reasoning, repeated calls and cited texts."""

from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, VLLM
from deepseek_messages.translation.hosted.server_tools import Hosted, McpTool
from deepseek_messages.translation.limits import MAX_JSON_DEPTH
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.compaction import HEAD
from deepseek_messages.translation.request.edits import Edits
from tests.support.translating import (
    SEAL,
    assistant,
    call,
    model,
    result,
    system,
    text,
    thinking,
    tool,
    translated,
    user,
)

HIDDEN = {"type": "redacted_thinking", "data": "x"}


def roles(messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(m["role"], m["content"]) for m in messages]


# --- summaries ------------------------------------------------------------------------------------


def summary(content: Any) -> dict[str, Any]:
    return {"type": "compaction", "content": content}


def test_a_summary_stands_for_all_before_it() -> None:
    done = translated("old", assistant("older", summary("S"), "then"), "new")
    assert roles(done.messages) == [("user", HEAD + "S"), ("assistant", "then"), ("user", "new")]


def test_a_summary_at_the_end_of_an_answer_leaves_no_answer() -> None:
    done = translated("old", assistant(summary("S")), "new")
    assert roles(done.messages) == [("user", HEAD + "S\n\nnew")]


def test_only_the_last_summary_with_words_counts() -> None:
    done = translated("a", assistant(summary("first")), "b", assistant(summary("second")), "c")
    assert roles(done.messages) == [("user", HEAD + "second\n\nc")]


def test_places_behind_a_summary_are_those_of_the_request() -> None:
    strange = {"type": "container_upload", "file_id": "f"}
    done = translated("old", assistant(summary("S")), "b", user("c", strange))
    assert done.notes == ["replaced=container_upload@messages.3.content.1"]


@pytest.mark.parametrize("say", [assistant, user], ids=["answer", "user"])
def test_places_behind_a_summary_in_its_own_message_are_those_of_the_request(say: Any) -> None:
    strange = {"type": "container_upload", "file_id": "f"}
    done = translated("old", say("older", summary("S"), "then", strange), "new")
    assert done.notes == ["replaced=container_upload@messages.1.content.3"]


def test_a_call_that_repeats_behind_a_summary_is_noted_at_its_place() -> None:
    done = translated("old", assistant(summary("S"), call("1"), call("1")), user(result("1")))
    assert done.notes == ["repaired=tool_use.duplicate@messages.1.content.2"]


# --- deep inputs ----------------------------------------------------------------------------------


def deep(levels: int) -> dict[str, Any]:
    made: Any = 1
    for _ in range(levels - 1):
        made = [made]
    return {"a": made}


@pytest.mark.parametrize("other", [[], [HIDDEN]], ids=["short way", "careful way"])
def test_the_deepest_input_is_passed_on_and_a_deeper_one_refused(other: list[Any]) -> None:
    def ask(levels: int) -> Any:
        return translated("a", assistant(*other, call("t", **deep(levels))), user(result("t")))

    (made,) = ask(MAX_JSON_DEPTH).messages[1]["tool_calls"]
    assert made["function"]["arguments"].count("[") == MAX_JSON_DEPTH - 1
    with pytest.raises(Refusal, match="nested more than 128 levels deep") as caught:
        ask(MAX_JSON_DEPTH + 1)
    assert caught.value.path == f"messages.1.content.{len(other)}.input"


def test_a_deep_input_that_is_cleared_is_no_matter() -> None:
    answer = assistant(call("t", **deep(MAX_JSON_DEPTH + 1)))
    assert translated("a", answer, user(result("t")), edits=Edits(inputs=frozenset({"t"}))).messages


# --- reasoning ------------------------------------------------------------------------------------


def test_hidden_reasoning_is_noted_once_at_its_place() -> None:
    done = translated("a", assistant("b", HIDDEN), "c", assistant(HIDDEN, "d"), "e")
    assert done.notes == ["ignored=redacted_thinking@messages.1.content.1"]


def test_reasoning_that_no_field_takes_is_noted_once() -> None:
    answers = ["a", assistant(thinking("Hm."), "b"), "c", assistant(thinking("So."), "d"), "e"]
    assert translated(*answers, dialect=GENERIC).notes == ["ignored=thinking@messages.1"]
    assert translated(*answers, dialect=DEEPSEEK).notes == []


def test_reasoning_in_parts_is_joined() -> None:
    done = translated("a", assistant(thinking("x"), "b", thinking("y")), "c")
    assert done.messages[1]["reasoning_content"] == "x\n\ny"


def test_cleared_reasoning_is_left_out_and_the_rest_of_the_answer_stays() -> None:
    answer = assistant(thinking("x"), thinking("y"), "b")
    done = translated("a", answer, "c", edits=Edits(thinking=frozenset({1})))
    assert done.messages[1] == {"role": "assistant", "content": "b"}
    kept = translated("a", answer, "c", edits=Edits(thinking=frozenset({2})))
    assert kept.messages[1]["reasoning_content"] == "x\n\ny"


def test_sealed_reasoning_comes_back_by_the_dialects_name() -> None:
    answer = assistant(thinking("", SEAL.seal("hidden")), "b")
    assert translated("a", answer, "c", dialect=VLLM).messages[1]["reasoning"] == "hidden"


# --- calls ----------------------------------------------------------------------------------------


def test_a_repeated_call_is_made_once() -> None:
    answer = assistant("x", call("t", "f", a=1), call("t", "f", a=2), call("u", "g"))
    done = translated("a", answer, user(result("t"), result("u")))
    assert [c["id"] for c in done.messages[1]["tool_calls"]] == ["t", "u"]
    assert done.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    assert done.notes == ["repaired=tool_use.duplicate@messages.1.content.2"]


def test_a_repeated_call_is_refused_by_its_place_when_strict() -> None:
    with pytest.raises(Refusal) as caught:
        translated("a", assistant("x", call("t"), call("t")), user(result("t")), strict=True)
    assert caught.value.path == "messages.1.content.2"


def test_cleared_arguments_are_an_empty_object() -> None:
    answer = assistant(call("t", "f", a=1), call("u", "g", a=2))
    edits = Edits(inputs=frozenset({"t"}))
    done = translated("a", answer, user(result("t"), result("u")), edits=edits)
    arguments = [c["function"]["arguments"] for c in done.messages[1]["tool_calls"]]
    assert arguments == ["{}", '{"a":2}']


def test_a_cleared_result_says_so() -> None:
    edits = Edits(results=frozenset({"t"}))
    done = translated("a", assistant(call("t")), user(result("t", "long")), edits=edits)
    assert done.messages[2]["content"] == "[this old tool result was cleared]"


# --- texts ----------------------------------------------------------------------------------------


def test_an_empty_answer_is_no_message() -> None:
    assert roles(translated("a", assistant(), "b").messages) == [("user", "a"), ("user", "b")]


@pytest.mark.parametrize(
    ("texts", "content"),
    [(["", "a"], "a"), (["", "", "a"], "a"), (["a", ""], "a\n\n"), ([""], ""), (["", ""], "")],
)
def test_empty_texts_at_an_answers_head_go(texts: list[str], content: str) -> None:
    answer = assistant(*map(text, texts), call("t"))
    assert translated("q", answer, user(result("t"))).messages[1]["content"] == content


SOURCE = {"type": "text", "media_type": "text/plain", "data": "Grass is green. Sky is blue."}
DOCUMENT = {"type": "document", "source": SOURCE, "citations": {"enabled": True}}


def cited(said: str, start: int, end: int) -> dict[str, Any]:
    words = SOURCE["data"][start:end]
    place = {"type": "char_location", "document_index": 0, "document_title": None}
    at = {"start_char_index": start, "end_char_index": end, "cited_text": words}
    return {**text(said), "citations": [{**place, **at}]}


def test_an_answer_that_cites_is_one_text_with_its_marks() -> None:
    answer = assistant(text("So: "), cited("green", 0, 15), text(" and "), cited("blue", 16, 28))
    done = translated(user(DOCUMENT, "q"), answer, "more")
    assert done.messages[1]["content"] == "So: green[citation:1] and blue[citation:2]"


@pytest.mark.parametrize("empty", [None, [], {}])
def test_citations_of_nothing_make_no_citing_answer(empty: Any) -> None:
    answer = assistant({**text("a"), "citations": empty}, text("b"))
    assert translated("q", answer, "more").messages[1]["content"] == "a\n\nb"


def test_a_citation_of_what_is_not_there_leaves_the_words() -> None:
    answer = assistant(cited("green", 0, 15), text("b"))
    assert translated("q", answer, "more").messages[1]["content"] == "greenb"


# --- system messages ------------------------------------------------------------------------------


def test_leading_system_messages_become_one_where_templates_are_unknown() -> None:
    given = [system("a"), system("b"), "q"]
    plain = translated(*given, system="top", served=model(None))
    assert roles(plain.messages) == [("system", "top\n\na\n\nb"), ("user", "q")]
    one = translated("q", system="top", served=model(None))
    assert roles(one.messages) == [("system", "top"), ("user", "q")]
    alone = translated(system("a"), served=model(None))
    assert [m["role"] for m in alone.messages][-1] == "user"


def test_a_strange_block_in_a_system_message_has_its_place() -> None:
    strange = {"type": "container_upload", "file_id": "f"}
    done = translated("q", system("a", strange))
    assert done.notes == ["replaced=container_upload@messages.1.content.1"]


def test_a_system_message_after_results_stands_where_it_may() -> None:
    given = ["q", assistant(call("t")), user(result("t")), system("now"), "go"]
    in_place = translated(*given)
    assert [m["role"] for m in in_place.messages] == ["user", "assistant", "tool", "system", "user"]
    before = translated(*given, served=model(None))
    assert roles(before.messages)[3:] == [
        ("user", "<system-reminder>\nnow\n</system-reminder>\n\ngo")
    ]
    first = translated("q", assistant("a"), system("now"), "go", served=model(None))
    assert roles(first.messages)[2:] == [("system", "now"), ("user", "go")]
    last = translated("q", assistant("a"), system("now"), served=model(None))
    assert roles(last.messages)[2:] == [("user", "<system-reminder>\nnow\n</system-reminder>")]
    twice = translated("q", assistant("a"), "x", system("now"), "go", served=model(None))
    assert roles(twice.messages)[2:] == [
        ("user", "x\n\n<system-reminder>\nnow\n</system-reminder>\n\ngo")
    ]
    both = translated("q", assistant("a"), system("1"), system("2"), "go", served=model(None))
    assert roles(both.messages)[2:] == [("system", "1"), ("system", "2"), ("user", "go")]


# --- answers in which tools ran here --------------------------------------------------------------

WEB = {"type": "web_search_20250305", "name": "web_search"}
RUNS = Hosted(web_search=True)


def asked(call_id: str, name: str = "web_search") -> dict[str, Any]:
    return {"type": "server_tool_use", "id": call_id, "name": name, "input": {"query": call_id}}


def found(call_id: str) -> dict[str, Any]:
    page = {"type": "web_search_result", "title": call_id, "url": "https://e.com"}
    return {"type": "web_search_tool_result", "tool_use_id": call_id, "content": [page]}


def replayed(*blocks: Any, **fields: Any) -> list[tuple[str, Any, list[str]]]:
    given: dict[str, Any] = {"tools": [WEB, tool("f")], "hosted": RUNS, **fields}
    done = translated("q", assistant(*blocks), "more", **given)
    return [
        (
            m.get("tool_call_id") or m["role"],
            m["content"],
            [c["id"] for c in m.get("tool_calls", [])],
        )
        for m in done.messages[1:-1]
    ]


def test_an_answer_in_which_a_tool_ran_is_the_turns_it_was() -> None:
    assert replayed("a", asked("s1"), found("s1"), "b", asked("s2"), found("s2"), "c") == [
        ("assistant", "a", ["s1"]),
        ("s1", "1. s1\nhttps://e.com", []),
        ("assistant", "b", ["s2"]),
        ("s2", "1. s2\nhttps://e.com", []),
        ("assistant", "c", []),
    ]


def test_calls_beside_each_other_are_one_turn() -> None:
    assert replayed(asked("s1"), asked("s2"), found("s1"), found("s2"), "c") == [
        ("assistant", None, ["s1", "s2"]),
        ("s1", "1. s1\nhttps://e.com", []),
        ("s2", "1. s2\nhttps://e.com", []),
        ("assistant", "c", []),
    ]


def test_a_call_without_its_result_is_words() -> None:
    (only,) = replayed("a", asked("s1"))
    assert only == ("assistant", 'a\n\n[called web_search with {"query":"s1"}]', [])


def test_a_result_without_its_call_is_words() -> None:
    turns = replayed("a", found("s0"), asked("s1"), found("s1"))
    assert turns[0][1].startswith("a\n\n[web search tool result: ")
    assert turns[0][2] == ["s1"]


@pytest.mark.parametrize(
    "fields", [{"hosted": Hosted()}, {"tools": [tool("f")]}], ids=["not here", "not asked for"]
)
def test_where_the_tool_does_not_run_calls_and_results_are_words(fields: dict[str, Any]) -> None:
    (only,) = replayed("a", asked("s1"), found("s1"), "b", **fields)
    assert only[0] == "assistant"
    assert "[called web_search" in only[1]
    assert "[web search tool result" in only[1]


def test_a_place_behind_a_result_is_that_of_the_request() -> None:
    strange = {"type": "container_upload", "file_id": "f"}
    done = translated(
        "q", assistant(asked("s1"), found("s1"), "b", strange), "more", tools=[WEB], hosted=RUNS
    )
    assert done.notes == [
        "emulated=tools.web_search@tools.0",
        "replaced=container_upload@messages.1.content.3",
    ]


def test_a_place_between_a_call_and_its_result_is_that_of_the_request() -> None:
    strange = {"type": "container_upload", "file_id": "f"}
    done = translated(
        "q", assistant("a", asked("s1"), strange, found("s1")), "more", tools=[WEB], hosted=RUNS
    )
    assert done.notes[1:] == ["replaced=container_upload@messages.1.content.2"]


def test_a_deep_input_of_a_tool_that_ran_here_is_refused_by_its_place() -> None:
    call = {**asked("s1"), "input": deep(MAX_JSON_DEPTH + 1)}
    with pytest.raises(Refusal, match="nested more than 128 levels deep") as caught:
        translated("q", assistant("a", call, found("s1")), "more", tools=[WEB], hosted=RUNS)
    assert caught.value.path == "messages.1.content.1.input"


def test_a_failed_mcp_call_says_so_again() -> None:
    shop = Hosted(
        mcp_servers=frozenset({"shop"}),
        mcp_tools=(McpTool(server="shop", name="buy", schema=Raw(b'{"type":"object"}')),),
    )
    used = {"type": "mcp_tool_use", "id": "m", "name": "buy", "server_name": "shop", "input": {}}
    for is_error, content in ((True, "[tool error] sold out"), (False, "sold out")):
        given = {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": is_error}
        given["content"] = [text("sold out")]
        done = translated("q", assistant(used, given), "more", hosted=shop)
        assert done.messages[1]["tool_calls"][0]["function"]["name"] == "mcp__shop__buy"
        assert done.messages[2]["content"] == content
        elsewhere = {**used, "server_name": "bank"}
        other = translated("q", assistant(elsewhere, given), "more", hosted=shop)
        assert "tool_calls" not in other.messages[1]
