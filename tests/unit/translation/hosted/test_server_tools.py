"""What the model reads of the results of tools that run here, and the blocks that clients get."""

import json
from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.hosted.result_text import (
    ERROR,
    Reading,
    readable,
    references,
    with_definitions,
)
from deepseek_messages.translation.hosted.round_parts import (
    MadeCall,
    call_request,
    pending_tool,
    read_call,
    server_id,
    text_of_chunk,
    with_said,
)
from deepseek_messages.translation.hosted.server_tools import (
    Kind,
    Outcome,
    ServerTool,
    failed,
    kind_of,
    result_block,
)
from deepseek_messages.translation.hosted.tries import ask_for_json, fits
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatChunk,
    ChatDelta,
    ChatRequest,
    ChunkChoice,
    Function,
    FunctionTool,
    UserMessage,
)
from deepseek_messages.wire.tools import Tool
from tests.support.translating import SEAL

REGEX: Kind = "tool_search_tool_regex"
BM25: Kind = "tool_search_tool_bm25"


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def reading() -> Reading:
    return Reading(call_id="c", seal=SEAL, citable=Library(cites_hosted=False))


def page(**fields: Any) -> dict[str, Any]:
    return {"type": "web_search_result", "title": "T", "url": "u", **fields}


UNSHOWN = "u\n\n[a document that cannot be shown to this model]"
SEALED = SEAL.seal("Words.")
READ: dict[str, tuple[Kind, Any, str]] = {
    "pages": (
        "web_search",
        [page(), page(page_age="today", encrypted_content=SEALED)],
        "1. T\nu\n\n2. T (today)\nu\nWords.",
    ),
    "a page of somebody else's": ("web_search", [page(encrypted_content="x")], "1. T\nu"),
    "a page with odd content": ("web_search", [page(encrypted_content=5)], "1. T\nu"),
    "a page of nothing": ("web_search", [{}], "1. \n"),
    "no page": ("web_search", [], "Nothing was found."),
    "no list of pages": ("web_search", "?", "Nothing was found."),
    "what is no page": ("web_search", [5, page()], "1. T\nu"),
    "a document": (
        "web_fetch",
        {"url": "u", "content": {"title": "T", "source": {"type": "text", "data": "D"}}},
        "T\nu\n\nD",
    ),
    "a document without a title": (
        "web_fetch",
        {"url": "u", "content": {"title": 5, "source": {"type": "text", "data": "D"}}},
        "u\n\nD",
    ),
    "a document without data": ("web_fetch", {"url": "u", "content": {"source": {}}}, UNSHOWN),
    "a document without a source": ("web_fetch", {"url": "u", "content": {"source": 5}}, UNSHOWN),
    "a document that is none": ("web_fetch", {"content": 5}, ""),
    "no document": ("web_fetch", [], ""),
    "tools": (
        REGEX,
        {"tool_references": [{"tool_name": "a"}, {"tool_name": "b"}]},
        "Tools found: a, b",
    ),
    "tools by words": (BM25, {"tool_references": [{"tool_name": "a"}]}, "Tools found: a"),
    "tools without a name": (
        REGEX,
        {"tool_references": [{}, {"tool_name": 5}, {"tool_name": ""}, 5]},
        "No tool was found.",
    ),
    "no tools": (REGEX, {}, "No tool was found."),
    "no list of tools": (REGEX, [], "No tool was found."),
    "a text": ("mcp", "words", "words"),
    "texts": ("mcp", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\n\nb"),
    "an image": ("mcp", [{"type": "image"}], "[image left out]"),
    "an error": ("web_fetch", {"error_code": "x"}, f"{ERROR} x"),
}


@pytest.mark.parametrize(("kind", "content", "text"), READ.values(), ids=READ)
def test_a_result_is_read_as(kind: Kind, content: Any, text: str) -> None:
    assert readable(kind, raw(content), reading()) == text


def test_an_error_is_marked() -> None:
    assert readable("mcp", raw("words"), reading(), is_error=True) == f"{ERROR} words"
    assert readable("mcp", Raw(b"{"), reading()) == ERROR


def test_definitions_stand_behind_a_result() -> None:
    assert with_definitions("r", []) == "r"
    assert with_definitions("r", ["a", "b"]) == "r\n\n### Updated Tool Schemas\n\na\nb"
    assert references({"tool_references": [{"tool_name": "a"}]}) == ["a"]


KINDS = {
    "web_search_20250305": "web_search",
    "web_fetch_20250910": "web_fetch",
    "web_search": "web_search",
    "tool_search_tool_regex_20251119": REGEX,
    "tool_search_tool_bm25": BM25,
    "web_search_new": None,
    "other_20250101": None,
    "20250101": None,
    "": None,
    None: None,
}


@pytest.mark.parametrize(("given", "kind"), KINDS.items())
def test_a_kind_is_told_by_its_type(given: str | None, kind: str | None) -> None:
    assert kind_of(Tool(type=given, name="web_search")) == kind


def server_tool(kind: Kind) -> ServerTool:
    return ServerTool(kind=kind, name="n", server="s" if kind == "mcp" else "")


FAILED: dict[str, tuple[Kind, Any]] = {
    "search": (
        "web_search",
        {"type": "web_search_tool_result_error", "error_code": "unavailable"},
    ),
    "tools": (REGEX, {"type": "tool_search_tool_result_error", "error_code": "unavailable"}),
    "mcp": ("mcp", [{"type": "text", "text": "unavailable"}]),
}


@pytest.mark.parametrize(("kind", "content"), FAILED.values(), ids=FAILED)
def test_a_failure_has_the_form_of_its_kind(kind: Kind, content: Any) -> None:
    outcome = failed(server_tool(kind), "unavailable")
    assert json.loads(bytes(outcome.content)) == content
    assert outcome.is_error
    block = json.loads(bytes(result_block(server_tool(kind), "id", outcome)))
    assert block["content"] == content
    assert block.get("is_error") is (True if kind == "mcp" else None)


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ("c", "web_search", "srvtoolu_c"),
        ("call_c", "web_fetch", "srvtoolu_c"),
        ("toolu_c", "mcp", "mcptoolu_c"),
        ("toolu_call_c", "mcp", "mcptoolu_c"),
        ("c" * 60, "mcp", "mcptoolu_" + "c" * 50),
        ("toolu_c", None, "toolu_c"),
    ],
)
def test_ids_of_server_tools_are_told_by_their_beginning(
    given: str, kind: Kind | None, expected: str
) -> None:
    assert server_id(given, server_tool(kind) if kind else None) == expected


@pytest.mark.parametrize(
    ("arguments", "read"), [("", {}), ("{", {}), ("[]", {}), ('{"a":1}', {"a": 1})]
)
def test_arguments_that_are_no_object_are_none(arguments: str, read: dict[str, Any]) -> None:
    call = MadeCall("c", "n", server_tool("mcp"), arguments)
    assert pending_tool(call).arguments == read


def test_words_go_to_the_end_of_the_users_turn() -> None:
    first = [UserMessage(content="a"), AssistantMessage(content="b")]
    assert with_said(first, "x") == [*first, UserMessage(content="x")]
    last = [*first, UserMessage(content="c")]
    assert with_said(last, "x") == [*first, UserMessage(content="c\n\nx")]


def test_a_call_is_asked_for_as_json() -> None:
    asked = call_request(Raw(b'{"a":1}'))
    assert asked.startswith("Call a tool now. Write the call as JSON.\nAnswer with one JSON value")
    assert asked.endswith('\n{"a":1}')


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"name": "f", "arguments": {"a": "é"}}', ("f", '{"a": "é"}')),
        ('{"name": 5, "arguments": []}', ("5", "[]")),
        ('{"name": "f"}', ("", "")),
        ("[]", ("", "")),
        ("x", ("", "")),
    ],
)
def test_a_call_is_read_out_of_json(text: str, read: tuple[str, str]) -> None:
    assert read_call(text) == read


def test_the_text_of_a_chunk_is_that_of_all_its_choices() -> None:
    deltas = [ChatDelta(content="a"), None, ChatDelta(), ChatDelta(content="b")]
    chunk = ChatChunk(choices=[ChunkChoice(delta=each) for each in deltas])
    assert text_of_chunk(chunk) == "ab"
    assert text_of_chunk(ChatChunk()) == ""


def plan(*functions: Function) -> RoundPlan:
    book = ToolBook(DEEPSEEK, Notes(), updates_in_place=False)
    book.functions = [FunctionTool(each) for each in functions]
    return RoundPlan(dialect=DEEPSEEK, book=book)


F = Function(name="f", parameters=Raw(b'{"required":["a"]}'))
BARE = Function(name="bare")
BROKEN = Function(name="broken", parameters=Raw(b'{"type":5}'))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("f", '{"a":1}', True),
        ("f", "{}", False),
        ("bare", "{}", True),
        ("broken", "{}", True),
        ("unknown", "{}", True),
    ],
)
def test_arguments_fit_what_can_be_checked(name: str, arguments: str, expected: bool) -> None:
    assert fits(plan(F, BARE, BROKEN), name, arguments) is expected


def test_a_tool_without_a_schema_takes_any_arguments() -> None:
    chat = ChatRequest(
        model="m",
        messages=[UserMessage(content="a")],
        tools=[FunctionTool(BARE)],
        parallel_tool_calls=False,
    )
    asked = ask_for_json(chat, plan(BARE), ReplyPlan(model="m"))
    assert asked.parallel_tool_calls is None
    content = asked.messages[-1].content
    assert isinstance(content, str)
    assert json.loads(content[content.index('{"type"') :])["properties"] == {
        "name": {"const": "bare"},
        "arguments": {},
    }


def test_an_outcome_is_no_error_unless_it_says_so() -> None:
    assert Outcome(Raw(b"[]")).is_error is False
