"""The machine of an answer that begins with a summary: lawful however the calls' chunks are cut."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.hosted.compacted import Compacted
from deepseek_messages.translation.hosted.rounds import Need
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted, Outcome
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.compaction import HEAD
from deepseek_messages.translation.request.edits import NO_EDITS, Compact
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.request.summary import INSTRUCTION
from deepseek_messages.wire.chat import (
    ChatChunk,
    ChatDelta,
    ChatUsage,
    ChunkChoice,
    FunctionDelta,
    ToolCallDelta,
)
from deepseek_messages.wire.content import OutputThinkingBlock
from deepseek_messages.wire.events import MessageDelta, MessageStart, StreamEvent
from tests.support.fake import finish, text
from tests.support.sse import assert_lawful
from tests.support.translating import SEAL, model, tool

CUT = Fault(FaultKind.CUT, "cut")


def translation(hosted: Hosted = NOTHING_HOSTED, **fields: Any) -> tuple[Translation, Notes]:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, **fields}
    request = parse_request(msgspec.json.encode(body))
    notes = Notes()
    edits = replace(NO_EDITS, compact=Compact(), applied=())
    choice = Choice(model=model(), requested="m")
    return to_chat(request, choice, DEEPSEEK, notes, SEAL, edits=edits, hosted=hosted), notes


def machine(notes: Notes | None = None, **fields: Any) -> Compacted:
    """The machine for a request with ``fields``; what it notes goes into ``notes``."""
    done, made = translation(**fields)
    notes = made if notes is None else notes
    assert done.rounds is not None
    assert done.rounds.follow is not None
    return Compacted(
        done.chat, done.plan, done.rounds.follow, "msg_1", notes=notes, prompt_tokens=5, seal=SEAL
    )


def call(running: Compacted, words: str, size: int, reason: str = "stop") -> list[StreamEvent]:
    """The events of one call that writes ``words`` in pieces of ``size``."""
    events: list[StreamEvent] = []
    for start in range(0, len(words), size):
        events += running.feed(text(words[start : start + size]))
    events += running.feed(finish(reason))
    return events + running.finish()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_pieces_do_not_matter(size: int) -> None:
    running = machine()
    events = call(running, " We talked. ", size)
    assert running.need is Need.CALL
    assert [message.content for message in running.chat.messages] == [f"{HEAD}We talked."]
    events += call(running, "Now this.", size)
    assert running.need is Need.ENDED
    assert_lawful(encode_events(events))
    message = fold(events)
    summary, answer = (msgspec.to_builtins(block) for block in message.content)
    assert summary["content"] == "We talked."
    assert answer["text"] == "Now this."
    assert message.stop_reason == "end_turn"
    assert message.usage.iterations is not msgspec.UNSET
    assert [each.type for each in message.usage.iterations] == ["compaction", "message"]


@pytest.mark.parametrize("words", ["", "We tal"])
def test_a_summary_that_breaks_anywhere_leaves_a_lawful_answer(words: str) -> None:
    running = machine()
    events = running.feed(text(words)) if words else []
    assert running.retry(CUT)
    events += call(running, "Now this.", 4)
    assert_lawful(encode_events(events))
    assert [message.content for message in running.chat.messages] == ["Hello"]
    assert msgspec.to_builtins(fold(events).content[0])["content"] is None


@pytest.mark.parametrize("summarised", [True, False])
def test_a_failure_is_one_error_at_any_time(summarised: bool) -> None:
    running = machine()
    events = running.start()
    if summarised:
        events += call(running, "We talked.", 5)
    events += running.feed(text("Half of a"))
    assert not summarised or not running.retry(CUT)
    events += running.fail(CUT)
    assert assert_lawful(encode_events(events))[-1]["type"] == "error"
    assert running.so_far() is not None or not summarised
    assert running.summary_usage is not None


def test_what_can_be_refused_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(Refusal, match="not found in provided tools"):
        translation(tools=[tool()], tool_choice={"type": "tool", "name": "nobody"})


def test_the_summary_is_asked_for_first() -> None:
    running = machine(max_tokens=9)
    assert [message.content for message in running.chat.messages] == [f"Hello\n\n{INSTRUCTION}"]
    assert running.reply.compaction
    assert running.waiting == []
    assert [type(event) for event in running.start()] == [MessageStart]
    assert running.start() == []
    assert not running.complete


def test_the_answer_has_the_message_id_and_starts_once() -> None:
    running = machine()
    events = running.start() + call(running, "We talked.", 9)
    assert not running.complete
    assert not running.reply.compaction
    assert running.start() == []
    running.feed(text("Now this."))
    running.feed(finish())
    assert running.complete
    events += running.finish()
    assert isinstance(events[0], MessageStart)
    assert events[0].message.id == "msg_1"
    assert sum(isinstance(event, MessageStart) for event in events) == 1


def test_reasoning_of_the_answer_is_sealed() -> None:
    running = machine(thinking={"type": "adaptive"})
    events = call(running, "We talked.", 9)
    thought = ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(reasoning_content="Hm."))])
    events += running.feed(thought)
    events += call(running, "Now this.", 9)
    (block,) = (each for each in fold(events).content if isinstance(each, OutputThinkingBlock))
    assert SEAL.open(block.signature) == "Hm."


def test_what_an_upstream_does_not_tell_is_counted_for_both_calls() -> None:
    running = machine()
    silent = ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(), finish_reason="stop")])
    running.feed(text("We talked."))
    running.feed(silent)
    running.finish(ChatUsage(prompt_tokens=70, completion_tokens=30))
    assert running.summary_usage is not None
    assert (running.summary_usage.input_tokens, running.summary_usage.output_tokens) == (70, 30)
    running.feed(text("Now this."))
    running.feed(silent)
    events = running.finish(ChatUsage(prompt_tokens=7, completion_tokens=3))
    (end,) = (event for event in events if isinstance(event, MessageDelta))
    assert (end.usage.input_tokens, end.usage.output_tokens) == (7, 3)
    assert end.usage.iterations is not msgspec.UNSET
    assert [each.input_tokens for each in end.usage.iterations] == [70, 7]


@pytest.mark.parametrize("broken", [True, False])
def test_a_summary_that_was_lost_is_noted(broken: bool) -> None:
    notes = Notes()
    running = machine(notes)
    if broken:
        running.retry(CUT)
    else:
        call(running, "We talked.", 9)
    lost = ["ignored=context_management.compact@context_management"]
    assert [str(note) for note in notes.entries] == (lost if broken else [])


def called(name: str, arguments: str) -> ChatChunk:
    function = FunctionDelta(name, arguments)
    delta = ChatDelta(tool_calls=[ToolCallDelta(0, "call_1", function)])
    return ChatChunk(choices=[ChunkChoice(index=0, delta=delta)])


def test_tools_of_this_server_run_in_the_answer() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    running = machine(tools=[search], hosted=Hosted(web_search=True))
    events = call(running, "We talked.", 9)
    events += running.feed(called("web_search", '{"query": "q"}'))
    events += running.feed(finish("tool_calls"))
    events += running.finish()
    assert running.need is Need.TOOLS
    assert [each.arguments for each in running.waiting] == [{"query": "q"}]
    events += running.results([Outcome(Raw(b"[]"))])
    assert running.need is Need.CALL
    assert running.waiting == []
    events += call(running, "Now this.", 9)
    assert_lawful(encode_events(events))
    assert "web_search_tool_result" in encode_events(events).decode()


def test_an_answer_that_calls_no_tool_although_it_must_is_asked_for_again() -> None:
    running = machine(tools=[tool()], tool_choice={"type": "any"})
    call(running, "We talked.", 9)
    running.feed(text("No."))
    assert not running.retry(CUT)
    assert running.retry(Fault(FaultKind.GARBAGE, "no call"))
    assert (
        running.chat.messages[-1].content
        == f"{HEAD}We talked.\n\nCall the tool f now. Do not answer in text."
    )
