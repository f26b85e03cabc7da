"""Servers for tests: any ASGI application, and a raw scripted TCP upstream.

with serve_app(app) as running: ... running.url ...
with raw_upstream([ReadRequest(), answer(b"{}")]) as upstream: ... upstream.url ...
"""

from tests.support.asgi import RunningApp, serve_app
from tests.support.gates import Gate
from tests.support.http import answer, chunk, chunked_sse_head, sse_head
from tests.support.raw import (
    Connection,
    Cut,
    HalfClose,
    RawRequest,
    RawUpstream,
    Reached,
    ReadRequest,
    Reset,
    Stall,
    Step,
    Trickle,
    Wait,
    pieces,
    raw_upstream,
    split,
)
from tests.support.sse import assert_lawful, blocks_of, error_of, parse_events

__all__ = [
    "Connection",
    "Cut",
    "Gate",
    "HalfClose",
    "RawRequest",
    "RawUpstream",
    "Reached",
    "ReadRequest",
    "Reset",
    "RunningApp",
    "Stall",
    "Step",
    "Trickle",
    "Wait",
    "answer",
    "assert_lawful",
    "blocks_of",
    "chunk",
    "chunked_sse_head",
    "error_of",
    "parse_events",
    "pieces",
    "raw_upstream",
    "serve_app",
    "split",
    "sse_head",
]
