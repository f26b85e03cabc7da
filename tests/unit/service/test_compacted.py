"""Answers that begin with a summary: what is recorded, what is closed, what may break when."""

from typing import Any

import pytest
from msgspec import Raw

from deepseek_messages.service.admission import Admission
from deepseek_messages.service.answer import Answer
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.service.counting import CountResult
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.settings import DocumentsSettings
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.wire.events import ErrorEvent, MessageDelta, MessageStart
from deepseek_messages.wire.messages import InputMessage, MessagesRequest
from tests.support.answering import events_of
from tests.support.fake import FINISH, SILENCE, FakeStep, FakeUpstream, finish, text

pytestmark = [pytest.mark.anyio, pytest.mark.row("context_management")]

CUT = Fault(FaultKind.CUT, "cut")
BROKEN = Fault(FaultKind.CONNECT, "gone")
PROMPT = 200_000
EDITS = Raw(b'{"edits": [{"type": "compact_20260112"}]}')
SUMMARY = [text("We "), text("talked."), finish(prompt=PROMPT, cached=150_000, output=9)]


class Told:
    """The size of every prompt."""

    def known(self) -> int | None:
        return None

    async def count(self) -> int | None:
        return PROMPT


class Sized:
    """Every prompt is large."""

    async def count(self, *_: object, **__: object) -> CountResult:
        return CountResult(tokens=PROMPT, exact=True, notes=Notes())

    def prompt(self, _call: UpstreamCall, _model: Model, _caller: Caller) -> "Told":
        return Told()

    async def count_output(self, _text: str, _model: Model) -> int | None:
        return None

    grace = 1.0


async def opened(upstream: FakeUpstream, record: RequestRecord, *, max_tokens: int = 100) -> Answer:
    sized = Sized()
    answers = Answerer(
        upstream=upstream,
        seal=Seal(b"key"),
        counter=sized,
        documents=DocumentReader(DocumentsSettings()),
        editor=ContextEditor(sized),
        admission=Admission(10),
        message_id=lambda: "msg_1",
        default_model="deepseek-chat",
    )
    request = MessagesRequest(
        model="deepseek-chat",
        max_tokens=max_tokens,
        messages=[InputMessage(role="user", content="Hello")],
        stream=True,
        context_management=EDITS,
    )
    answer = await answers.answer(request, NOBODY, record)
    await answer.opened()
    return answer


async def run(*scripts: list[FakeStep]) -> tuple[list[Any], RequestRecord, FakeUpstream]:
    upstream, record = FakeUpstream(*scripts), RequestRecord("req_1")
    return await events_of(await opened(upstream, record)), record, upstream


async def test_the_record_has_the_tokens_of_all_calls() -> None:
    events, record, upstream = await run(SUMMARY, [text("Now."), FINISH])
    assert record.outcome is Outcome.SERVED
    assert record.tokens == Tokens(input=50_007, cache_read=150_000, output=12)
    (end,) = [event for event in events if isinstance(event, MessageDelta)]
    assert (end.usage.input_tokens, end.usage.output_tokens) == (7, 3)
    assert [played.closed.is_set() for played in upstream.played] == [True, True]
    assert upstream.played[0].call.request.max_tokens == 20_000


async def test_message_start_may_go_out_before_the_summary_is_there() -> None:
    record = RequestRecord("req_1")
    answer = await opened(FakeUpstream(SUMMARY, [text("Now."), FINISH]), record)
    early = await answer.start()
    assert isinstance(early[0], MessageStart)
    assert early[0].message.usage.input_tokens == PROMPT
    events = await events_of(answer)
    assert not any(isinstance(event, MessageStart) for event in events)
    assert await answer.start() == []
    await answer.aclose()


async def test_a_client_that_leaves_during_the_summary_closes_it() -> None:
    upstream, record = FakeUpstream([text("We talked. " * 30), SILENCE]), RequestRecord("req_1")
    answer = await opened(upstream, record)
    await answer.read()
    await answer.aclose()
    assert upstream.played[0].closed.is_set()
    assert len(upstream.played) == 1
    assert record.tokens is not None
    assert (record.tokens.input, record.tokens.output) == (PROMPT, 99)


async def test_an_answer_that_breaks_is_recorded_with_its_summary() -> None:
    events, record, _ = await run(SUMMARY, [text("Now this. " * 10), CUT])
    assert isinstance(events[-1], ErrorEvent)
    assert record.tokens is not None
    assert record.tokens.cache_read == 150_000
    assert record.tokens.output == 9 + 30


async def test_a_summary_that_breaks_before_its_first_word_is_none() -> None:
    events, record, upstream = await run([CUT], [text("Now."), FINISH])
    assert [type(event).__name__ for event in events] == [
        "MessageStart",
        *("ContentBlockStart", "ContentBlockDelta", "ContentBlockStop") * 2,
        "MessageDelta",
        "MessageStop",
    ]
    assert record.outcome is Outcome.SERVED
    assert record.tokens == Tokens(input=7, output=3)
    last = upstream.played[1].call.request.messages[-1]
    assert last.content == "Hello"


async def test_when_the_answer_cannot_be_opened_either_it_is_an_error() -> None:
    events, record, _ = await run([CUT], [BROKEN])
    assert [type(event).__name__ for event in events] == [
        "MessageStart", "ContentBlockStart", "ContentBlockDelta", "ContentBlockStop", "ErrorEvent",
    ]  # fmt: skip
    assert record.outcome is None


async def test_a_summary_gets_no_more_room_than_the_window_has() -> None:
    upstream = FakeUpstream(
        SUMMARY,
        [text("Now."), FINISH],
        models=[Model(id="m", display_name="M", context_window=210_000, max_output_tokens=50_000)],
    )
    answer = await opened(upstream, RequestRecord("req_1"))
    await answer.aclose()
    assert upstream.played[0].call.request.max_tokens == 8_000
