"""Every fault at every stage of a chat answer: what came before is kept, and the end is told.

A cell is a stage (what the server has sent) and a fault (what it does then): ``cells``. Deadlines
are long, and a server that stays silent moves the clock on (``support.clock``).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.events import ErrorEvent, MessageStop, StreamEvent
from tests.faults.cells import (
    BEFORE,
    END,
    FAULTS,
    INVALID_UTF8,
    STAGES,
    WHOLE,
    Outcome,
    ending,
    played,
)
from tests.faults.chat_bytes import (
    DONE,
    USAGE,
    call,
    connected,
    delta,
    frame,
    text_of,
    tool_delta,
    whole,
)
from tests.support.clock import SkippingLoop
from tests.support.servers import (
    Cut,
    Gate,
    ReadRequest,
    Reset,
    Stall,
    Step,
    Wait,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
    sse_head,
)

DEADLINES = {"first_byte_timeout": 20.0, "idle_timeout": 20.0}

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """A loop whose clock can be moved on."""
    return "asyncio", {"loop_factory": SkippingLoop}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_streamed_answer_ends_as_documented(stage: str, fault: str) -> None:
    sent, text, _ = STAGES[stage]
    chunks, end = await read_to_end(played(sent, FAULTS[fault][0]), stream=True)
    assert (text_of(chunks), end) == (text, ending(stage, fault))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_the_client_gets_a_lawful_end_or_one_error(stage: str, fault: str) -> None:
    sent, _, whole_answer = STAGES[stage]
    chunks, end = await read_to_end(played(sent, FAULTS[fault][0]), stream=True)
    events = translate(chunks, end)
    errors = [event for event in events if isinstance(event, ErrorEvent)]
    stops = [event for event in events if isinstance(event, MessageStop)]
    assert len(errors) + len(stops) == 1
    assert events[-1] in (*errors, *stops)
    if not whole_answer:
        assert not stops


def translate(chunks: list[ChatChunk], end: Outcome) -> list[StreamEvent]:
    plan = ReplyPlan(model="m", tools=frozenset({"get_weather"}))
    stream = MessageStream(plan, "msg_1", prompt_tokens=7, seal=None)
    events: list[StreamEvent] = []
    try:
        for each in chunks:
            events += stream.feed(each)
        if isinstance(end, FaultKind):
            return events + stream.fail(Fault(end, "broken"))
        return events + stream.finish()
    except Fault as fault:
        return events + stream.fail(fault)


async def read_to_end(script: Sequence[Step], *, stream: bool) -> tuple[list[ChatChunk], Outcome]:
    """The chunks that came, and how it ended."""
    chunks: list[ChatChunk] = []
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SkippingLoop)
    with raw_upstream(list(script), on_silence=loop.on_silence) as server:
        async with connected(server.url, **DEADLINES) as upstream:
            try:
                opened = await upstream.open(call(stream=stream))
                while batch := await opened.read():
                    chunks += batch
            except Fault as fault:
                if server.connections:
                    await server.connection().done.opened()
                return chunks, fault.kind
            return chunks, END


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", BEFORE)
async def test_a_fault_before_the_answer_is_told(fault: str, stream: bool) -> None:
    steps, kind = BEFORE[fault]
    assert await read_to_end(steps, stream=stream) == ([], kind)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (400, 400),
        (401, 401),
        (402, 402),
        (403, 403),
        (404, 502),  # no explanation: the address is wrong, not the caller's model
        (408, 408),
        (413, 413),
        (422, 400),
        (429, 429),
        (500, 500),
        (502, 502),
        (503, 529),
        (504, 504),
        (529, 529),
        (418, 400),
        (599, 502),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error":', b"\xff\xfe"])
async def test_an_error_status_is_told_whatever_its_body(
    status: int, ours: int, body: bytes, stream: bool
) -> None:
    with raw_upstream([ReadRequest(), answer(body, status)]) as server:
        async with connected(server.url) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call(stream=stream, credential="sk-theirs"))
    assert (caught.value.kind, caught.value.status) == (FaultKind.REFUSED, ours)
    assert caught.value.upstream_status == status


@pytest.mark.parametrize("status", [201, 204, 206])
async def test_a_success_that_is_no_answer_is_garbage(status: int) -> None:
    assert await read_to_end([ReadRequest(), answer(whole(), status)], stream=False) == (
        [],
        FaultKind.GARBAGE,
    )


@pytest.mark.parametrize("fault", WHOLE)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream asked"])
async def test_a_whole_answer_ends_as_documented(fault: str, stream: bool) -> None:
    steps, text, outcome = WHOLE[fault]
    chunks, end = await read_to_end([ReadRequest(), *steps], stream=stream)
    assert (text_of(chunks), end) == (text, outcome)
    wanted = MessageStop if text else ErrorEvent
    assert isinstance(translate(chunks, end)[-1], wanted)


async def test_broken_http_framing_in_mid_answer_is_found_at_once() -> None:
    gate = Gate()
    script = [ReadRequest(), chunked_sse_head(), chunk(delta(content="Hi")), Wait(gate), b"zz\r\n"]
    with raw_upstream([*script, Stall()]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call())
            assert text_of(list(await stream.read())) == "Hi"
            gate.set()
            with pytest.raises(Fault) as caught:
                await stream.read()
            await server.connection().done.opened()
    assert caught.value.kind is FaultKind.GARBAGE


async def test_broken_http_framing_at_once_is_garbage() -> None:
    script = [ReadRequest(), chunked_sse_head() + b"zz\r\n", Stall()]
    assert await read_to_end(script, stream=True) == ([], FaultKind.GARBAGE)


async def test_a_body_over_the_limit_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.upstreams.chat.stream.MAX_ANSWER_BYTES", 1000)
    script = [ReadRequest(), answer(whole("y" * 2000))]
    assert await read_to_end(script, stream=False) == ([], FaultKind.GARBAGE)


# --- odd content that is no fault of the transport ------------------------------------------------

HI, LAST = delta(content="Hi"), delta("stop", USAGE, content="") + DONE
ODD: dict[str, Callable[[], bytes]] = {
    "a second answer after the end": lambda: HI + LAST + HI + LAST,
    "an index jump": lambda: HI + tool_delta("{}", first=True, index=7) + LAST,
    "a duplicate id": lambda: HI + tool_delta("{}", first=True) * 2 + LAST,
    "NaN usage": lambda: HI + LAST.replace(b"7", b"NaN"),
    "negative usage": lambda: HI + LAST.replace(b"7", b"-7"),
    "huge usage": lambda: HI + LAST.replace(b"7", b"9" * 400),
    "invalid UTF-8": lambda: HI + INVALID_UTF8 + LAST,
    "another finish reason": lambda: HI + LAST.replace(b'"stop"', b'"eaten by a bear"'),
    "a null choice list": lambda: frame({"choices": None}) + HI + LAST,
    "blank data": lambda: b"data:\n\ndata: \n\n" + HI + LAST,
    "CRLF line ends": lambda: (HI + LAST).replace(b"\n", b"\r\n"),
    "events with names": lambda: b"event: message\nid: 1\n" + HI + LAST,
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("head", [chunked_sse_head, sse_head], ids=["chunked", "until close"])
async def test_an_odd_stream_still_ends_lawfully(odd: str, head: Callable[[], bytes]) -> None:
    data = ODD[odd]()
    body = chunk(data) + chunk(b"") if head is chunked_sse_head else data
    chunks, end = await read_to_end([ReadRequest(), head(), body], stream=True)
    assert (text_of(chunks)[:2], end) == ("Hi", END)
    events = translate(chunks, end)
    assert isinstance(events[-1], MessageStop | ErrorEvent)


@pytest.mark.parametrize("ending", [Cut(), Reset()])
async def test_a_body_without_length_that_is_cut_has_no_end_marker(ending: Step) -> None:
    """Here a cut cannot be told from an end; the missing finish reason tells the reader."""
    chunks, end = await read_to_end(
        [ReadRequest(), sse_head(), delta(content="Hi"), ending], stream=True
    )
    assert isinstance(translate(chunks, end)[-1], ErrorEvent)
