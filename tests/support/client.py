"""A plain HTTP client for tests: whole answers, and streams event by event."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.gates import WAIT_SECONDS
from tests.support.sse import Event, parse_events

HELLO: dict[str, Any] = {
    "model": "deepseek-chat",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Hello"}],
}
STREAM = HELLO | {"stream": True}

MESSAGES = "/v1/messages"


@dataclass(frozen=True)
class Reply:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def error(self) -> tuple[int, str, str]:
        """Status, type and message of an error answer, whose envelope is checked."""
        found = self.json()
        assert found["type"] == "error", found
        assert self.headers["content-type"] == "application/json"
        assert found["request_id"] == self.headers["request-id"]
        return self.status, found["error"]["type"], found["error"]["message"]

    def events(self) -> list[Event]:
        return parse_events(self.body)


class Client:
    """Asks one server. Each call has a connection of its own."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.host = host
        self.port = port
        self.headers = dict(headers or {})

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; ``body`` is sent as it is when it is bytes, else as JSON."""
        connection = self.send(method, path, body, headers)
        try:
            return read_reply(connection)
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("GET", path, headers=headers)

    def post(self, body: object, path: str = MESSAGES, **headers: str) -> Reply:
        return self.ask("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPConnection:
        """Send a request and leave its answer unread."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=WAIT_SECONDS)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"content-type": "application/json"} | self.headers | dict(headers or {})
        try:
            connection.request(method, path, data, fields)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def stream(self, body: object = None, path: str = MESSAGES) -> Iterator["Stream"]:
        """A streamed answer, read as it comes; the connection is closed at the block's end."""
        connection = self.send("POST", path, STREAM if body is None else body)
        stream = Stream(connection)
        try:
            yield stream
        finally:
            stream.close()


class Stream:
    """An answer that is being read. The headers are there once ``status`` was asked for."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer: http.client.HTTPResponse | None = None

    @property
    def answer(self) -> http.client.HTTPResponse:
        """The answer, once its headers came."""
        if self._answer is None:
            self._answer = self._connection.getresponse()
        return self._answer

    def close(self) -> None:
        """Close the connection, also one that the answer took over (``connection: close``)."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()

    def next(self) -> Event | None:
        """The next event; ``None`` at the end."""
        frame = b""
        while line := self.answer.readline():
            frame += line
            if line == b"\n":
                return parse_events(frame)[0]
        assert not frame, f"the stream ends inside a frame: {frame!r}"
        return None

    def rest(self) -> list[Event]:
        """All events until the end."""
        return list(iter(self.next, None))


def read_reply(connection: http.client.HTTPConnection) -> Reply:
    """The whole answer."""
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, headers, answer.read())
