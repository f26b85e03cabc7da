"""The short way and the ASGI way give the same answers."""

import json
import re
from typing import Any

import pytest

from deepseek_messages.translation.faults import Fault, FaultKind
from tests.support.app import served
from tests.support.client import HELLO, STREAM
from tests.support.fake import FINISH, FakeUpstream, text

# A middleware of uvicorn's around the application leaves only the ASGI way.
ASGI = {"proxy_headers": True}

BODIES: dict[str, Any] = {
    "whole": HELLO,
    "stream": STREAM,
    "with a note": HELLO | {"top_k": 5},
    "refused": HELLO | {"max_tokens": -1},
    "no object": [],
}
SCRIPTS: dict[str, list[Any]] = {
    "answered": [text("Hel"), text("lo\n你好"), FINISH],
    "cut": [text("Hel"), Fault(FaultKind.CUT, "gone")],
    "refused above": [Fault(FaultKind.REFUSED, "busy", status=429, retry_after=3.0)],
}


def answer(options: dict[str, Any], script: list[Any], body: Any, path: str) -> tuple[Any, ...]:
    with served(FakeUpstream(script), server_options=options) as s:
        reply = s.client.ask("POST", path, json.dumps(body).encode())
    kept = {k: v for k, v in reply.headers.items() if k not in {"request-id", "date"}}
    assert reply.headers["request-id"].startswith("req_")
    shown = re.sub(rb"(req|msg)_[0-9a-f]+", rb"\1_", reply.body)
    kept.pop("content-length", None)
    return reply.status, kept, shown


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_both_ways_agree(body: Any, script: list[Any]) -> None:
    path = "/anthropic/v1/messages?beta=true"
    direct = answer({}, script, body, path)
    assert direct == answer(ASGI, script, body, path)
    if body == HELLO and script == SCRIPTS["answered"]:
        assert direct[0] == 200
