"""A server on a double, and users of Claude Code in front of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deepseek_messages.settings import AuthSettings, Settings, UpstreamSettings
from deepseek_messages.upstreams.double import Double, Seen, running_double
from deepseek_messages.upstreams.double.script import Answer, Call, Status
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.support import toolchain
from tests.support.claude import ClaudeCode, Turn
from tests.support.client import Client, Reply
from tests.support.network import Network
from tests.support.servers import serve_app

JSON = dict[str, Any]
NEWEST, STRICT = toolchain.CLAUDE_CODE

# The smallest request: no tools, a system prompt of one sentence.
TINY = ("--bare", "--tools", "", "--system-prompt", "You are a test.")

# Three tools (Bash, Edit, Read) and nothing else: 4 KB.
BASH = ("--bare",)


class Stage:
    """A running server, the double behind it, and what the double is told to answer."""

    def __init__(self, double: Double, url: str, network: Network) -> None:
        self.double = double
        self.base_url = f"{url}/anthropic"
        self.network = network
        self.respond: Callable[[Seen], Answer | None] | None = None

    def reset(self) -> None:
        """Forget what was."""
        self.double.clear()
        self.respond = None

    def check(self) -> None:
        """Everything the double saw was fit for DeepSeek, and everything scripted was asked."""
        assert [str(seen.refused) for seen in self.double.refusals if seen.is_chat] == []
        assert [seen.problem for seen in self.double.everything if seen.problem] == []
        assert self.double.pending == 0, "scripted answers nobody asked for"

    def user(
        self, folder: Path, *, version: str = NEWEST, model: str = "deepseek-chat", **variables: str
    ) -> ClaudeCode:
        """Somebody with a home and a project folder below ``folder``."""
        return ClaudeCode(
            toolchain.claude_code(version),
            folder,
            self.base_url,
            model=model,
            environment=variables,
            start=self.network.start,
        )

    def ask(self, path: str, body: object) -> Reply:
        """A request without Claude Code."""
        address = urlsplit(self.base_url)
        assert address.hostname
        client = Client(address.hostname, address.port or 80, {"x-api-key": "test"})
        return self.network.call(lambda: client.ask("POST", address.path + path, body))

    def sent(self, number: int = 0) -> JSON:
        """The body of the n-th chat request."""
        body = self.double.requests[number].body
        assert body is not None
        return body

    @property
    def count(self) -> int:
        """How many chat requests there were."""
        return len(self.double.requests)


@contextmanager
def running_stage(
    state_dir: Path, network: Network, *, double: Double | None = None, **options: Any
) -> Iterator[Stage]:
    """A server whose callers use their own keys. ``options`` are settings; ``upstream`` is a
    table of further ones for the upstream.
    """
    holder: list[Stage] = []
    double = double or Double(respond=lambda seen: _answer(holder[0], seen))
    with running_double(double) as upstream_url:
        upstream = {"kind": "chat", "base_url": upstream_url, "dialect": "deepseek"}
        upstream |= {"proxy_from_env": False} | options.pop("upstream", {})
        settings = Settings(
            upstream=UpstreamSettings(**upstream),
            auth=options.pop("auth", AuthSettings(mode="pass-through")),
            state_dir=state_dir,
            **options,
        )
        app = create_app(settings)
        with serve_app(app, network.listen(), http=BoundedProtocol) as running:
            holder.append(Stage(double, running.url, network))
            yield holder[0]


def _answer(stage: Stage, seen: Seen) -> Answer | None:
    return stage.respond(seen) if stage.respond else None


def call(name: str, **arguments: object) -> Call:
    """A tool call."""
    return Call(name, json.dumps(arguments))


def run(command: str) -> Call:
    """A call of the shell tool."""
    return call("Bash", command=command, description="a test")


def status(code: int, message: str, **headers: str) -> Status:
    """An HTTP error in the form of DeepSeek's."""
    error = {"message": message, "type": "api_error", "param": None, "code": None}
    fields = {"content-type": "application/json"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Status(code, json.dumps({"error": error}).encode(), fields)


def messages(body: JSON, role: str) -> list[JSON]:
    """The messages of one role."""
    return [message for message in body["messages"] if message["role"] == role]


def said(message: JSON) -> str:
    """All text of a message."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def conversation(body: JSON) -> str:
    """All text of a request."""
    return "\n".join(said(message) for message in body["messages"])


def succeeded(turn: Turn) -> Turn:
    """A turn that ended well."""
    assert turn.exit_code == 0, (turn.result, turn.stderr[-2000:])
    assert turn.result["is_error"] is False
    return turn
