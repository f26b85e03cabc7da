"""Every fault at every stage, through the whole server: what its client gets, what is recorded,
and that nothing is left behind. The upstream's own client is tested cell by cell elsewhere.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import structlog

from deepseek_messages.service.tasks import running
from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.faults.chat_bytes import delta, frame
from tests.faults.test_chat_matrix import BEFORE, FAULTS, FINISH, STAGES, USAGE_FRAME, WHOLE
from tests.support.app import settings_for
from tests.support.client import HELLO, STREAM, Client, Reply
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import (
    Cut,
    RawUpstream,
    ReadRequest,
    Stall,
    Step,
    answer,
    assert_lawful,
    chunk,
    chunked_sse_head,
    error_of,
    raw_upstream,
    serve_app,
)

# What an upstream's failure may be called (docs/reference/errors.md), by what our client sees.
LAWFUL = {"api_error", "timeout_error", "overloaded_error"}
MODELS = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')


@dataclass
class Rig:
    """The server, its client, and an upstream that plays what a test gives it."""

    client: Client
    upstream: RawUpstream
    log: list[Any]

    def ask(self, script: Sequence[Step], body: object) -> Reply:
        self.upstream.scripts = [list(script)]
        before = len(self.upstream.connections)
        del self.log[:]
        reply = self.client.post(body, x_api_key="sk-mine")
        for connection in self.upstream.connections[before:]:
            connection.done.require("the end of the upstream's connection")
        return reply

    @property
    def recorded(self) -> dict[str, Any]:
        """The one line about the last request."""
        found = [entry for entry in self.log if entry.get("event") == "request"]
        assert len(found) == 1, self.log
        return found[0]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with (
        raw_upstream([ReadRequest(), MODELS, Cut()]) as upstream,
        TemporaryDirectory() as directory,
        structlog.testing.capture_logs() as log,
    ):
        settings = settings_for(
            Path(directory),
            auth={"mode": "open"},
            upstream=UpstreamSettings(
                kind="chat",
                base_url=upstream.url,
                api_key=Secret("sk-upstream"),
                dialect="deepseek",
                proxy_from_env=False,
                connect_timeout=1.0,
                first_byte_timeout=0.1,
                idle_timeout=0.1,
            ),
        )
        with serve_app(create_app(settings), http=BoundedProtocol) as app:
            client = Client(app.host, app.port)
            assert client.get("/v1/models").status == 200  # believed from now on
            yield Rig(client, upstream, log)  # type: ignore[arg-type]
            wait_until(lambda: running() == 0)
            assert all(each.done.wait(WAIT_SECONDS) for each in upstream.connections)


def check(reply: Reply, recorded: dict[str, Any]) -> dict[str, Any] | None:
    """A whole answer, a lawful stream, or one documented error; which is also recorded."""
    if reply.status != 200:
        status, kind, message = reply.error()
        assert kind in LAWFUL, (kind, message)
        assert status >= 500
        assert recorded["outcome"] == "fault"
        return {"type": kind, "message": message}
    if reply.headers["content-type"] == "application/json":
        assert reply.json()["type"] == "message"
        assert recorded["outcome"] == "served"
        return None
    error = error_of(assert_lawful(reply.body))
    assert recorded["outcome"] == ("fault" if error else "served")
    if error:
        assert error["type"] in LAWFUL, error
    return error


def wait_until(true: Callable[[], bool]) -> None:
    """Cancelled tasks end in the loop's next rounds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


WAYS = {"stream": STREAM, "whole": HELLO}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_an_answer(rig: Rig, stage: str, fault: str, way: str) -> None:
    sent, text, complete = STAGES[stage]
    steps, _ = FAULTS[fault]
    script = [ReadRequest(), chunked_sse_head(), *([chunk(sent)] if sent else []), *steps]
    reply = rig.ask(script, WAYS[way])
    error = check(reply, rig.recorded)
    if not complete:
        assert error is not None
    if complete and error is None:
        assert text in reply.body.decode()
    if "usage" in stage.partition(",")[0] and reply.status == 200:
        assert rig.recorded["tokens"]["in"] + rig.recorded["tokens"]["cache_read"] == 7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_an_answer(rig: Rig, fault: str, way: str) -> None:
    steps, _ = BEFORE[fault]
    reply = rig.ask(steps, WAYS[way])
    assert check(reply, rig.recorded) is not None
    assert reply.status >= 500


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_a_whole_answer(rig: Rig, fault: str, way: str) -> None:
    steps, text, _ = WHOLE[fault]
    reply = rig.ask([ReadRequest(), *steps, Cut()], WAYS[way])
    error = check(reply, rig.recorded)
    assert (error is None) == bool(text)


# What the upstream says, and what our client hears.
STATUSES = [(400, 400), (401, 502), (402, 402), (403, 403), (404, 502), (408, 408), (413, 413),
            (422, 400), (429, 429), (500, 500), (502, 502), (503, 529), (504, 504), (529, 529),
            (301, 502), (302, 502), (307, 502), (308, 502), (304, 502), (418, 400)]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "ours"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error":{"message":"because"}}'])
def test_a_status_that_is_no_success(
    rig: Rig, status: int, ours: int, body: bytes, way: str
) -> None:
    if status == 404 and b"because" in body:
        ours = 404  # explained: it is the model that is not there
    headers = {"location": "http://127.0.0.1:1/elsewhere", "retry-after": "7"}
    script = [ReadRequest(), answer(body, status, headers), Cut()]
    reply = rig.ask(script, WAYS[way])
    found, _, message = reply.error()
    assert found == ours, message
    assert "<html>" not in message
    if ours in (429, 529):
        assert reply.headers["retry-after"] == "7"


def test_usage_that_came_before_a_cut_is_recorded(rig: Rig) -> None:
    sent = delta(content="Hi") + FINISH + USAGE_FRAME
    rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Cut()], STREAM)
    assert rig.recorded["tokens"] == {"in": 7, "cache_read": 0, "cache_creation": 0, "out": 3}


def test_what_was_written_before_a_cut_is_counted(rig: Rig) -> None:
    """Without the upstream's word the answer's size is counted or guessed, never forgotten."""
    sent = delta(content="Hello there, this is the beginning of a long answer. ")
    rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Cut()], STREAM)
    assert rig.recorded["outcome"] == "fault"
    assert rig.recorded["tokens"]["out"] > 5


def test_an_error_inside_a_stream_is_told_in_its_words(rig: Rig) -> None:
    sent = delta(content="Hi") + frame({"error": {"message": "the node died", "code": 500}})
    reply = rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Stall()], STREAM)
    error = error_of(assert_lawful(reply.body))
    assert error is not None
    assert "the node died" in error["message"]
