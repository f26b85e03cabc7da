"""A stream that no task serves: where a task takes over, and what happens when it ends early."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from deepseek_messages.service.answer import Answer
from deepseek_messages.web.direct import DirectExchange
from deepseek_messages.web.messages import MessagesHandler
from deepseek_messages.web.short_answer import ShortAnswer
from tests.faults.chat_bytes import DONE, USAGE, delta, whole
from tests.support.client import MESSAGES, STREAM, Client
from tests.support.gates import Gate
from tests.support.servers import (
    Cut,
    RawUpstream,
    Reached,
    ReadRequest,
    RunningApp,
    Step,
    Wait,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
)
from tests.support.short import GOOD, MODELS, connect, send, serving, until_closed
from tests.support.sse import assert_lawful

BEFORE = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest()]
HEL, LO = chunk(delta(content="Hel")), chunk(delta(content="lo"))
END = chunk(delta("stop", USAGE, content="") + DONE) + chunk(b"")
FAST = {"commit_after": 0.05, "ping_interval": 0.05}


class Streamed:
    """The second request of a connection, as its client sees it."""

    def __init__(self, served: RunningApp, upstream: RawUpstream) -> None:
        self.served = served
        self.upstream = upstream
        self.connection = connect(served)
        send(self.connection, STREAM)

    @property
    def reply(self) -> http.client.HTTPResponse:
        """The answer, whose head is awaited."""
        if not hasattr(self, "_reply"):
            self._reply = self.connection.getresponse()
        return self._reply

    def next(self) -> dict[str, Any] | None:
        """The next event; ``None`` at the end."""
        while line := self.reply.readline():
            if line.startswith(b"data: "):
                event: dict[str, Any] = json.loads(line[6:])
                return event
        return None

    def until(self, kind: str) -> list[dict[str, Any]]:
        """The events up to the first of this kind."""
        found: list[dict[str, Any]] = []
        while not found or found[-1]["type"] != kind:
            event = self.next()
            assert event is not None, found
            found.append(event)
        return found

    def rest(self) -> list[dict[str, Any]]:
        """The events up to the end."""
        return list(iter(self.next, None))


@contextmanager
def streamed(
    directory: Path, script: Sequence[Step], **groups: dict[str, Any]
) -> Iterator[Streamed]:
    with (
        raw_upstream([*BEFORE, *script]) as upstream,
        serving(directory, upstream, **groups) as served,
    ):
        stream = Streamed(served, upstream)
        yield stream
        stream.connection.close()


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """The answers that a task took over."""
    found: list[Answer] = []
    conclude = MessagesHandler.conclude

    def watched(handler: MessagesHandler, exchange: DirectExchange, answer: Answer) -> Any:
        found.append(answer)
        return conclude(handler, exchange, answer)

    monkeypatch.setattr(MessagesHandler, "conclude", watched)
    return found


def told(log: list[Any]) -> dict[str, Any]:
    return [dict(entry) for entry in log if entry.get("path") == MESSAGES][-1]


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_stream_needs_no_task(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer]
) -> None:
    gate = Gate()
    with streamed(tmp_path, [chunked_sse_head(), HEL, Wait(gate), LO, END]) as stream:
        first = stream.until("content_block_delta")
        metrics = Client(stream.served.host, stream.served.port).get("/metrics").body.decode()
        gate.set()
        rest = stream.rest()
    assert_lawful([*first, *rest])
    assert rest[0]["delta"] == {"type": "text_delta", "text": "lo"}
    assert "deepseek_messages_open_streams 1.0" in metrics
    assert len(taken) == 1
    assert not tasks


def test_a_stream_on_a_new_connection_to_the_upstream_needs_no_task(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer]
) -> None:
    closing = answer(whole(), headers={"connection": "close"})
    before = [ReadRequest(), MODELS, ReadRequest(), closing, Cut()]
    with (
        raw_upstream(before, [ReadRequest(), chunked_sse_head(), HEL, LO, END]) as upstream,
        serving(tmp_path, upstream) as served,
    ):
        stream = Streamed(served, upstream)
        events = stream.rest()
        stream.connection.close()
    assert_lawful(events)
    assert len(upstream.connections) == 2
    assert len(taken) == 1
    assert not tasks


@pytest.mark.parametrize("said", [True, False], ids=["in the middle", "before a word"])
def test_a_client_that_leaves_stops_the_upstream(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer], *, said: bool
) -> None:
    gate, reached = Gate(), Gate()
    words = [chunked_sse_head(), HEL] if said else []
    with (
        structlog.testing.capture_logs() as log,
        streamed(tmp_path, [*words, Reached(reached), Wait(gate), LO, END]) as stream,
    ):
        if said:
            stream.until("content_block_delta")
            stream.reply.close()
        reached.require("the request at the upstream")
        stream.connection.close()
        stream.upstream.connections[0].peer_closed.require("the end of the upstream's work")
        metrics = Client(stream.served.host, stream.served.port).get("/metrics").body.decode()
        gate.set()
    entry = told(log)
    assert (entry["outcome"], entry["status"]) == ("gone", 200 if said else 499)
    assert ("tokens" in entry) == said  # the upstream bills what it wrote
    assert "deepseek_messages_open_streams 0.0" in metrics
    assert len(taken) == 1
    assert not tasks


def test_a_slow_upstream_gets_an_early_200_and_pings(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer]
) -> None:
    gate = Gate()
    script = [Wait(gate), chunked_sse_head(), HEL, LO, END]
    with streamed(tmp_path, script, server=FAST) as stream:
        early = [stream.next() for _ in range(3)]
        gate.set()
        rest = [event for event in stream.rest() if event["type"] != "ping"]
    assert kinds([event for event in early if event]) == ["message_start", "ping", "ping"]
    assert kinds(rest)[-1] == "message_stop"
    assert (len(taken), len(tasks)) == (1, 1)


def test_pings_fill_silence_in_the_middle(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer]
) -> None:
    gate = Gate()
    script = [chunked_sse_head(), HEL, Wait(gate), LO, END]
    with streamed(tmp_path, script, server={"ping_interval": 0.05, "commit_after": 30.0}) as stream:
        early = stream.until("content_block_delta")
        gate.set()
        rest = stream.rest()
    assert_lawful([*early, *rest])
    assert not tasks


def test_pings_go_on_until_the_upstream_does(tmp_path: Path, tasks: list[Answer]) -> None:
    gate = Gate()
    script = [chunked_sse_head(), HEL, Wait(gate), LO, END]
    with streamed(tmp_path, script, server={"ping_interval": 0.05, "commit_after": 0.05}) as stream:
        early = stream.until("content_block_delta")
        pings = [stream.next(), stream.next()]
        gate.set()
        rest = stream.rest()
    assert pings == [{"type": "ping"}] * 2
    assert_lawful([*early, *rest])
    assert len(tasks) <= 1  # one if the upstream's first word took more than 50 ms


def test_a_server_that_stops_finishes_the_stream(
    tmp_path: Path, taken: list[ShortAnswer], tasks: list[Answer]
) -> None:
    gate = Gate()
    script = [chunked_sse_head(), HEL, Wait(gate), LO, END]
    with streamed(tmp_path, script) as stream:
        early = stream.until("content_block_delta")
        stream.served.server.should_exit = True
        until_closed(stream.served)
        gate.set()
        rest = stream.rest()
    assert_lawful([*early, *rest])
    assert kinds(rest)[-1] == "message_stop"
    assert (len(taken), len(tasks)) == (1, 1)


def test_a_bug_in_the_middle_is_one_error_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: list[Answer]
) -> None:
    gate = Gate()

    def broken(_answer: Answer) -> None:
        raise RuntimeError("a bug")

    script = [chunked_sse_head(), HEL, Wait(gate), LO, Wait(Gate())]
    with structlog.testing.capture_logs() as log, streamed(tmp_path, script) as stream:
        stream.until("content_block_delta")
        monkeypatch.setattr(Answer, "relay_now", broken)
        gate.set()
        rest = stream.rest()
        stream.upstream.connections[0].peer_closed.require("the end of the upstream's work")
    assert kinds(rest) == ["error"]
    assert rest[0]["error"] == {"type": "api_error", "message": "Internal server error"}
    assert rest[0]["request_id"] == stream.reply.headers["request-id"]
    assert told(log)["outcome"] == "bug"
    assert not tasks


def test_a_cut_in_the_middle_is_one_error_event(tmp_path: Path, tasks: list[Answer]) -> None:
    with (
        structlog.testing.capture_logs() as log,
        streamed(tmp_path, [chunked_sse_head(), HEL, Cut()]) as stream,
    ):
        events = stream.rest()
    assert_lawful(events)
    assert kinds(events)[-1] == "error"
    assert (told(log)["outcome"], told(log)["fault"]) == ("fault", "cut")
    assert not tasks


@pytest.mark.parametrize("short", [True, False], ids=["short", "by a task"])
def test_an_end_that_comes_with_a_word_is_noticed(tmp_path: Path, *, short: bool) -> None:
    first, second = Gate(), Gate()
    words = [chunked_sse_head(), HEL, Wait(first), LO, Wait(second), LO + chunk(b""), Wait(Gate())]
    server = {"commit_after": 30.0 if short else 0.0, "ping_interval": 1000.0}
    with streamed(tmp_path, words, server=server) as stream:
        events = stream.until("content_block_delta")
        first.set()
        events += stream.until("content_block_delta")
        second.set()
        events += stream.rest()
    assert_lawful(events)
    assert [event["delta"]["text"] for event in events if "delta" in event] == ["Hel", "lo", "lo"]
    assert kinds(events)[-1] == "error"
