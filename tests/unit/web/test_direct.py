"""The short way and the ASGI way give the same answers."""

import asyncio
import json
import logging
import re
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from deepseek_messages.service.tasks import spawn
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.web.direct import LAST_CHUNK, DirectCycle, DirectExchange, Told
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


class Written(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: Any) -> None:
        self.data += data


def exchange_on(transport: Written, flow: FlowControl) -> DirectExchange:
    cycle = DirectCycle(
        scope=cast("Any", {"type": "http", "http_version": "1.1", "headers": []}),
        transport=transport,
        flow=flow,
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[],
        message_event=cast("Any", Told()),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    return DirectExchange(cycle, RequestRecord("req_1"))


@pytest.mark.anyio
async def test_nothing_goes_out_behind_the_last_piece() -> None:
    """A ping that waited for the client, or for its turn, is not the next answer's first bytes."""
    transport = Written()
    flow = FlowControl(transport)
    exchange = exchange_on(transport, flow)
    exchange.start_now(200, [])
    exchange.write_now(b"first")
    flow.pause_writing()
    ping = spawn(exchange.write(b"ping"), "ping")
    await asyncio.sleep(0)
    flow.resume_writing()
    exchange.write_now(b"last", last=True)
    await ping
    await exchange.write(b"ping")
    assert transport.data.endswith(b"4\r\nlast\r\n" + LAST_CHUNK)
