"""Documents, citations, context management and compaction, end to end with the official SDK."""

from typing import Any

import anthropic
import pytest

from deepseek_messages.upstreams.double import Call, Text, Think
from tests.conformance.rig import JSON, Reply, Rig, running_rig
from tests.support.pdf import pdf_base64

row = pytest.mark.row

CITE = {"citations": {"enabled": True}}


def user(*content: Any) -> JSON:
    return {"role": "user", "content": list(content)}


def words(text: str) -> JSON:
    return {"type": "text", "text": text}


def document(source: JSON, **more: Any) -> JSON:
    return {"type": "document", "source": source} | more


def pdf(*pages: str, **more: Any) -> JSON:
    data = pdf_base64(*pages)
    return document({"type": "base64", "media_type": "application/pdf", "data": data}, **more)


def plain(text: str, **more: Any) -> JSON:
    return document({"type": "text", "media_type": "text/plain", "data": text}, **more)


def sent_text(reply: Reply) -> str:
    return "\n".join(str(message["content"]) for message in reply.sent["messages"])


# --- PDF ------------------------------------------------------------------------------------------


@row("messages.content.document")
@pytest.mark.parametrize("inside", [False, True], ids=["said", "tool result"])
def test_pdf_reaches_the_model_page_by_page(rig: Rig, inside: bool) -> None:
    block = pdf("All cats are grey.", "At night.", title="Cats", context="A study.")
    messages = [user(block, words("What colour?"))]
    if inside:
        call = {"type": "tool_use", "id": "t1", "name": "Read", "input": {}}
        found = {"type": "tool_result", "tool_use_id": "t1", "content": [words("Read."), block]}
        messages = [user(words("Go")), {"role": "assistant", "content": [call]}, user(found)]
    reply = rig.served(messages=messages)
    text = sent_text(reply)
    for part in ("All cats are grey.", '<page number="2">\nAt night.', '"Cats"', "A study."):
        assert part in text
    assert any(note.startswith("emulated=document.pdf@") for note in reply.notes)


@row("messages.content.document")
def test_pdf_is_counted_as_it_is_sent(rig: Rig) -> None:
    messages = [user(pdf("All cats are grey."), words("What colour?"))]
    body = {"model": "deepseek-chat", "messages": messages}
    counted = rig.call("POST", "/v1/messages/count_tokens", body).body["input_tokens"]
    usage = rig.served(messages=messages).body["usage"]
    total = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert counted == total + usage["cache_creation_input_tokens"]


@row("messages.content.document")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("aGVsbG8=", "The PDF specified was not valid."),
        (pdf_base64("x", encrypt=True), "The PDF specified is password protected."),
        ("", "PDF cannot be empty."),
    ],
    ids=["broken", "encrypted", "empty"],
)
def test_pdf_that_cannot_be_read_is_refused(rig: Rig, data: str, message: str) -> None:
    block = document({"type": "base64", "media_type": "application/pdf", "data": data})
    reply = rig.ask(messages=[user(words("Look:"), block)])
    assert reply.status == 400
    assert reply.body["error"] == {
        "type": "invalid_request_error",
        "message": f"messages.0.content.1.document.source.base64.data: {message}",
    }


@row("messages.content.document")
def test_pdf_pages_are_pictures_where_set_and_seen(tmp_path: Any) -> None:
    from deepseek_messages.settings import DocumentsSettings

    options = {"documents": DocumentsSettings(pdf="images")}
    with running_rig(tmp_path, **options) as rig:
        reply = rig.ask(model="deepseek-flash", messages=[user(pdf("Seen."))])
        assert reply.seen is not None
        assert reply.seen.body is not None
        content = reply.seen.body["messages"][0]["content"]
        kinds = [part["type"] for part in content]
        assert "image_url" in kinds
        reply = rig.served(model="deepseek-v4-pro", messages=[user(pdf("Read."))])
        assert "Read." in sent_text(reply)


# --- citations ------------------------------------------------------------------------------------

FACTS = "The grass is green. The sky is blue."

SOURCES: dict[str, tuple[JSON, str, JSON]] = {
    "text": (
        plain(FACTS, title="Facts", **CITE),
        "The sky is blue [citation:2].",
        {
            "type": "char_location",
            "cited_text": "The sky is blue.",
            "document_index": 0,
            "document_title": "Facts",
            "start_char_index": 20,
            "end_char_index": 36,
            "file_id": None,
        },
    ),
    "pdf": (
        pdf("First page.", "The sky is blue.", **CITE),
        "The sky is blue [citation:2].",
        {
            "type": "page_location",
            "cited_text": "The sky is blue.",
            "document_index": 0,
            "document_title": None,
            "start_page_number": 2,
            "end_page_number": 3,
            "file_id": None,
        },
    ),
    "blocks": (
        document({"type": "content", "content": [words("one"), words("two")]}, **CITE),
        "Two comes after one [citation:1-2].",
        {
            "type": "content_block_location",
            "cited_text": "onetwo",
            "document_index": 0,
            "document_title": None,
            "start_block_index": 0,
            "end_block_index": 2,
            "file_id": None,
        },
    ),
    "search result": (
        {
            "type": "search_result",
            "source": "https://example.com/sky",
            "title": "Sky",
            "content": [words("The sky is blue.")],
        }
        | CITE,
        "The sky is blue [citation:1].",
        {
            "type": "search_result_location",
            "cited_text": "The sky is blue.",
            "search_result_index": 0,
            "source": "https://example.com/sky",
            "title": "Sky",
            "start_block_index": 0,
            "end_block_index": 1,
        },
    ),
}


@row("messages.content.document.citations")
@row("messages.content.search_result.citations")
@pytest.mark.parametrize(("block", "answer", "citation"), SOURCES.values(), ids=SOURCES)
def test_marks_become_citations(rig: Rig, block: JSON, answer: str, citation: JSON) -> None:
    messages = [user(block, words("What about the sky?"))]
    whole = rig.served(Text("Well. " + answer), messages=messages)
    assert "[passage 1] " in sent_text(whole)
    blocks = whole.body["content"]
    assert blocks[0] == {"type": "text", "text": "Well. "}
    assert blocks[1]["text"] == answer.partition(" [")[0] + "."
    assert blocks[1]["citations"] == [citation]
    assert "emulated=citations@messages.0.content.0" in whole.notes
    rig.double.expect([Text("Well. " + answer)])
    with (
        anthropic.Anthropic(api_key="sk-sdk", base_url=f"http://{rig.address}/anthropic") as sdk,
        sdk.messages.stream(model="deepseek-chat", max_tokens=100, messages=messages) as stream,
    ):
        read = stream.get_final_message().to_dict()
    assert read["content"] == blocks


@row("messages.content.text.citations")
def test_an_answer_that_cites_goes_back_as_the_model_wrote_it(rig: Rig) -> None:
    first = [user(plain(FACTS, **CITE), words("Colours?"))]
    answer = rig.served(Text("Grass is green [citation:1]. Sky too [citation:2]."), messages=first)
    content = answer.body["content"]
    messages = [*first, {"role": "assistant", "content": content}, user(words("And water?"))]
    sent = rig.served(messages=messages).sent["messages"]
    assert sent[1]["content"] == "Grass is green.[citation:1] Sky too.[citation:2]"
    assert sent[0] == answer.sent["messages"][0], "the prompt's beginning stays"


@row("messages.content.document.citations")
def test_citations_and_structured_output_are_refused_together(rig: Rig) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    reply = rig.ask(
        messages=[user(plain(FACTS, **CITE))],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert reply.status == 400
    assert "citations" in reply.body["error"]["message"]


def test_indexes_count_documents_that_cannot_be_cited_too(rig: Rig) -> None:
    messages = [user(plain("No."), plain(FACTS, **CITE), words("Sky?"))]
    reply = rig.served(Text("Blue [citation:2]."), messages=messages)
    (citation,) = reply.body["content"][0]["citations"]
    assert citation["document_index"] == 1


# --- context management ---------------------------------------------------------------------------


def tool_history(count: int) -> list[JSON]:
    messages: list[JSON] = [user(words("Go."))]
    for number in range(count):
        call = {"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"n": number}}
        found = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"Result {number}"}
        thought = {"type": "thinking", "thinking": f"Thought {number}", "signature": ""}
        messages += [{"role": "assistant", "content": [thought, call]}, user(found)]
    return messages


CLEAR = {
    "type": "clear_tool_uses_20250919",
    "trigger": {"type": "tool_uses", "value": 2},
    "keep": {"type": "tool_uses", "value": 1},
}


@row("context_management")
def test_old_results_are_cleared_and_told(rig: Rig) -> None:
    asked = {"messages": tool_history(3), "context_management": {"edits": [CLEAR]}}
    whole = rig.served(Text("Done."), **asked)
    assert "Result 0" not in sent_text(whole)
    assert "Result 1" not in sent_text(whole)
    assert "Result 2" in sent_text(whole)
    (edit,) = whole.body["context_management"]["applied_edits"]
    assert edit["type"] == CLEAR["type"]
    assert edit["cleared_tool_uses"] == 2
    assert "emulated=context_management@context_management" in whole.notes
    events = rig.served(Text("Done."), stream=True, **asked).events
    assert events[-2]["context_management"] == whole.body["context_management"]


@row("context_management")
def test_a_count_tells_the_size_before_clearing(rig: Rig) -> None:
    asked = {"model": "deepseek-chat", "messages": tool_history(3)}
    path = "/v1/messages/count_tokens"
    before = rig.call("POST", path, asked).body["input_tokens"]
    edited = rig.call("POST", path, asked | {"context_management": {"edits": [CLEAR]}}).body
    assert edited["context_management"] == {"original_input_tokens": before}


@row("context_management")
def test_what_claude_code_sends_changes_nothing(rig: Rig) -> None:
    keep = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    messages = tool_history(2)
    on = {"messages": messages, "thinking": {"type": "adaptive"}}
    plain_reply = rig.served(Text("Done."), **on)
    kept = rig.served(Text("Done."), context_management=keep, **on)
    assert kept.sent == plain_reply.sent
    assert kept.body["context_management"] == {"applied_edits": []}
    assert kept.notes == plain_reply.notes


@row("context_management")
def test_old_thinking_is_cleared(rig: Rig) -> None:
    messages = [*tool_history(1), {"role": "assistant", "content": [words("Done.")]}]
    messages += [user(words("Again.")), *tool_history(1)[1:]]
    edits = {"edits": [{"type": "clear_thinking_20251015"}]}
    reply = rig.served(messages=messages, thinking={"type": "adaptive"}, context_management=edits)
    thoughts = [m.get("reasoning_content") for m in reply.sent["messages"] if "tool_calls" in m]
    assert thoughts == ["", "Thought 0"]


# --- compaction -----------------------------------------------------------------------------------


@row("compaction")
@pytest.mark.parametrize("stream", [False, True])
def test_a_summary_is_one_compaction_block(rig: Rig, stream: bool) -> None:
    messages: list[Any] = tool_history(1)
    rig.double.expect([Think("Hm."), Text("We read one file.")])
    options: Any = {
        "model": "deepseek-reasoner",
        "max_tokens": 100,
        "messages": messages,
        "compaction": {"type": "summarize"},
    }
    with anthropic.Anthropic(api_key="sk-sdk", base_url=f"http://{rig.address}/anthropic") as sdk:
        if stream:
            with sdk.beta.messages.stream(**options) as events:
                message = events.get_final_message()
        else:
            message = sdk.beta.messages.create(**options)
    assert message.stop_reason == "compaction"
    (block,) = message.content
    assert block.type == "compaction"
    assert block.content == "We read one file."


@row("compaction")
def test_a_call_instead_of_a_summary_is_null(rig: Rig) -> None:
    tool = {"name": "Read", "input_schema": {"type": "object", "properties": {}}}
    reply = rig.served(
        Call("Read", "{}"), messages=tool_history(1), tools=[tool], compaction={"type": "summarize"}
    )
    assert reply.body["content"] == [
        {"type": "compaction", "content": None, "encrypted_content": None}
    ]


@row("messages.content.compaction")
def test_a_summary_stands_for_what_was_before_it(rig: Rig) -> None:
    summary = {"type": "compaction", "content": "We were brave."}
    messages = [
        user(words("Long ago")),
        {"role": "assistant", "content": [summary]},
        user(words("Go on")),
    ]
    text = sent_text(rig.served(messages=messages))
    assert "Long ago" not in text
    assert "We were brave." in text
    assert "Go on" in text
