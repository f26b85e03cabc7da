"""Making one answer: the count in ``message_start``, the record, the upstream's call, closing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest

from deepseek_messages.service.admission import Admission
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.service.callers import Caller
from deepseek_messages.service.counting import CountResult
from deepseek_messages.service.documents import DocumentReader
from deepseek_messages.service.editing import ContextEditor
from deepseek_messages.settings import DocumentsSettings
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens
from deepseek_messages.translation.catalogue import PRO, Model
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.wire.events import MessageStart
from deepseek_messages.wire.messages import InputMessage, MessagesRequest, Metadata
from tests.support.answering import events_of
from tests.support.fake import FINISH, OPEN, SILENCE, FakeStep, FakeUpstream, finish, text

CUT = Fault(FaultKind.CUT, "cut")
CALLER = Caller("key-1", credential="sk-mine")


class Counted:
    """A counter that says what a test says, when it says so."""

    grace = 0.01

    def __init__(self, count: Callable[[], Awaitable[int | None]]) -> None:
        self.count = count

    def prompt(self, _call: UpstreamCall, _model: Model, _caller: Caller) -> Self:
        return self

    def known(self) -> int | None:
        return None

    async def count_output(self, text: str, _model: Model) -> int | None:
        return 100 + len(text)


async def forty_two() -> int:
    return 42


async def never() -> int:
    await asyncio.Event().wait()
    raise AssertionError


async def broken() -> int:
    raise CUT


class NoCounter:
    """Nothing here asks for context management."""

    async def count(self, *_: object, **__: object) -> CountResult:
        raise AssertionError


def answerer(
    upstream: FakeUpstream,
    count: Callable[[], Awaitable[int | None]] = forty_two,
    limit: int = 10,
) -> Answerer:
    return Answerer(
        upstream=upstream,
        seal=Seal(b"key"),
        counter=Counted(count),
        documents=DocumentReader(DocumentsSettings()),
        editor=ContextEditor(NoCounter()),
        admission=Admission(limit),
        message_id=lambda: "msg_1",
        default_model="deepseek-chat",
    )


def request(stream: bool = True, **more: Any) -> MessagesRequest:
    messages = [InputMessage(role="user", content="Hello")]
    return MessagesRequest(
        model="deepseek-chat", max_tokens=10, messages=messages, stream=stream, **more
    )


async def run(
    *script: FakeStep,
    count: Callable[[], Awaitable[int | None]] = forty_two,
    stream: bool = True,
) -> tuple[list[Any], RequestRecord]:
    record = RequestRecord("req_1")
    made = answerer(FakeUpstream(script), count)
    answer = await made.answer(request(stream), CALLER, record)
    return await events_of(answer), record


def start_of(events: list[Any]) -> MessageStart:
    assert isinstance(events[0], MessageStart)
    return events[0]


@pytest.mark.anyio
async def test_message_start_has_the_counted_size() -> None:
    events, _ = await run(text("a"), FINISH)
    assert start_of(events).message.usage.input_tokens == 42
    assert start_of(events).message.id == "msg_1"


@pytest.mark.anyio
@pytest.mark.parametrize("count", [never, broken])
async def test_a_count_that_is_late_or_fails_holds_nothing_up(
    count: Callable[[], Awaitable[int | None]],
) -> None:
    events, record = await run(text("a"), FINISH, count=count)
    assert start_of(events).message.usage.input_tokens == 0
    assert record.tokens == Tokens(input=7, output=3)


@pytest.mark.anyio
@pytest.mark.row("stop_sequences")
@pytest.mark.parametrize("stream", [True, False])
async def test_sr05_a_stop_sequence_closes_the_upstream_and_the_usage_is_counted(
    stream: bool,
) -> None:
    upstream = FakeUpstream([text("one EN"), text("D two"), SILENCE])
    record = RequestRecord("req_1")
    asked = request(stream, stop_sequences=["END"])
    answer = await answerer(upstream).answer(asked, CALLER, record)
    await answer.opened()
    message = await answer.whole()
    assert upstream.played[0].closed.is_set()
    await answer.aclose()

    assert upstream.played[0].call.request.stop is None
    assert [block.text for block in message.content] == ["one "]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert record.tokens == Tokens(input=42, output=100 + len("one END two"))
    assert record.notes == (
        "emulated=stop_sequences@stop_sequences",
        "estimated=usage@stop_sequences",
    )


@pytest.mark.anyio
async def test_whole_answers_are_not_counted() -> None:
    async def must_not() -> int:
        raise AssertionError

    _, record = await run(text("a"), FINISH, count=must_not, stream=False)
    assert record.outcome is Outcome.SERVED


@pytest.mark.anyio
async def test_the_record_of_a_served_answer() -> None:
    _, record = await run(text("a"), finish(prompt=10, cached=4, output=5))
    assert record.outcome is Outcome.SERVED
    assert record.tokens == Tokens(input=6, cache_read=4, output=5)
    assert (record.requested_model, record.model) == ("deepseek-chat", "deepseek-flash")
    assert record.upstream == "fake"
    assert record.first_event is not None


@pytest.mark.anyio
async def test_an_answer_that_says_nothing_has_no_first_event() -> None:
    events, record = await run(OPEN, CUT)
    assert events[-1].error.type == "api_error"
    assert record.first_event is None


@pytest.mark.anyio
async def test_text_before_a_fault_in_one_batch_is_a_first_event() -> None:
    class Together(FakeUpstream):
        async def open(self, call: UpstreamCall) -> Any:
            stream = await super().open(call)
            stream.read = _both  # type: ignore[method-assign]
            return stream

    async def _both() -> Any:
        return [text("kept"), finish("insufficient_system_resource")]

    record = RequestRecord("req_1")
    answer = await answerer(Together()).answer(request(), CALLER, record)
    events = await events_of(answer)
    assert events[-1].error.type == "overloaded_error"
    assert record.first_event is not None


@pytest.mark.anyio
async def test_the_record_of_a_broken_answer_has_the_tokens_seen_so_far() -> None:
    events, record = await run(text("a"), CUT)
    assert events[-1].error.type == "api_error"
    assert record.outcome is None  # the web layer says which fault it was
    assert record.tokens == Tokens(input=42, output=1)


@pytest.mark.anyio
async def test_text_that_came_before_a_fault_in_one_batch_is_kept() -> None:
    class Together(FakeUpstream):
        async def open(self, call: UpstreamCall) -> Any:
            stream = await super().open(call)
            original = stream.read

            async def read() -> Any:
                first = await original()
                return [*first, *(await original())]

            stream.read = read  # type: ignore[method-assign]
            return stream

    garbled = finish("insufficient_system_resource")
    record = RequestRecord("req_1")
    answer = await answerer(Together([text("kept"), garbled])).answer(request(), CALLER, record)
    events = await events_of(answer)
    assert any(getattr(getattr(e, "delta", None), "text", "") == "kept" for e in events)
    assert answer.fault is not None


@pytest.mark.anyio
async def test_a_whole_answer_is_folded_from_the_same_events() -> None:
    answer = await answerer(FakeUpstream([text("Hel"), text("lo"), FINISH])).answer(
        request(stream=False), CALLER, RequestRecord("req_1")
    )
    await answer.opened()
    message = await answer.whole()
    await answer.aclose()
    assert [block.text for block in message.content] == ["Hello"]  # type: ignore[union-attr]
    assert message.stop_reason == "end_turn"


@pytest.mark.anyio
async def test_a_whole_answer_that_breaks_raises_its_fault() -> None:
    answer = await answerer(FakeUpstream([text("Hel"), CUT])).answer(
        request(stream=False), CALLER, RequestRecord("req_1")
    )
    await answer.opened()
    with pytest.raises(Fault) as caught:
        await answer.whole()
    await answer.aclose()
    assert caught.value is CUT


@pytest.mark.anyio
async def test_the_upstream_gets_the_callers_key_and_an_opaque_session() -> None:
    upstream = FakeUpstream([FINISH])
    made = answerer(upstream)
    record = RequestRecord("req_1")
    by_header = await made.answer(request(), CALLER, record, session="s-1")
    again = await made.answer(request(), CALLER, record, session="s-1")
    other = await made.answer(request(), Caller("key-2"), record, session="s-1")
    by_user = await made.answer(request(metadata=Metadata(user_id="u-1")), CALLER, record)
    without = await made.answer(request(), CALLER, record)
    for answer in (by_header, again, other, by_user, without):
        await events_of(answer)
    calls = [played.call for played in upstream.played]
    assert calls[0].credential == "sk-mine"
    assert calls[0].session
    assert "s-1" not in calls[0].session
    assert calls[0].session == calls[1].session
    assert len({calls[0].session, calls[2].session, calls[3].session}) == 3
    assert calls[4].session is None


@pytest.mark.anyio
async def test_places_are_bounded_and_given_back() -> None:
    made = answerer(FakeUpstream([FINISH]), limit=1)
    first = await made.answer(request(), CALLER, RequestRecord("req_1"))
    with pytest.raises(Refusal) as caught:
        await made.answer(request(), CALLER, RequestRecord("req_2"))
    assert (caught.value.status, caught.value.retry_after) == (529, 1.0)
    await first.aclose()
    await first.aclose()  # gives its place back once
    await events_of(await made.answer(request(), CALLER, RequestRecord("req_3")))


@pytest.mark.anyio
async def test_a_refused_request_takes_no_place() -> None:
    made = answerer(FakeUpstream([FINISH], models=CUT), limit=1)
    for _ in range(3):
        with pytest.raises(Fault):
            await made.answer(request(), CALLER, RequestRecord("req_1"))


@pytest.mark.anyio
async def test_start_gives_message_start_once() -> None:
    answer = await answerer(FakeUpstream([text("a"), FINISH])).answer(
        request(), CALLER, RequestRecord("req_1")
    )
    await answer.opened()
    early = await answer.start()
    assert isinstance(early[0], MessageStart)
    assert await answer.start() == []
    assert not any(isinstance(event, MessageStart) for event in await answer.read())
    await answer.aclose()
    assert await answer.start() == []
    assert await answer.read() == []


@pytest.mark.anyio
async def test_the_model_is_what_the_upstream_serves() -> None:
    upstream = FakeUpstream([FINISH], models=(PRO,))
    record = RequestRecord("req_1")
    await events_of(await answerer(upstream).answer(request(), CALLER, record))
    assert record.model == "deepseek-v4-pro"
    assert upstream.played[0].call.request.model == "deepseek-v4-pro"


def test_a_caller_shows_no_credential() -> None:
    assert "sk-mine" not in repr(CALLER) + str(CALLER)
