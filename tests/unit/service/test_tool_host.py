"""What server tools hold is released, however a request ends."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from deepseek_messages.service import mcp, tasks
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.service.hosting import HostedRun
from deepseek_messages.service.mcp import McpConnector
from deepseek_messages.service.tool_host import _Runner
from deepseek_messages.settings import ToolsSettings
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.faults import Fault, garbage
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.server_tools import Outcome, ServerTool
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.upstreams.route import Need
from deepseek_messages.wire.messages import MessagesRequest
from tests.support.answering import answerer_on, events_of
from tests.support.fake import FakeUpstream
from tests.support.gates import WAIT_SECONDS

HELLO = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}'
SERVERS = b', "mcp_servers": [{"type": "url", "name": "a", "url": "https://a.test/mcp"}]}'


class Held:
    """Tools that hold something, and a ``Hosting`` that gives them."""

    closed = False

    def may_run(self, _request: MessagesRequest) -> bool:
        return True

    async def prepare(self, _request: MessagesRequest, _caller: Caller) -> HostedRun:
        return HostedRun(tools=self)

    async def run(self, _calls: Sequence[PendingTool]) -> list[Outcome]:
        return []

    async def aclose(self) -> None:
        self.closed = True


class FullPool(FakeUpstream):
    def route(self, _need: Need) -> Any:
        raise garbage("all are full")


def test_tools_are_released_when_no_upstream_takes_the_request() -> None:
    held = Held()

    async def ask() -> None:
        answerer = answerer_on(FullPool())
        answerer._hosting = held
        await answerer.answer(parse_request(HELLO), NOBODY, RequestRecord("r"))

    with pytest.raises(Fault):
        asyncio.run(ask())
    assert held.closed


def test_tools_are_released_behind_an_answer_that_has_no_use_for_them() -> None:
    """As with ``max_tokens`` 0, or an MCP server all of whose tools are switched off."""
    held = Held()

    async def ask() -> None:
        answerer = answerer_on(FakeUpstream())
        answerer._hosting = held
        answer = await answerer.answer(parse_request(HELLO), NOBODY, RequestRecord("r"))
        await events_of(answer)

    asyncio.run(ask())
    assert held.closed


def test_a_client_that_leaves_an_mcp_server_in_silence_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask() -> None:
        reached, ended = asyncio.Event(), asyncio.Event()

        async def silent(*_: object) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        monkeypatch.setattr(mcp, "_connected", silent)
        connector = McpConnector(ToolsSettings(mcp_hosts=("a.test",), timeout=1000))
        request = parse_request(HELLO[:-1] + SERVERS)
        asking = tasks.spawn(connector.connect(request), "ask")
        await reached.wait()
        asking.cancel()
        await asyncio.wait((asking,))
        await ended.wait()

    asyncio.run(asyncio.wait_for(ask(), WAIT_SECONDS))


def fetch(call_id: str) -> PendingTool:
    return PendingTool(call_id, ServerTool(kind="web_fetch", name="web_fetch"), {})


class Tools:
    """One call fails by a bug while the other waits."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self, call: PendingTool) -> Outcome:
        if call.id == "bug":
            await self.waits.wait()
            raise KeyError(call.id)
        self.waits.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise AssertionError


def test_no_tool_goes_on_when_another_has_failed() -> None:
    async def run() -> None:
        tools = Tools()
        with suppress(KeyError):
            await _Runner(tools, None).run([fetch("bug"), fetch("waits")])  # type: ignore[arg-type]
        await tools.ended.wait()

    asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))
