"""Host and Origin: a web page must not reach a server on loopback, whatever name it gives it."""

import socket
from collections.abc import Callable

import pytest

from tests.support.app import Served, served
from tests.support.client import HELLO
from tests.support.gates import WAIT_SECONDS

PUBLIC = {"host": "0.0.0.0"}  # the guard's view; the test server itself stays on loopback
NAMED = {"allowed_hosts": ("box.example",), "allowed_origins": ("https://ui.example",)}

HOSTS = [
    ("127.0.0.1:8000", {}, 200),
    ("127.0.0.1", {}, 200),
    ("127.1.2.3:80", {}, 200),
    ("localhost:8000", {}, 200),
    ("LOCALHOST", {}, 200),
    ("localhost.:8000", {}, 200),
    ("api.localhost:1", {}, 200),
    ("[::1]:8000", {}, 200),
    ("evil.example", {}, 403),
    ("evil.example:8000", {}, 403),
    ("127.0.0.1.evil.example", {}, 403),
    ("localhost.evil.example", {}, 403),
    ("evil-localhost", {}, 403),
    ("10.0.0.1:8000", {}, 403),
    ("0.0.0.0:8000", {}, 403),
    ("[::]:8000", {}, 403),
    ("", {}, 403),
    ("box.example:8000", {}, 403),
    ("box.example:8000", NAMED, 200),
    ("BOX.example", NAMED, 200),
    ("not-box.example", NAMED, 403),
    ("evil.example", PUBLIC, 200),
]

ORIGINS = [
    ("http://localhost:3000", {}, 200),
    ("http://127.0.0.1:8000", {}, 200),
    ("http://[::1]:8000", {}, 200),
    ("https://evil.example", {}, 403),
    ("http://localhost.evil.example", {}, 403),
    ("http://evil.example:80@localhost.evil.example", {}, 403),
    ("null", {}, 403),
    ("file://", {}, 403),
    ("chrome-extension://abc", {}, 403),
    ("", {}, 403),
    ("http://[", {}, 403),
    ("https://ui.example", {}, 403),
    ("https://ui.example", NAMED, 200),
    ("http://ui.example", NAMED, 403),
    ("https://ui.example.evil.example", NAMED, 403),
    ("https://evil.example", PUBLIC, 200),
]


@pytest.mark.parametrize(("host", "bound", "status"), HOSTS)
@pytest.mark.parametrize("path", ["/v1/messages", "/metrics", "/healthz"])
def test_host(
    server: Callable[..., Served], host: str, bound: dict[str, object], status: int, path: str
) -> None:
    s = server(str(bound), server=bound)
    method, body = ("POST", HELLO) if path == "/v1/messages" else ("GET", None)
    reply = s.client.ask(method, path, body, {"host": host})
    assert reply.status == status
    if status == 403:
        assert reply.error()[1] == "permission_error"


@pytest.mark.parametrize(("origin", "bound", "status"), ORIGINS)
def test_origin(
    server: Callable[..., Served], origin: str, bound: dict[str, object], status: int
) -> None:
    s = server(str(bound), server=bound)
    reply = s.client.ask("POST", "/v1/messages", HELLO, {"origin": origin})
    assert reply.status == status
    allowed = "https://ui.example" if bound is NAMED and status == 200 else None
    assert reply.headers.get("access-control-allow-origin") == allowed


def test_a_foreign_page_is_told_nothing_about_the_server() -> None:
    with served() as s:
        reply = s.client.get("/", {"origin": "https://evil.example"})
    assert reply.error()[0] == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_preflight_from_an_allowed_origin_is_answered() -> None:
    asks = {
        "origin": "https://ui.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key, content-type",
    }
    with served(server=NAMED) as s:
        reply = s.client.ask("OPTIONS", "/v1/messages", headers=asks)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == "https://ui.example"
    assert reply.headers["access-control-allow-headers"] == "x-api-key, content-type"


@pytest.mark.parametrize("origin", ["https://other.example", "http://localhost:3000"])
def test_a_preflight_from_elsewhere_gets_no_leave(origin: str) -> None:
    with served(server=NAMED) as s:
        asks = {"origin": origin, "access-control-request-method": "POST"}
        reply = s.client.ask("OPTIONS", "/v1/messages", headers=asks)
    assert reply.status in (403, 405)
    assert "access-control-allow-origin" not in reply.headers


def raw(s: Served, request: bytes) -> bytes:
    with socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS) as sock:
        sock.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := sock.recv(65536)):
            answer += data
    return answer


def test_two_hosts_are_refused() -> None:
    with served() as s:
        answer = raw(s, b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_no_host_is_refused() -> None:
    with served() as s:
        assert raw(s, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_http_1_0_may_go_without_a_host() -> None:
    with served() as s:
        assert raw(s, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
