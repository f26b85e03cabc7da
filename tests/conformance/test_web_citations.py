"""Answers that rest on what this server found on the web say so, as Anthropic's do."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deepseek_messages.service.web_tools.run import MAX_PDF_BYTES
from deepseek_messages.settings import ToolsSettings
from deepseek_messages.translation.hosted.rounds import MAX_ROUNDS
from deepseek_messages.upstreams.double import Call, Text
from tests.conformance.rig import JSON, Reply, Rig, running_rig
from tests.support.pdf import pdf
from tests.support.servers import serve_app

row = pytest.mark.row

LONG = "The " + "very " * 40 + "long sentence."
PAGES = {
    "weather": [
        {"url": "https://rome.example.com/a", "title": "Rome", "content": "It is 18 C. It rains."},
        {"url": "https://other.org/b", "title": "Other", "content": "Nothing."},
    ],
    "long": [{"url": "https://long.org/", "title": "Long", "content": LONG}],
    "nothing": [],
}
HTML = "<title>A page</title><body><p>One is odd.<p>Two is even.</body>"

FILES = {
    "two": pdf("One is odd.", "Two is even."),
    "broken": b"%PDF-1.4 nothing",
    "huge": b"%PDF-1.4" + b" " * MAX_PDF_BYTES,
}

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch", "citations": {"enabled": True}}
ASKED = [{"role": "user", "content": "Weather?"}]


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    async def search(request: Request) -> JSONResponse:
        return JSONResponse({"results": PAGES[request.query_params["q"]]})

    async def page(_request: Request) -> HTMLResponse:
        return HTMLResponse(HTML)

    async def file(request: Request) -> Response:
        data = FILES[request.path_params["name"]]
        return Response(data, media_type="application/pdf")

    routes = [Route("/search", search), Route("/page", page), Route("/files/{name}", file)]
    with serve_app(Starlette(routes=routes)) as running:
        yield running.url


@pytest.fixture(scope="module")
def shared_rig(web: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    tools = ToolsSettings(
        web_search="searxng", web_search_url=web, web_fetch="direct", allow_private=True
    )
    with running_rig(tmp_path_factory.mktemp("state"), tools=tools) as running:
        yield running


def ask_for(query: str = "weather") -> Call:
    return Call("web_search", json.dumps({"query": query}))


def play(rig: Rig, *answers: Any, **fields: Any) -> Reply:
    asked = {"max_tokens": 2000, "messages": ASKED, "tools": [SEARCH], **fields}
    reply = rig.play(*answers, **asked)
    assert reply.status == 200, reply.raw
    return reply


def again(rig: Rig, blocks: list[JSON], **fields: Any) -> str:
    """The prompt of a next turn after the answer ``blocks``."""
    messages = [*ASKED, {"role": "assistant", "content": blocks}]
    play(rig, Text("Yes."), messages=[*messages, {"role": "user", "content": "Sure?"}], **fields)
    return rig.double.requests[-1].prompt


def cited(blocks: list[JSON]) -> list[tuple[str, list[str]]]:
    """The cited texts with what they quote."""
    return [
        (block["text"], [each["cited_text"] for each in block["citations"]])
        for block in blocks
        if block["type"] == "text" and block.get("citations")
    ]


@row("tools.web_search")
@row("messages.content.text.citations")
def test_text_that_rests_on_a_search_cites_it(rig: Rig) -> None:
    reply = play(rig, ask_for(), Text("Today it is 18 C.[citation:1] And grey."))
    blocks = reply.body["content"][2:]
    index = blocks[0]["citations"][0].pop("encrypted_index")
    assert blocks == [
        {
            "type": "text",
            "text": "Today it is 18 C.",
            "citations": [
                {
                    "type": "web_search_result_location",
                    "cited_text": "It is 18 C.",
                    "url": "https://rome.example.com/a",
                    "title": "Rome",
                }
            ],
        },
        {"type": "text", "text": " And grey."},
    ]
    assert index.startswith("dsi1.")
    prompt = rig.double.requests[1].prompt
    assert "[passage 1] It is 18 C. [passage 2] It rains." in prompt
    assert "[passage 3] Nothing." in prompt
    assert prompt.count("put their marks directly behind the statement") == 1


@row("tools.web_search")
def test_a_stream_carries_the_citations_as_deltas(rig: Rig) -> None:
    answer = "18 C [citation:1][citation:2]. Nothing else [citation:3]."
    reply = play(rig, ask_for(), Text(answer), stream=True)
    whole = play(rig, ask_for(), Text(answer)).body["content"]
    deltas = [
        (event["index"], event["delta"]["citation"])
        for event in reply.events
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "citations_delta"
    ]
    assert [(index, citation["cited_text"]) for index, citation in deltas] == [
        (2, "It is 18 C. It rains."), (3, "Nothing."),
    ]  # fmt: skip
    assert cited(whole) == [
        ("18 C.", ["It is 18 C. It rains."]), (" Nothing else.", ["Nothing."]),
    ]  # fmt: skip


@row("tools.web_search")
@pytest.mark.parametrize("stream", [True, False])
def test_the_sdk_reads_them(rig: Rig, stream: bool) -> None:
    rig.double.expect([ask_for()], [Text("Look: 18 C.[citation:1]")])
    fields: Any = {
        "model": "deepseek-chat", "max_tokens": 100, "messages": ASKED, "tools": [SEARCH],
    }  # fmt: skip
    with anthropic.Anthropic(base_url=f"http://{rig.address}/anthropic", api_key="sk-rig") as sdk:
        if stream:
            with sdk.messages.stream(**fields) as events:
                message = events.get_final_message()
        else:
            message = sdk.messages.create(**fields)
    (citation,) = message.content[-1].citations  # type: ignore[union-attr, misc]
    assert isinstance(citation, anthropic.types.CitationsWebSearchResultLocation)
    assert (citation.url, citation.title) == ("https://rome.example.com/a", "Rome")


@row("tools.web_search")
def test_a_replayed_answer_has_the_marks_it_had(rig: Rig) -> None:
    reply = play(rig, ask_for(), Text("18 C.[citation:1] Rain.[citation:2] Fine."))
    before = rig.double.requests[-1].prompt
    prompt = again(rig, reply.body["content"])
    assert prompt.startswith(before)
    assert "18 C.[citation:1] Rain.[citation:2] Fine." in prompt


@row("tools.web_search")
def test_several_searches_in_one_answer_share_their_numbers(rig: Rig) -> None:
    first = [Text("So far 18 C.[citation:1] I look further."), ask_for("long")]
    reply = play(rig, ask_for(), first, Text("It is long.[citation:4]"))
    prompts = [seen.prompt for seen in rig.double.requests]
    assert prompts[2].startswith(prompts[1] + "So far 18 C.[citation:1] I look further.")
    blocks = reply.body["content"]
    assert cited(blocks) == [("So far 18 C.", ["It is 18 C."]), ("It is long.", [LONG[:150]])]
    assert again(rig, blocks).startswith(prompts[2])


@row("tools.web_search")
@pytest.mark.parametrize(
    "index", ["Eo8BCioIAhgBIiQ4", "dsi1.", "dsi1.AAAA", "dsi1.WyJ4IiwwLDAsMF0", "dsi1." + "A" * 999]
)
def test_an_index_that_is_not_ours_or_damaged_is_harmless(rig: Rig, index: str) -> None:
    blocks = play(rig, ask_for(), Text("18 C.[citation:1] Fine.")).body["content"]
    blocks[2]["citations"][0]["encrypted_index"] = index
    assert "18 C. Fine." in again(rig, blocks)


@row("tools.web_search")
@row("messages.content.web_search_tool_result")
def test_citations_stay_harmless_where_the_search_does_not_run_any_more(rig: Rig) -> None:
    answer = [[Text("I look."), ask_for()], Text("18 C.[citation:1] Fine.")]
    blocks = play(rig, *answer).body["content"]
    prompt = again(rig, blocks, tools=...)
    assert prompt.index("I look.") < prompt.index("https://rome.example.com/a")
    assert prompt.index("https://rome.example.com/a") < prompt.index("18 C. Fine.")
    assert "[citation" not in prompt


@row("tools.web_search")
def test_a_search_without_results_is_no_source(rig: Rig) -> None:
    reply = play(rig, ask_for("nothing"), Text("Nothing.[citation:1]"))
    assert reply.text == "Nothing.[citation:1]"
    assert "put their marks" not in rig.double.requests[1].prompt


@row("tools.web_search")
@row("output_config")
def test_structured_output_has_no_place_for_citations(rig: Rig) -> None:
    schema = {"type": "object", "properties": {"t": {"type": "string"}}, "required": ["t"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    reply = play(rig, ask_for(), Text('{"t": "18 C"}'), output_config=config)
    assert json.loads(reply.text) == {"t": "18 C"}
    prompt = rig.double.requests[1].prompt
    assert "It is 18 C. It rains." in prompt
    assert "[passage" not in prompt


@row("tools.web_fetch")
def test_a_fetched_page_is_cited_by_its_characters(rig: Rig, web: str) -> None:
    fetch = Call("web_fetch", json.dumps({"url": f"{web}/page"}))
    reply = play(rig, fetch, Text("Odd.[citation:1] Even.[citation:2]"), tools=[FETCH])
    blocks = reply.body["content"]
    document = blocks[1]["content"]["content"]
    assert document["citations"] == {"enabled": True}
    text = document["source"]["data"]
    locations = [each for block in blocks[2:] for each in block["citations"]]
    assert [text[each["start_char_index"] : each["end_char_index"]] for each in locations] == [
        "One is odd.", "Two is even.",
    ]  # fmt: skip
    assert locations[0] == {
        "type": "char_location",
        "cited_text": "One is odd.",
        "document_index": 0,
        "document_title": "A page",
        "start_char_index": 0,
        "end_char_index": 11,
        "file_id": None,
    }
    before = rig.double.requests[-1].prompt
    prompt = again(rig, blocks, tools=[FETCH])
    assert prompt.startswith(before)
    assert "Odd.[citation:1] Even.[citation:2]" in prompt


@row("tools.web_fetch")
def test_a_fetched_page_without_citations_is_no_source(rig: Rig, web: str) -> None:
    fetch = Call("web_fetch", json.dumps({"url": f"{web}/page"}))
    tool = {"type": "web_fetch_20250910", "name": "web_fetch"}
    reply = play(rig, fetch, Text("Odd."), tools=[tool])
    assert reply.body["content"][1]["content"]["content"]["citations"] == {"enabled": False}
    assert "[passage" not in rig.double.requests[1].prompt


@row("tools.web_fetch")
@row("messages.content.document.citations")
def test_documents_and_fetched_pages_are_counted_together(rig: Rig, web: str) -> None:
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "Three is odd."},
        "citations": {"enabled": True},
    }
    fetch = Call("web_fetch", json.dumps({"url": f"{web}/page"}))
    asked = [{"role": "user", "content": [document, {"type": "text", "text": "?"}]}]
    answer = Text("Odd.[citation:1] Even.[citation:3]")
    reply = play(rig, fetch, answer, tools=[FETCH], messages=asked)
    locations = [each for block in reply.body["content"][2:] for each in block["citations"]]
    assert [(each["document_index"], each["cited_text"]) for each in locations] == [
        (0, "Three is odd."), (1, "Two is even."),
    ]  # fmt: skip
    assert rig.double.requests[1].prompt.count("put their marks") == 1


@row("tools.web_search")
def test_a_paused_answer_that_is_sent_back_goes_on(rig: Rig) -> None:
    """``pause_turn``: the client sends what it has as the last message."""
    rounds = [[Text(f"Look {n}."), ask_for()] for n in range(MAX_ROUNDS)]
    paused = play(rig, *rounds).body
    assert paused["stop_reason"] == "pause_turn"
    before = rig.double.requests[-1].prompt
    messages = [*ASKED, {"role": "assistant", "content": paused["content"]}]
    reply = play(rig, Text("18 C.[citation:1]"), messages=messages)
    assert cited(reply.body["content"]) == [("18 C.", ["It is 18 C."])]
    assert rig.double.requests[-1].prompt.startswith(before)
    assert reply.notes == ["emulated=tools.web_search@tools.0"]


# --- PDF ------------------------------------------------------------------------------------------


def fetch_of(web: str, name: str) -> Call:
    return Call("web_fetch", json.dumps({"url": f"{web}/files/{name}"}))


@row("tools.web_fetch")
@row("messages.content.web_fetch_tool_result")
def test_a_fetched_pdf_is_cited_by_its_pages(rig: Rig, web: str) -> None:
    reply = play(rig, fetch_of(web, "two"), Text("Even.[citation:2]"), tools=[FETCH])
    blocks = reply.body["content"]
    source = blocks[1]["content"]["content"]["source"]
    assert (source["type"], source["media_type"]) == ("base64", "application/pdf")
    assert base64.b64decode(source["data"]) == FILES["two"]
    (location,) = blocks[2]["citations"]
    assert location["type"] == "page_location"
    assert location["cited_text"] == "Two is even."
    assert (location["start_page_number"], location["end_page_number"]) == (2, 3)
    before = rig.double.requests[-1].prompt
    assert '<page number="2">\n[passage 2] Two is even.' in before
    prompt = again(rig, blocks, tools=[FETCH])
    assert prompt.startswith(before)
    assert "Even.[citation:2]" in prompt


@row("messages.content.web_fetch_tool_result")
@pytest.mark.parametrize("name", ["two", "broken"])
def test_a_pdf_of_an_earlier_fetch_is_never_shown_as_base64(rig: Rig, web: str, name: str) -> None:
    fetched = play(rig, fetch_of(web, "two"), Text("Even."), tools=[FETCH]).body["content"]
    source = fetched[1]["content"]["content"]["source"]
    source["data"] = base64.b64encode(FILES[name]).decode()
    for tools in ([FETCH], ...):
        prompt = again(rig, fetched, tools=tools)
        assert source["data"] not in prompt
        assert ("Two is even." in prompt) == (name == "two")


@row("tools.web_fetch")
@pytest.mark.parametrize(
    ("name", "code"), [("broken", "unsupported_content_type"), ("huge", "content_too_large")]
)
def test_a_pdf_that_cannot_be_read_is_an_error_of_the_fetch(
    rig: Rig, web: str, name: str, code: str
) -> None:
    reply = play(rig, fetch_of(web, name), Text("Oh."), tools=[FETCH])
    assert reply.body["content"][1]["content"]["error_code"] == code
