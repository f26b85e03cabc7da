"""What a client is told of the server."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deepseek_messages.cli.client import Token, base_url, served_window, token_for, window_of
from deepseek_messages.settings import MemberSettings, Secret, Settings, load_settings


class _Models(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.server.seen = (self.path, self.headers["authorization"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Models) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield http
        http.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("body", "window"),
    [
        ({"id": "m", "max_input_tokens": 8192}, 8192),
        ({"id": "m", "max_input_tokens": None}, None),
        ({"id": "m"}, None),
        ([], None),
    ],
)
def test_window_of_a_running_server(server: HTTPServer, body: object, window: int | None) -> None:
    _Models.body = json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.server_port}/anthropic"
    assert served_window(url, "key", "a/b") == window
    assert server.seen == ("/anthropic/v1/models/a%2Fb", "Bearer key")  # type: ignore[attr-defined]


def test_window_of_something_else(server: HTTPServer) -> None:
    _Models.body = b"<html>"
    assert served_window(f"http://127.0.0.1:{server.server_port}", "key", "m") is None


def test_window_of_no_server() -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        assert served_window(f"http://127.0.0.1:{bound.getsockname()[1]}", "key", "m") is None


@pytest.mark.parametrize(
    ("env", "flags", "window"),
    [
        ({}, {}, 8_192),
        ({}, {"embedded.context": 4096}, 4096),
        ({}, {"model": "other.gguf"}, None),
        ({}, {"upstream": "double"}, 1_048_576),
        ({}, {"upstream": "deepseek"}, 1_048_576),
        ({}, {"upstream": "deepseek", "model": "deepseek-chat"}, 131_072),
        ({}, {"upstream": "http://h:1"}, None),
        ({}, {"upstream": "http://h:1", "upstream.context_window": 4096}, 4096),
    ],
)
def test_window_without_asking(
    env: dict[str, str], flags: dict[str, object], window: int | None
) -> None:
    assert window_of(load_settings(None, env, flags)) == window


VLLM = MemberSettings(name="vllm", base_url="http://v.example:8000/v1", context_window=131_072)
UNKNOWN = MemberSettings(name="other", base_url="http://o.example:8000/v1")
HOSTED = MemberSettings(name="deepseek", api_key=Secret("sk-1"))
INSIDE = MemberSettings(name="inside", kind="embedded")


@pytest.mark.parametrize(
    ("members", "window"),
    [
        ((HOSTED, VLLM, INSIDE), 1_048_576),
        ((VLLM, INSIDE), 131_072),
        ((INSIDE, INSIDE), 8_192),
        ((VLLM, UNKNOWN), None),  # it may be longer
    ],
)
def test_window_of_several_is_the_longest_that_is_served(
    members: tuple[MemberSettings, ...], window: int | None
) -> None:
    assert window_of(Settings(upstreams=members)) == window


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/anthropic"),
        ("0.0.0.0", "http://127.0.0.1:8000/anthropic"),
        ("::", "http://127.0.0.1:8000/anthropic"),
        ("::1", "http://[::1]:8000/anthropic"),
        ("gateway.test", "http://gateway.test:8000/anthropic"),
    ],
)
def test_address_that_clients_use(host: str, url: str) -> None:
    settings = load_settings(None, {}, {"server.host": host, "auth.mode": "keys"})
    assert base_url(settings) == url


@pytest.mark.parametrize(
    ("env", "upstream", "key", "token"),
    [
        ({}, "double", None, Token("text", "none")),
        ({}, "deepseek", None, Token("variable", "DEEPSEEK_API_KEY")),
        ({"DEEPSEEK_API_KEY": "k"}, None, None, Token("variable", "DEEPSEEK_MESSAGES_KEY")),
        ({"DEEPSEEK_API_KEY": "k"}, None, "dsm-1", Token("text", "dsm-1")),
    ],
)
def test_token(env: dict[str, str], upstream: str | None, key: str | None, token: Token) -> None:
    assert token_for(load_settings(None, env, {"upstream": upstream}), key) == token
