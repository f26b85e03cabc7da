"""Upstreams over TLS: who cannot prove its name is refused clearly, before it is told anything."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.web.app import create_app
from tests.faults.cells import WAYS
from tests.faults.chat_bytes import whole
from tests.faults.rig import DEADLINES, Rig, check, serving_rig
from tests.support.app import settings_for
from tests.support.certificates import self_signed
from tests.support.client import HELLO, Client, Reply
from tests.support.gates import WAIT_SECONDS
from tests.support.raw import parse_request
from tests.support.servers import (
    Cut,
    Reset,
    Stall,
    Step,
    Trickle,
    answer,
    raw_upstream,
    serve_app,
)

MODELS = b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}'
KEY = "sk-not-for-strangers"


@contextmanager
def tls_upstream(chain: Path, private: Path) -> Iterator[tuple[str, list[bytes]]]:
    """A chat server over TLS; what it was sent, decrypted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    received: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, suppress(OSError, ssl.SSLError):
                sock.settimeout(WAIT_SECONDS)
                with context.wrap_socket(sock, server_side=True) as secure:
                    data = b""
                    while parse_request(data) is None and (more := secure.recv(65_536)):
                        data += more
                        received.append(more)
                    body = MODELS if data.startswith(b"GET") else whole()
                    secure.sendall(answer(body, headers={"connection": "close"}))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}", received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_SECONDS)


def ask(url: str, state: Path) -> Reply:
    upstream = UpstreamSettings(
        kind="chat", base_url=url, api_key=Secret(KEY), dialect="deepseek", proxy_from_env=False
    )
    settings = settings_for(state, upstream=upstream)
    with serve_app(create_app(settings)) as app:
        return Client(app.host, app.port).post(HELLO)


REFUSED = {
    "not trusted": ({"days": 1}, ["127.0.0.1"], False),
    "another name": ({"days": 1}, ["api.example"], True),
    "expired": ({"days": -1}, ["127.0.0.1"], True),
}


@pytest.mark.parametrize(("options", "names", "trusted"), REFUSED.values(), ids=REFUSED)
def test_a_certificate_that_proves_nothing_is_refused(
    options: dict[str, int],
    names: list[str],
    trusted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, private = self_signed(tmp_path, *names, **options)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with tls_upstream(chain, private) as (url, received):
        reply = ask(url, tmp_path)
    status, kind, message = reply.error()
    assert (status, kind) == (502, "api_error")
    assert "certificate" in message.lower() or "tls" in message.lower(), message
    assert b"".join(received) == b""


def test_a_trusted_certificate_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, private = self_signed(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with tls_upstream(chain, private) as (url, received):
        reply = ask(url, tmp_path)
    assert reply.status == 200
    assert KEY.encode() in b"".join(received)


def test_a_plain_server_on_the_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, suppress(OSError):
                        sock.recv(65_536)
                        sock.sendall(answer(whole()))

        thread = threading.Thread(target=serve)
        thread.start()
        reply = ask(f"https://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_SECONDS)
    assert reply.error()[:2] == (502, "api_error")


# What comes instead of the server's part of the handshake, and which fault that is. It is the list
# of models that is asked for first, and not waited for as long as a connection.
HANDSHAKES: dict[str, tuple[list[Step], FaultKind]] = {
    "reset": ([Reset()], FaultKind.CUT),
    "close": ([Cut()], FaultKind.CUT),
    "silence": ([Stall()], FaultKind.TIMEOUT),
    "a trickle": ([Trickle(b"\x16")], FaultKind.TIMEOUT),
    "garbage": ([b"\x00\xff" * 100, Stall()], FaultKind.CONNECT),
    "half a record": ([b"\x16\x03\x03\x00\x40\x02", Cut()], FaultKind.CUT),
    "an alert": ([b"\x15\x03\x03\x00\x02\x02\x28", Stall()], FaultKind.CONNECT),
}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with raw_upstream([Cut()]) as upstream:
        settings = UpstreamSettings(
            kind="chat",
            base_url=upstream.url.replace("http:", "https:"),
            api_key=Secret(KEY),
            dialect="deepseek",
            model="deepseek-chat",
            proxy_from_env=False,
            **DEADLINES,
        )
        with serving_rig(upstream, listed=False, upstream=settings) as running:
            yield running


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", HANDSHAKES)
def test_a_fault_within_the_handshake(rig: Rig, fault: str, way: str) -> None:
    steps, kind = HANDSHAKES[fault]
    reply = rig.ask(steps, WAYS[way])
    check(reply, rig.recorded, kind)
    assert reply.status >= 500
    assert KEY.encode() not in b"".join(bytes(each.received) for each in rig.upstream.connections)
