"""The whole server on an upstream that breaks: what a client is told and what is recorded, and
that nothing is left behind.

Deadlines are long, and an upstream that stays silent moves the server's clock past them
(``support.clock``): a slow machine breaks none of them, and nobody waits for them.
"""

import http.client
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from deepseek_messages.service.tasks import running
from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.support.app import settings_for
from tests.support.client import MESSAGES, Client, Reply, read_reply
from tests.support.clock import SKIPPING, SkippingLoop
from tests.support.gates import WAIT_SECONDS, wait_until
from tests.support.servers import (
    Cut,
    RawUpstream,
    ReadRequest,
    Step,
    answer,
    assert_lawful,
    error_of,
    raw_upstream,
    serve_app,
)

DEADLINES = {"connect_timeout": 20.0, "first_byte_timeout": 20.0, "idle_timeout": 20.0}
NEVER = {"commit_after": 1000.0, "ping_interval": 1000.0}

# How a failure of the upstream is told (docs/reference/errors.md), before and after the 200.
TOLD = {
    FaultKind.CONNECT: (502, "api_error"),
    FaultKind.TIMEOUT: (504, "timeout_error"),
    FaultKind.CUT: (502, "api_error"),
    FaultKind.GARBAGE: (502, "api_error"),
    FaultKind.REPORTED: (502, "api_error"),
    FaultKind.REFUSED: (400, "invalid_request_error"),
    FaultKind.BUSY: (529, "overloaded_error"),
}


@dataclass
class Recording:
    """A client of the server, and what the server logs."""

    client: Client
    log: list[Any]

    @property
    def recorded(self) -> dict[str, Any]:
        """The one line about the last request. A client may have its answer before it is told."""
        wait_until(lambda: any(entry.get("event") == "request" for entry in self.log))
        found = [entry for entry in self.log if entry.get("event") == "request"]
        assert len(found) == 1, self.log
        return found[0]


@dataclass
class Rig(Recording):
    """The server, its client, and an upstream that plays what a test gives it. A body that comes
    in chunks is served by a task, another one without (``web/short.py``), if that can be.
    """

    upstream: RawUpstream
    chunked: bool = False

    def ask(self, script: Sequence[Step], body: object) -> Reply:
        return self.play([script], body)

    def play(self, scripts: Sequence[Sequence[Step]], body: object) -> Reply:
        """A script for each connection that is made to the upstream."""
        return self.during(scripts, lambda: self.post(body))

    def during(self, scripts: Sequence[Sequence[Step]], ask: Callable[[], Reply]) -> Reply:
        """As ``play``, of any request."""
        before = len(self.upstream.connections)
        self.upstream.scripts = [[Cut()]] * before + [list(script) for script in scripts]
        del self.log[:]
        reply = ask()
        for connection in self.upstream.connections[before:]:
            connection.done.require("the end of the upstream's connection")
        return reply

    def post(self, body: object) -> Reply:
        with closing(self.send(body)) as connection:
            return read_reply(connection)

    def send(self, body: object) -> http.client.HTTPConnection:
        """Send a request and leave its answer unread."""
        data, fields = json.dumps(body).encode(), {"x-api-key": "sk-mine"}
        connection = http.client.HTTPConnection(self.client.host, self.client.port, WAIT_SECONDS)
        pieces = iter([data]) if self.chunked else data
        connection.request("POST", MESSAGES, pieces, fields, encode_chunked=self.chunked)
        return connection


@contextmanager
def running_rig(
    models: bytes | None, *, chunked: bool = False, **upstream_settings: Any
) -> Iterator[Rig]:
    """The server on an upstream that tells ``models`` (JSON), if any, and then plays scripts."""
    with raw_upstream([ReadRequest(), answer(models or b""), Cut()]) as upstream:
        settings = UpstreamSettings(
            base_url=upstream.url,
            api_key=Secret("sk-upstream"),
            proxy_from_env=False,
            **DEADLINES,
            **upstream_settings,
        )
        listed = models is not None
        with serving_rig(upstream, chunked=chunked, listed=listed, upstream=settings) as rig:
            yield rig


@contextmanager
def serving_rig(
    upstream: RawUpstream, /, *, chunked: bool = False, listed: bool = True, **groups: Any
) -> Iterator[Rig]:
    """The server as the settings of these ``groups`` say, in the way ``serve`` runs it. It has one
    place, which each request finds free: what came before has given it back.
    """
    with TemporaryDirectory() as directory, structlog.testing.capture_logs() as log:
        server = NEVER | {"max_concurrency": 1}
        settings = settings_for(Path(directory), auth={"mode": "open"}, server=server, **groups)
        options = {"http": BoundedProtocol, "loop": SKIPPING, "proxy_headers": False}
        with serve_app(create_app(settings), **options) as app:
            client = Client(app.host, app.port)
            if listed:
                assert client.get("/v1/models").status == 200  # believed from now on
            assert isinstance(app.loop, SkippingLoop)
            upstream.on_silence = app.loop.on_silence
            yield Rig(client, log, upstream, chunked)  # type: ignore[arg-type]
            wait_until(lambda: running() == 0)
            assert all(each.done.wait(WAIT_SECONDS) for each in upstream.connections)
            assert open_gauges(client) == {"requests": 1, "streams": 0}  # the one that asks


def open_gauges(client: Client) -> dict[str, float]:
    """How many requests and streams the server says are open."""
    metrics = client.get("/metrics").body.decode()
    found = re.findall(r"^deepseek_messages_open_(\w+) (\S+)$", metrics, re.MULTILINE)
    return {name: float(value) for name, value in found}


def error_told(reply: Reply, recorded: dict[str, Any]) -> dict[str, Any] | None:
    """The one error, or ``None`` for an answer that is whole; as it is recorded."""
    if reply.status != 200:
        _, kind, message = reply.error()
        error: dict[str, Any] | None = {"type": kind, "message": message}
    elif reply.headers["content-type"] == "application/json":
        assert reply.json()["type"] == "message"
        error = None
    else:
        error = error_of(assert_lawful(reply.body))
    assert recorded["outcome"] == ("fault" if error else "served")
    return error


def check(
    reply: Reply, recorded: dict[str, Any], kind: FaultKind | None, error_type: str = ""
) -> dict[str, Any] | None:
    """As ``error_told``: of a fault of this ``kind``, under its documented name (``error_type``,
    where the upstream has a word in it), or of none.
    """
    error = error_told(reply, recorded)
    assert recorded.get("fault") == (kind.value if kind else None), error
    if kind is not None:
        assert error is not None
        status, name = TOLD[kind]
        assert error["type"] == (error_type or name)
        assert reply.status in (200, status)
    return error
