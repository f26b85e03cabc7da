"""Every fault at every stage of a chat answer: what came before is kept, and the end is told.

A cell is a stage (what the server has sent) and a fault (what it does then). Deadlines are
short; nothing here measures time.
"""

import gzip
from collections.abc import Callable, Sequence

import pytest

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.limits import MAX_FRAME_BYTES
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.stream import MessageStream
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.events import ErrorEvent, MessageStop, StreamEvent
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

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

SHORT = {"first_byte_timeout": 0.2, "idle_timeout": 0.2}
END = "end"  # no fault: the body ended, and the reader of the chunks judges
Outcome = FaultKind | str

FINISH = delta("stop", content="")
USAGE_FRAME = frame({"choices": [], "usage": USAGE})

# The stage's name, the frames sent so far, the text they carry, whether the answer has its end.
STAGES: dict[str, tuple[bytes, str, bool]] = {
    "after headers": (b"", "", False),
    "inside the first frame": (delta(content="never whole")[:25], "", False),
    "mid text": (delta(role="assistant", content="") + delta(content="Hel"), "Hel", False),
    "mid thinking": (delta(reasoning_content="Let me"), "Let me", False),
    "half a tool call": (tool_delta('{"ci', first=True), '{"ci', False),
    "after finish, before usage": (delta(content="Hi") + FINISH, "Hi", True),
    "after usage, before [DONE]": (delta(content="Hi") + FINISH + USAGE_FRAME, "Hi", True),
}

INVALID_UTF8 = b'data: {"choices":[{"index":0,"delta":{"content":"a\xff"}}]}\n\n'
OVERSIZED = [b"data: "] + [b"x" * 1_048_576] * (MAX_FRAME_BYTES // 1_048_576 + 1)

# The fault's name, what the server does, how the read ends.
FAULTS: dict[str, tuple[Sequence[Step], Outcome]] = {
    "reset": ([Reset()], FaultKind.CUT),
    "clean close": ([Cut()], FaultKind.CUT),
    "body ends": ([chunk(b"")], END),
    "silence": ([Stall()], FaultKind.TIMEOUT),
    "bytes that are no frames": ([chunk(b"\x00\x01garbage\n\n"), chunk(b"")], END),
    "a frame that is not JSON": ([chunk(b"\n\ndata: nonsense\n\n"), Stall()], FaultKind.GARBAGE),
    "truncated JSON": ([chunk(b'\n\ndata: {"choices":[{\n\n'), Stall()], FaultKind.GARBAGE),
    "JSON of another shape": ([chunk(b"\n\ndata: [1,2]\n\n"), Stall()], FaultKind.GARBAGE),
    "a frame over the limit": ([*map(chunk, OVERSIZED), Stall()], FaultKind.GARBAGE),
    "[DONE]": ([chunk(b"\n\n" + DONE), Stall()], END),
    "a trickle": ([*(chunk(bytes([each])) for each in b"\n\n" + DONE), Stall()], END),
}


# Where the stage changes the outcome: a frame cut by other bytes is no JSON, and a body that
# ends before anything came is no answer.
EXCEPTIONS: dict[tuple[str, str], Outcome] = {
    ("inside the first frame", "[DONE]"): FaultKind.GARBAGE,
    ("inside the first frame", "a trickle"): FaultKind.GARBAGE,
    ("inside the first frame", "bytes that are no frames"): FaultKind.GARBAGE,
    ("after headers", "body ends"): FaultKind.GARBAGE,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_streamed_answer_ends_as_documented(stage: str, fault: str) -> None:
    sent, text, _ = STAGES[stage]
    steps, outcome = FAULTS[fault]
    script = [ReadRequest(), chunked_sse_head(), *([chunk(sent)] if sent else []), *steps]
    chunks, end = await read_to_end(script, stream=True)
    assert (text_of(chunks), end) == (text, EXCEPTIONS.get((stage, fault), outcome))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
async def test_the_client_gets_a_lawful_end_or_one_error(stage: str, fault: str) -> None:
    sent, _, whole_answer = STAGES[stage]
    steps, _ = FAULTS[fault]
    script = [ReadRequest(), chunked_sse_head(), *([chunk(sent)] if sent else []), *steps]
    chunks, end = await read_to_end(script, stream=True)
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
    with raw_upstream(list(script)) as server:
        async with connected(server.url, **SHORT) as upstream:
            try:
                opened = await upstream.open(call(stream=stream))
                while batch := await opened.read():
                    chunks += batch
            except Fault as fault:
                if server.connections:
                    await server.connection().done.opened()
                return chunks, fault.kind
            return chunks, END


# --- before and inside the headers ----------------------------------------------------------------

HEAD = chunked_sse_head()
BEFORE: dict[str, tuple[Sequence[Step], FaultKind]] = {
    "reset at once": ([Reset()], FaultKind.CUT),
    "close at once": ([Cut()], FaultKind.CUT),
    "reset before headers": ([ReadRequest(), Reset()], FaultKind.CUT),
    "close before headers": ([ReadRequest(), Cut()], FaultKind.CUT),
    "silence before headers": ([ReadRequest(), Stall()], FaultKind.TIMEOUT),
    "no HTTP": ([ReadRequest(), b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Stall()], FaultKind.GARBAGE),
    "reset inside headers": ([ReadRequest(), HEAD[:30], Reset()], FaultKind.CUT),
    "close inside headers": ([ReadRequest(), HEAD[:30], Cut()], FaultKind.CUT),
    "silence inside headers": ([ReadRequest(), HEAD[:30], Stall()], FaultKind.TIMEOUT),
    "endless headers": (
        [ReadRequest(), b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 100_000, Stall()],
        FaultKind.GARBAGE,
    ),
}


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
                await upstream.open(call(stream=stream))
    assert (caught.value.kind, caught.value.status) == (FaultKind.REFUSED, ours)
    assert caught.value.upstream_status == status


@pytest.mark.parametrize("status", [201, 204, 206])
async def test_a_success_that_is_no_answer_is_garbage(status: int) -> None:
    assert await read_to_end([ReadRequest(), answer(whole(), status)], stream=False) == (
        [],
        FaultKind.GARBAGE,
    )


# --- whole answers --------------------------------------------------------------------------------

JSON_HEAD = chunked_sse_head({"content-type": "application/json"})
BODY = whole()
WHOLE: dict[str, tuple[Sequence[Step], str, Outcome]] = {
    "whole": ([answer(BODY)], "Hello!", END),
    "reset after headers": ([JSON_HEAD, Reset()], "", FaultKind.CUT),
    "close after headers": ([JSON_HEAD, Cut()], "", FaultKind.CUT),
    "silence after headers": ([JSON_HEAD, Stall()], "", FaultKind.TIMEOUT),
    "silence after a blank line": ([JSON_HEAD, chunk(b"\n"), Stall()], "", FaultKind.TIMEOUT),
    "reset in the middle": ([JSON_HEAD, chunk(BODY[:40]), Reset()], "", FaultKind.CUT),
    "close in the middle": ([JSON_HEAD, chunk(BODY[:40]), Cut()], "", FaultKind.CUT),
    "silence in the middle": ([JSON_HEAD, chunk(BODY[:40]), Stall()], "", FaultKind.TIMEOUT),
    "length not reached": ([answer(BODY)[:-10], Cut()], "", FaultKind.CUT),
    "truncated JSON": ([answer(BODY[:-10])], "", FaultKind.GARBAGE),
    "an empty body": ([answer(b"")], "", FaultKind.GARBAGE),
    "only blanks": ([answer(b"\n\n\n")], "", FaultKind.GARBAGE),
    "HTML with 200": ([answer(b"<!doctype html><p>hi")], "", FaultKind.GARBAGE),
    "plain text with 200": ([answer(b"upstream connect error")], "", END),
    "JSON that is no object": ([answer(b"[1]")], "", FaultKind.GARBAGE),
    "an error with 200": ([answer(b'{"error":{"message":"boom"}}')], "", END),
    "no choices": ([answer(b'{"choices":[]}')], "", END),
    "another shape": ([answer(b'{"hello":1}')], "", END),
    "deep nesting": ([answer(b'{"choices":' + b"[" * 100_000)], "", FaultKind.GARBAGE),
    "invalid UTF-8": ([answer(BODY.replace(b"Hello", b"Hell\xff"))], "Hell\ufffd!", END),
    "gzip": ([answer(gzip.compress(BODY), headers={"content-encoding": "gzip"})], "Hello!", END),
    "gzip that is none": (
        [answer(BODY, headers={"content-encoding": "gzip"})],
        "",
        FaultKind.GARBAGE,
    ),
    "NaN usage": ([answer(BODY.replace(b"7", b"NaN"))], "Hello!", END),
    "negative usage": ([answer(BODY.replace(b"7", b"-7"))], "Hello!", END),
}


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
    monkeypatch.setattr("deepseek_messages.upstreams.chat_stream.MAX_ANSWER_BYTES", 1000)
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
