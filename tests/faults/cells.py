"""The tables of the fault matrices: how far an answer has come, and what the server does then."""

import gzip
import zlib
from collections.abc import Sequence

from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.translation.limits import MAX_FRAME_BYTES
from tests.faults.chat_bytes import DONE, USAGE, delta, frame, tool_delta, whole
from tests.support.client import HELLO, STREAM
from tests.support.servers import (
    Cut,
    ReadRequest,
    Reset,
    Stall,
    Step,
    Trickle,
    answer,
    chunk,
    chunked_sse_head,
)

# How a client asks.
WAYS = {"stream": STREAM, "whole": HELLO}

END = "end"  # no fault: the body ended, and the reader of the chunks judges
Outcome = FaultKind | str

# --- within a streamed answer ---------------------------------------------------------------------

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
    "comments without end": ([Trickle(chunk(b"\n: alive\n\n"))], FaultKind.TIMEOUT),
    "a frame without end": ([chunk(b"\n\ndata: "), Trickle(chunk(b"x"))], FaultKind.TIMEOUT),
    "a trickle": ([*(chunk(bytes([each])) for each in b"\n\n" + DONE), Stall()], END),
}

# --- within what a streamed answer holds ----------------------------------------------------------

# The fault's name, the frames, and which fault they are by themselves. The end of the body follows.
CONTENT: dict[str, tuple[bytes, Outcome]] = {
    "invalid UTF-8": (INVALID_UTF8, END),
    "an HTML page": (b"<!doctype html><p>502\n\n", END),
    "NaN usage": (
        b'data: {"choices":[],"usage":{"prompt_tokens":NaN,"completion_tokens":NaN}}\n\n',
        END,
    ),
    "negative usage": (frame({"choices": [], "usage": dict.fromkeys(USAGE, -7)}), END),
    "huge usage": (b'data: {"choices":[],"usage":{"prompt_tokens":%b}}\n\n' % (b"9" * 400), END),
    "usage of another shape": (frame({"choices": [], "usage": ["7"]}), END),
    "an index that jumps": (tool_delta("{}", first=True, index=7), END),
    "an index below zero": (tool_delta("{}", first=True, index=-1), END),
    "arguments of no call": (tool_delta("{}", index=3), END),
    "another choice": (delta(content="x").replace(b'"index": 0', b'"index": 9'), END),
    "a duplicate id": (tool_delta("{}", first=True) * 2, END),
    "no list of choices": (frame({"choices": None}), END),
    "content of another shape": (delta(content=[7]), END),
    "nesting": (b'data: {"choices":%b}\n\n' % (b"[" * 5_000 + b"]" * 5_000), FaultKind.GARBAGE),
    "an error": (frame({"error": {"message": "boom"}}), FaultKind.REPORTED),
    "an error of one word": (frame({"error": "boom"}), FaultKind.REPORTED),
    "a second answer after the end": (DONE + delta(content="Again") + FINISH, END),
}


def content_told(stage: str, fault: str) -> FaultKind | None:
    """As ``fault_told``."""
    own = CONTENT[fault][1]
    if stage == "inside the first frame" or (stage, fault) == ("after headers", "an HTML page"):
        return FaultKind.GARBAGE
    if isinstance(own, FaultKind):
        return own
    return None if STAGES[stage][2] else FaultKind.CUT


# --- compressed -----------------------------------------------------------------------------------

# What comes behind as much as the compressor has given.
PACKED: dict[str, tuple[Sequence[Step], FaultKind]] = {
    "reset": ([Reset()], FaultKind.CUT),
    "clean close": ([Cut()], FaultKind.CUT),
    "body ends": ([chunk(b"")], FaultKind.GARBAGE),
    "silence": ([Stall()], FaultKind.TIMEOUT),
    "bytes that do not fit": ([chunk(b"\xff" * 100), Stall()], FaultKind.GARBAGE),
}


def packed(sent: bytes, steps: Sequence[Step]) -> list[Step]:
    """As ``played``, in gzip."""
    press = zlib.compressobj(wbits=31)
    data = press.compress(sent) + press.flush(zlib.Z_SYNC_FLUSH)
    head = chunked_sse_head({"content-encoding": "gzip"})
    return [ReadRequest(), head, chunk(data), *steps]


# Where the stage changes the outcome: a frame cut by other bytes is no JSON, and a body that
# ends before anything came is no answer.
EXCEPTIONS: dict[tuple[str, str], Outcome] = {
    ("inside the first frame", "[DONE]"): FaultKind.GARBAGE,
    ("inside the first frame", "a trickle"): FaultKind.GARBAGE,
    ("inside the first frame", "bytes that are no frames"): FaultKind.GARBAGE,
    ("inside the first frame", "comments without end"): FaultKind.GARBAGE,
    ("inside the first frame", "a frame without end"): FaultKind.GARBAGE,
    ("after headers", "body ends"): FaultKind.GARBAGE,
}


def ending(stage: str, fault: str) -> Outcome:
    """How the read ends."""
    return EXCEPTIONS.get((stage, fault), FAULTS[fault][1])


def fault_told(stage: str, fault: str) -> FaultKind | None:
    """Which fault the client hears of; ``None``: the answer is whole."""
    ends = ending(stage, fault)
    if isinstance(ends, FaultKind):
        return ends
    return None if STAGES[stage][2] else FaultKind.CUT


def played(sent: bytes, steps: Sequence[Step]) -> list[Step]:
    """A streamed answer that has come so far, and then this."""
    return [ReadRequest(), chunked_sse_head(), *([chunk(sent)] if sent else []), *steps]


def at_once(steps: Sequence[Step], fault: FaultKind | None) -> Sequence[Step]:
    """The same without a silence, but for a ``fault`` that is one: where somebody is asked next,
    the clock that moves on would be his, too.
    """
    if fault is FaultKind.TIMEOUT:
        return steps
    return [Cut() if isinstance(step, Stall) else step for step in steps]


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
    "a header without end": (
        [ReadRequest(), HEAD[:30], Trickle(b"x")],
        FaultKind.TIMEOUT,
    ),
    "answers before the answer": (
        [ReadRequest(), Trickle(b"HTTP/1.1 100 Continue\r\n\r\n")],
        FaultKind.TIMEOUT,
    ),
    "endless headers": (
        [ReadRequest(), b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 100_000, Stall()],
        FaultKind.GARBAGE,
    ),
}

# --- whole answers --------------------------------------------------------------------------------

JSON_HEAD = chunked_sse_head({"content-type": "application/json"})
BODY = whole()
WHOLE: dict[str, tuple[Sequence[Step], str, Outcome]] = {
    "whole": ([answer(BODY)], "Hello!", END),
    "reset after headers": ([JSON_HEAD, Reset()], "", FaultKind.CUT),
    "close after headers": ([JSON_HEAD, Cut()], "", FaultKind.CUT),
    "silence after headers": ([JSON_HEAD, Stall()], "", FaultKind.TIMEOUT),
    "silence after a blank line": ([JSON_HEAD, chunk(b"\n"), Stall()], "", FaultKind.TIMEOUT),
    "blank lines without end": ([JSON_HEAD, Trickle(chunk(b"\n"))], "", FaultKind.TIMEOUT),
    "reset in the middle": ([JSON_HEAD, chunk(BODY[:40]), Reset()], "", FaultKind.CUT),
    "close in the middle": ([JSON_HEAD, chunk(BODY[:40]), Cut()], "", FaultKind.CUT),
    "silence in the middle": ([JSON_HEAD, chunk(BODY[:40]), Stall()], "", FaultKind.TIMEOUT),
    "a body without end": (
        [JSON_HEAD, chunk(BODY[:40]), Trickle(chunk(b" "))],
        "",
        FaultKind.TIMEOUT,
    ),
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

# --- a status that is no success ------------------------------------------------------------------

# Which fault a whole answer is that the reader of the bytes took for one.
JUDGED = {"an error with 200": FaultKind.REPORTED}


def whole_told(fault: str) -> FaultKind | None:
    """As ``fault_told``, of a whole answer."""
    _, text, ends = WHOLE[fault]
    if isinstance(ends, FaultKind):
        return ends
    return None if text else JUDGED.get(fault, FaultKind.CUT)


# What the upstream says, and what our client hears.
STATUSES = [(400, 400), (401, 502), (402, 402), (403, 403), (404, 502), (408, 408), (413, 413),
            (422, 400), (429, 429), (500, 500), (502, 502), (503, 529), (504, 504), (529, 529),
            (301, 502), (302, 502), (307, 502), (308, 502), (304, 502), (418, 400)]  # fmt: skip
