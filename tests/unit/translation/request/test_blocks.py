"""What each kind of block is in the prompt, and the note that tells of a change."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import DEEPSEEK, VLLM
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.blocks import content_of
from deepseek_messages.translation.request.documents import PagesSource
from deepseek_messages.translation.request.edits import Edits
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.wire.chat import ImageUrl, ImageUrlPart, TextPart
from deepseek_messages.wire.content import DocumentBlock, ImageBlock, TextBlock, UrlSource
from deepseek_messages.wire.messages import InputMessage
from tests.support.translating import (
    SEAL,
    Translated,
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

BLIND = model(sees=False)
URL_IMAGE = {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}}
CITE = {"citations": {"enabled": True}}


def source(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": kind, **fields}}


def left_out(what: str) -> str:
    return f"[{what} left out: it cannot be shown to this model]"


PLACE = "@messages.0.content.1"

# A block of the user's, what stands for it, and the notes without their place.
SHOWN: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "text": (text("a"), "a", []),
    "an uploaded file": (
        {"type": "container_upload", "file_id": "file_1"},
        left_out("file file_1"),
        ["replaced=container_upload"],
    ),
    "a summary is found by another way": ({"type": "tool_reference", "tool_name": "f"}, "f", []),
    "a reference to no tool": (
        {"type": "tool_reference", "tool_name": "nobody"},
        "nobody",
        ["dropped=tool_reference"],
    ),
    "a tool that is taken away": (
        {"type": "tool_removal", "tool": {"name": "f"}},
        "The tool f is no longer available.",
        ["emulated=tool_removal"],
    ),
    "a tool that is taken away by its reference": (
        {"type": "tool_removal", "tool": {"tool_name": "f"}},
        "The tool f is no longer available.",
        ["emulated=tool_removal"],
    ),
    "a tool without a name that is taken away": (
        {"type": "tool_removal", "tool": {}},
        "The tool  is no longer available.",
        ["emulated=tool_removal"],
    ),
    "a document in a file": (
        source("file", file_id="file_1"),
        left_out("document file_1"),
        ["replaced=document"],
    ),
    "a document with a title": (
        source("file", file_id="file_1") | {"title": "T"},
        left_out('document file_1 "T"'),
        ["replaced=document"],
    ),
    "a document elsewhere": (
        source("url", url="https://e.com/a.pdf"),
        left_out("document at https://e.com/a.pdf"),
        ["replaced=document"],
    ),
    "a document that is no text": (
        source("base64", media_type="application/pdf", data="QQ=="),
        left_out("document (application/pdf)"),
        ["replaced=document"],
    ),
    "a call of a server tool": (
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
        '[called web_search with {"q":1}]',
        ["replaced=server_tool_use"],
    ),
    "a call of an MCP tool": (
        {"type": "mcp_tool_use", "id": "s", "name": "buy", "server_name": "x", "input": {}},
        "[called buy with {}]",
        ["replaced=mcp_tool_use"],
    ),
    "a result of a server tool, without what only Anthropic reads": (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"title": "T", "encrypted_content": "x", "more": [{"signature": "y"}, 1]}],
        },
        '[web search tool result: [{"title":"T","more":[{},1]}]]',
        ["replaced=web_search_tool_result"],
    ),
    "a result of code": (
        {
            "type": "code_execution_tool_result",
            "tool_use_id": "s",
            "content": {"stdout": "1", "encrypted_stdout": "x"},
        },
        '[code execution tool result: {"stdout":"1"}]',
        ["replaced=code_execution_tool_result"],
    ),
    "a tool search that found nothing readable": (
        {"type": "tool_search_tool_result", "tool_use_id": "s", "content": "?"},
        '[tool search tool result: "?"]',
        ["replaced=tool_search_tool_result"],
    ),
    "a tool search that found a tool nobody knows": (
        {
            "type": "tool_search_tool_result",
            "tool_use_id": "s",
            "content": {"tool_references": [{"tool_name": "nobody"}, {}]},
        },
        '[tool search tool result: {"tool_references":[{"tool_name":"nobody"},{}]}]',
        ["replaced=tool_search_tool_result", "dropped=tool_reference"],
    ),
    "reasoning in the user's turn": (thinking("Hm."), "", ["ignored=thinking"]),
    "hidden reasoning in the user's turn": (
        {"type": "redacted_thinking", "data": "x"},
        "",
        ["ignored=redacted_thinking"],
    ),
    "a call in the user's turn": (
        call("t", "f", a=1),
        '[called f with {"a":1}]',
        ["replaced=tool_use"],
    ),
}


def seen(block: dict[str, Any], **fields: Any) -> Translated:
    return translated(user("q", block), tools=[tool("f")], **fields)


@pytest.mark.parametrize(("block", "shown", "notes"), SHOWN.values(), ids=SHOWN)
def test_a_block_is_shown_as(block: dict[str, Any], shown: str, notes: list[str]) -> None:
    done = seen(block)
    assert done.messages[0] == {"role": "user", "content": f"q\n\n{shown}" if shown else "q"}
    assert done.notes == [note + PLACE for note in notes]


def test_an_added_tool_is_shown_where_it_was_added() -> None:
    line = '{"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}'
    for named in ({"name": "f"}, {"tool_name": "f"}):
        done = seen({"type": "tool_addition", "tool": named})
        assert [m["role"] for m in done.messages] == ["user", "system"]
        assert line in done.messages[1]["content"]
        assert done.notes == []


@pytest.mark.parametrize("named", [{"name": "nobody"}, {}])
def test_an_added_tool_that_nobody_knows_is_noted(named: dict[str, str]) -> None:
    done = seen({"type": "tool_addition", "tool": named})
    assert done.messages == [{"role": "user", "content": "q"}]
    assert done.notes == ["dropped=tool_reference" + PLACE]


def test_tools_that_a_search_found_are_shown_once_more() -> None:
    found = {"tool_references": [{"tool_name": "f"}]}
    block = {"type": "tool_search_tool_result", "tool_use_id": "s", "content": found}
    done = seen(block)
    assert '{"name": "f"' in done.messages[1]["content"]
    assert done.notes == ["replaced=tool_search_tool_result" + PLACE]


CITED: dict[str, dict[str, Any]] = {
    "text": source("text", media_type="text/plain", data="A long sentence.") | CITE,
    "blocks": source("content", content=[text("A long sentence.")]) | CITE,
    "a search result": {
        "type": "search_result",
        "source": "s",
        "title": "t",
        "content": [text("A long sentence.")],
    }
    | CITE,
}


@pytest.mark.parametrize("block", CITED.values(), ids=CITED)
def test_citations_are_noted_where_they_are_asked_for(block: dict[str, Any]) -> None:
    assert seen(block).notes == ["emulated=citations" + PLACE]
    assert seen({**block, "citations": {"enabled": False}}).notes == []
    assert seen({key: value for key, value in block.items() if key != "citations"}).notes == []


def test_a_document_that_is_left_out_keeps_its_number() -> None:
    """Citations count the documents of the request, shown or not."""
    kept = source("text", media_type="text/plain", data="A long sentence.") | CITE
    done = translated(user(source("file", file_id="x"), kept))
    assert [each.index for each in done.plan.sources] == [1]
    search = {"type": "search_result", "source": "s", "title": "t", "content": [text("A.")]} | CITE
    done = translated(user(source("file", file_id="x"), search))
    assert [each.index for each in done.plan.sources] == [0]


def test_an_image_inside_a_document_has_a_place_of_its_own() -> None:
    done = seen(source("content", content=[text("a"), URL_IMAGE]), served=BLIND)
    assert "[image left out: this model cannot see images]" in done.messages[0]["content"]
    assert done.notes == ["replaced=image" + PLACE]


def test_an_image_inside_a_result_has_a_place_of_its_own() -> None:
    asked = assistant(call("t", "f"))
    done = translated(
        "q", asked, user(result("t", [text("a"), URL_IMAGE])), tools=[tool("f")], served=BLIND
    )
    assert done.notes == ["replaced=image@messages.2.content.0.content.1"]


IMAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "base64": (
        {"type": "base64", "media_type": "image/png", "data": "QUJD"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
    ),
    "url": (
        {"type": "url", "url": "https://e.com/a.png"},
        {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
    ),
    "file": (
        {"type": "file", "file_id": "file_1"},
        {"type": "file", "file": {"file_id": "file_1"}},
    ),
}


@pytest.mark.row("messages.content.image.source")
@pytest.mark.parametrize(("given", "sent"), IMAGES.values(), ids=IMAGES)
def test_an_image_is_sent_as(given: dict[str, Any], sent: dict[str, Any]) -> None:
    done = seen({"type": "image", "source": given})
    assert done.messages[0]["content"] == [{"type": "text", "text": "q"}, sent]
    assert done.notes == []
    blind = seen({"type": "image", "source": given}, served=BLIND)
    assert blind.notes == ["replaced=image" + PLACE]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ("no file", "[tool error] no file"),
        ([text("no"), text("file")], "[tool error] no\n\nfile"),
        ([], "[tool error]"),
        (None, "[tool error]"),
    ],
)
def test_a_failed_call_is_marked(content: Any, shown: str) -> None:
    failed = user(result("t", content, is_error=True))
    done = translated("q", assistant(call("t", "f")), failed, tools=[tool("f")])
    assert done.messages[2]["content"] == shown


def test_a_failed_call_that_shows_an_image_is_marked_before_it() -> None:
    failed = user(result("t", [URL_IMAGE], is_error=True))
    done = translated("q", assistant(call("t", "f")), failed, tools=[tool("f")], dialect=DEEPSEEK)
    assert done.messages[2]["content"][0] == {"type": "text", "text": "[tool error]"}


def test_an_image_of_a_result_moves_where_tool_messages_hold_none() -> None:
    shown = user(result("t", [text("a"), URL_IMAGE]))
    done = translated("q", assistant(call("t", "f")), shown, tools=[tool("f")], dialect=VLLM)
    assert done.messages[2]["content"] == "a"
    assert done.messages[3]["content"] == [
        {"type": "text", "text": "Image from the result of f:"},
        {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}},
    ]
    assert done.notes == ["emulated=tool_result.image@messages.1.content.0"]


PICTURE = ImageUrlPart(ImageUrl("u"))
A, B = TextPart("a"), TextPart("b")


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([], ""),
        ([A], "a"),
        ([PICTURE], [PICTURE]),
        ([A, B], "a\n\nb"),
        ([A, B, PICTURE], [TextPart("a\n\nb"), PICTURE]),
        ([PICTURE, A, B], [PICTURE, TextPart("a\n\nb")]),
        ([A, PICTURE, B], [A, PICTURE, B]),
        ([PICTURE, PICTURE], [PICTURE, PICTURE]),
    ],
)
def test_parts_become_a_text_where_they_can(parts: list[Any], content: Any) -> None:
    assert content_of(parts) == content


def test_a_read_pdf_is_shown_page_by_page() -> None:
    picture = ImageBlock(source=UrlSource(url="https://e.com/2.png"))
    pages = DocumentBlock(source=PagesSource(content=[TextBlock(text="One."), picture]))
    notes = Notes()
    body = {"model": "m", "max_tokens": 9, "messages": [user("q")]}
    request = replace(
        parse_request(msgspec.json.encode(body)),
        messages=[InputMessage(role="user", content=[TextBlock(text="q"), pages])],
    )
    sent = to_chat(request, Choice(model=model(), requested="m"), DEEPSEEK, notes, SEAL).chat
    assert sent.messages[0].content == [
        TextPart('q\n\n<document>\n\n<page number="1">\nOne.\n</page>\n\n<page number="2">'),
        ImageUrlPart(ImageUrl("https://e.com/2.png")),
        TextPart("</page>\n\n</document>"),
    ]
    assert list(map(str, notes.entries)) == ["emulated=document.pdf" + PLACE]

    notes = Notes()
    blind = to_chat(request, Choice(model=BLIND, requested="m"), DEEPSEEK, notes, SEAL).chat
    assert "[image left out" in str(blind.messages[0].content)
    assert list(map(str, notes.entries))[1:] == ["replaced=image" + PLACE]


def test_a_cleared_result_still_counts_its_sources() -> None:
    """Citations count the documents and search results of the request, shown or not."""
    plain = source("text", media_type="text/plain", data="A long sentence.")
    hit = {"type": "search_result", "source": "s", "title": "t", "content": [text("A.")]}
    old = user(result("t", [text("a"), plain, hit, hit]))
    asked = ["q", assistant(call("t", "f")), old, assistant("x"), user(plain | CITE, hit | CITE)]
    done = translated(*asked, edits=Edits(results=frozenset({"t"})))
    assert [(each.kind, each.index) for each in done.plan.sources] == [
        ("text", 1),
        ("search_result", 2),
    ]


def test_an_unknown_block_of_the_user_is_refused_by_its_place() -> None:
    with pytest.raises(Refusal) as caught:
        translated("a", assistant("b"), user("c", {"type": "hologram"}))
    assert caught.value.path == "messages.2.content.1"
