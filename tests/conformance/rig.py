"""A server in front of a strict DeepSeek, and a client that hides nothing."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deepseek_messages.settings import AuthSettings, Secret, Settings, UpstreamSettings
from deepseek_messages.upstreams.double import Double, Seen, running_double
from deepseek_messages.web.app import create_app
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import assert_lawful, parse_events, serve_app

JSON = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the client got, and the chat request that went upstream for it (if one did)."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    seen: Seen | None

    @property
    def body(self) -> JSON:
        read: JSON = json.loads(self.raw)
        return read

    @property
    def sent(self) -> JSON:
        """The JSON that the upstream got."""
        assert self.seen is not None, "nothing went upstream"
        assert self.seen.refused is None, self.seen.refused
        assert self.seen.body is not None
        return self.seen.body

    @property
    def events(self) -> list[JSON]:
        """The events of a stream that kept the order the protocol asks for."""
        read = parse_events(self.raw)
        assert_lawful(read)
        return read

    @property
    def text(self) -> str:
        """The text of a whole answer."""
        return "".join(each["text"] for each in self.body["content"] if each["type"] == "text")

    @property
    def notes(self) -> list[str]:
        header = self.headers.get("deepseek-messages-notes", "")
        return header.split(", ") if header else []


class Rig:
    """A running server and the double behind it."""

    def __init__(self, double: Double, url: str) -> None:
        self.double = double
        self.address = urlsplit(url).netloc

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request; a key goes along unless the headers say otherwise."""
        before = len(self.double.requests)
        connection = http.client.HTTPConnection(self.address, timeout=5 * WAIT_SECONDS)
        try:
            payload = None if body is None else json.dumps(body)
            sent = {"content-type": "application/json", "x-api-key": "sk-rig"}
            connection.request(method, path, payload, sent if headers is None else dict(headers))
            answer = connection.getresponse()
            raw = answer.read()
            got = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        after = self.double.requests
        return Reply(answer.status, got, raw, after[-1] if len(after) > before else None)

    def ask(self, *answer: Any, headers: Mapping[str, str] | None = None, **fields: Any) -> Reply:
        """``POST /v1/messages`` with ``fields`` over a small valid request; ``answer`` is what
        the double plays.
        """
        if answer:
            self.double.expect(list(answer))
        return self.call("POST", "/anthropic/v1/messages", request(**fields), headers)

    def play(self, *answers: Any, **fields: Any) -> Reply:
        """``ask`` for what takes several calls: each answer is one call's, all must be used and no
        call refused.
        """
        self.double.expect(*[each if isinstance(each, list) else [each] for each in answers])
        reply = self.ask(**fields)
        self.require_spent()
        return reply

    def require_spent(self) -> None:
        """Everything that was scripted was asked for, and nothing that is refused."""
        assert self.double.pending == 0
        assert [seen for seen in self.double.refusals if seen.is_chat] == []

    def served(self, *answer: Any, **fields: Any) -> Reply:
        """``ask`` that must succeed."""
        reply = self.ask(*answer, **fields)
        assert reply.status == 200, (reply.status, reply.raw)
        return reply


def request(**fields: Any) -> JSON:
    """A small valid request with ``fields`` in it; a field of ``...`` is left out."""
    base = {
        "model": "deepseek-chat",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    return {name: value for name, value in (base | fields).items() if value is not ...}


@contextmanager
def running_rig(
    state_dir: Path, double: Double | None = None, *, key: str | None = None, **options: Any
) -> Iterator[Rig]:
    """A server with a double of its own. Without ``key`` callers use their own; with it the
    server has one, asks the upstream what it serves, and is open to everybody.
    """
    double = double or Double()
    with running_double(double) as url:
        upstream = UpstreamSettings(
            kind="chat",
            base_url=url,
            dialect="deepseek",
            proxy_from_env=False,
            api_key=Secret(key) if key else None,
        )
        auth = AuthSettings(mode="open" if key else "pass-through")
        settings = Settings(upstream=upstream, auth=auth, state_dir=state_dir, **options)
        with serve_app(create_app(settings)) as running:
            yield Rig(double, running.url)
