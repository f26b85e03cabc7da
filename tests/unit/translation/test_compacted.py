"""The machine of an answer that begins with a summary: lawful however the calls' chunks are cut."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.compacted import Compacted
from deepseek_messages.translation.compaction import HEAD
from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.edits import NO_EDITS, Compact
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.parse import parse_request
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import to_chat
from deepseek_messages.translation.response import fold
from deepseek_messages.translation.rounds import Need
from deepseek_messages.translation.sse import encode_events
from deepseek_messages.wire.events import StreamEvent
from tests.support.fake import finish, text
from tests.support.sse import assert_lawful
from tests.support.translating import SEAL, model, tool

CUT = Fault(FaultKind.CUT, "cut")


def translation(**fields: Any) -> tuple[Translation, Notes]:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "m", "max_tokens": 9, "messages": messages, **fields}
    request = parse_request(msgspec.json.encode(body))
    notes = Notes()
    edits = replace(NO_EDITS, compact=Compact(), applied=())
    choice = Choice(model=model(), requested="m")
    return to_chat(request, choice, DEEPSEEK, notes, SEAL, edits=edits), notes


def machine(**fields: Any) -> Compacted:
    done, notes = translation(**fields)
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
