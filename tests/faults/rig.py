"""The whole server on an upstream that breaks: what a client is told and what is recorded, and
that nothing is left behind.

Deadlines are long, and an upstream that stays silent moves the server's clock past them
(``support.clock``): a slow machine breaks none of them, and nobody waits for them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from deepseek_messages.service.tasks import running
from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.support.app import settings_for
from tests.support.client import Client, Reply
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
PAST_DEADLINES = 30.0
NEVER = {"commit_after": 1000.0, "ping_interval": 1000.0}

# What an upstream's failure may be called (docs/reference/errors.md), by what our client sees.
LAWFUL = {"api_error", "timeout_error", "overloaded_error"}


@dataclass
class Recording:
    """A client of the server, and what the server logs."""

    client: Client
    log: list[Any]

    @property
    def recorded(self) -> dict[str, Any]:
        """The one line about the last request."""
        found = [entry for entry in self.log if entry.get("event") == "request"]
        assert len(found) == 1, self.log
        return found[0]


@dataclass
class Rig(Recording):
    """The server, its client, and an upstream that plays what a test gives it."""

    upstream: RawUpstream

    def ask(self, script: Sequence[Step], body: object) -> Reply:
        self.upstream.scripts = [list(script)]
        before = len(self.upstream.connections)
        del self.log[:]
        reply = self.client.post(body, x_api_key="sk-mine")
        for connection in self.upstream.connections[before:]:
            connection.done.require("the end of the upstream's connection")
        return reply


@contextmanager
def running_rig(models: bytes, **upstream_settings: Any) -> Iterator[Rig]:
    """The server on an upstream that tells ``models`` (JSON) and then plays scripts."""
    with (
        raw_upstream([ReadRequest(), answer(models), Cut()]) as upstream,
        TemporaryDirectory() as directory,
        structlog.testing.capture_logs() as log,
    ):
        settings = settings_for(
            Path(directory),
            auth={"mode": "open"},
            server=NEVER,
            upstream=UpstreamSettings(
                base_url=upstream.url,
                api_key=Secret("sk-upstream"),
                proxy_from_env=False,
                **DEADLINES,
                **upstream_settings,
            ),
        )
        with serve_app(create_app(settings), http=BoundedProtocol, loop=SKIPPING) as app:
            client = Client(app.host, app.port)
            assert client.get("/v1/models").status == 200  # believed from now on
            assert isinstance(app.loop, SkippingLoop)
            upstream.on_silence = partial(app.loop.skip, PAST_DEADLINES)
            yield Rig(client, log, upstream)  # type: ignore[arg-type]
            wait_until(lambda: running() == 0)
            assert all(each.done.wait(WAIT_SECONDS) for each in upstream.connections)


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


def check(reply: Reply, recorded: dict[str, Any]) -> dict[str, Any] | None:
    """As ``error_told``; the error is one that an upstream's failure may be called."""
    error = error_told(reply, recorded)
    if error is not None:
        assert error["type"] in LAWFUL, error
        assert reply.status == 200 or reply.status >= 500
    return error
