"""A server on a raw upstream whose requests can go the short way (``web/short.py``)."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.faults.chat_bytes import whole
from tests.support.app import settings_for
from tests.support.client import HELLO, MESSAGES, Reply, read_reply
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import RawUpstream, RunningApp, answer, serve_app

MODELS = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')
GOOD = answer(whole())
KEY = "dsm-caller"
NEVER = {"commit_after": 1000.0, "ping_interval": 1000.0}


@contextmanager
def serving(
    directory: Path,
    upstream: RawUpstream,
    protocol: type[BoundedProtocol] = BoundedProtocol,
    **groups: Any,
) -> Iterator[RunningApp]:
    groups["server"] = NEVER | groups.get("server", {})  # unless the test is about it
    settings = settings_for(
        directory,
        **groups,
        upstream=UpstreamSettings(
            kind="chat", base_url=upstream.url, dialect="deepseek", api_key=Secret("sk-up")
        ),
    )
    app = create_app(settings)
    options = {"http": protocol, "timeout_graceful_shutdown": int(WAIT_SECONDS)}
    with serve_app(app, proxy_headers=False, **options) as served:
        yield served


def post(
    connection: http.client.HTTPConnection, body: object, key: str = KEY, *, chunked: bool = False
) -> Reply:
    data = json.dumps(body).encode()
    headers = {"x-api-key": key, "user-agent": "tests/1"}
    if chunked:
        connection.request("POST", MESSAGES, iter([data]), headers, encode_chunked=True)
    else:
        connection.request("POST", MESSAGES, data, headers)
    return read_reply(connection)


def connect(served: RunningApp) -> http.client.HTTPConnection:
    """A connection whose next request goes the short way."""
    connection = http.client.HTTPConnection(served.host, served.port, timeout=WAIT_SECONDS)
    assert post(connection, HELLO).status == 200
    return connection


def send(connection: http.client.HTTPConnection, body: object = HELLO) -> None:
    data = json.dumps(body).encode()
    connection.request("POST", MESSAGES, data, {"x-api-key": KEY, "user-agent": "tests/1"})


def until_closed(served: RunningApp) -> None:
    """Return once the server takes no more connections."""
    while True:
        try:
            socket.create_connection((served.host, served.port)).close()
        except OSError:
            return
