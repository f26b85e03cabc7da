"""The tables of the fault matrices: how far an answer has come, and what the server does then."""

import gzip
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
    "a trickle": ([*(chunk(bytes([each])) for each in b"\n\n" + DONE), Stall()], END),
}

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

# --- a status that is no success ------------------------------------------------------------------

# What the upstream says, and what our client hears.
STATUSES = [(400, 400), (401, 502), (402, 402), (403, 403), (404, 502), (408, 408), (413, 413),
            (422, 400), (429, 429), (500, 500), (502, 502), (503, 529), (504, 504), (529, 529),
            (301, 502), (302, 502), (307, 502), (308, 502), (304, 502), (418, 400)]  # fmt: skip
