"""Bodies: bounded in size and time, read once."""

import asyncio
import socket

import pytest

from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web import bodies
from deepseek_messages.web.exchange import ClientGoneError, Exchange
from tests.support.app import Served, served
from tests.support.client import HELLO
from tests.support.gates import WAIT_SECONDS

LIMIT = 1_000


def exchange(messages: list[dict[str, object]], **headers: str) -> Exchange:
    """An exchange whose body comes in these messages; then the client is silent."""
    left = list(messages)

    async def receive() -> dict[str, object]:
        return left.pop(0) if left else await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(_message: object) -> None:
        raise AssertionError

    scope = {"headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]}
    return Exchange(scope, receive, send, RequestRecord("req_1"))


def piece(data: bytes, more: bool = False) -> dict[str, object]:
    return {"type": "http.request", "body": data, "more_body": more}


def read(messages: list[dict[str, object]], **headers: str) -> bytes:
    return asyncio.run(bodies.read_body(exchange(messages, **headers), LIMIT)).data


def refused(messages: list[dict[str, object]], **headers: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(messages, **headers)
    return caught.value


@pytest.mark.parametrize("parts", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * LIMIT]])
def test_a_body_comes_in_any_number_of_pieces(parts: list[bytes]) -> None:
    messages = [piece(part, more=True) for part in parts[:-1]] + [piece(parts[-1])]
    assert read(messages) == b"".join(parts)


TEXTS = {
    "ASCII": b"abcd",
    "characters": "a\u00e4\u4f60\U0001f600b".encode(),
    "half a character": "a\u4f60".encode()[:-1],
    "a character's end": "\u4f60b".encode()[1:],
    "a surrogate": b"a\xed\xa0\x80",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_large_body_is_known_to_be_text_once_it_is_there(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_text(declared: int, *parts: bytes) -> bool:
        messages = [piece(part, more=True) for part in parts] + [piece(b"")]
        asked = exchange(messages, content_length=str(declared))
        return asyncio.run(bodies.read_body(asked, LIMIT)).is_text

    monkeypatch.setattr(bodies, "LARGE_BODY", 3)
    true = text.decode(errors="ignore").encode() == text
    assert is_text(len(text), text) is true
    assert is_text(len(text), *(text[at : at + 1] for at in range(len(text)))) is true
    for at in range(len(text)):
        assert is_text(len(text), text[:at], text[at:]) is true
    assert not is_text(3, text)  # of a small one nobody asked


def test_a_body_above_the_limit_is_413() -> None:
    assert refused([piece(b"x" * (LIMIT + 1))]).status == 413


def test_a_body_above_the_limit_in_pieces_is_413_after_its_end() -> None:
    assert refused([piece(b"x" * 600, more=True), piece(b"x" * 600)]).status == 413


def test_an_endless_body_is_not_read_to_its_end() -> None:
    endless = [piece(b"x" * LIMIT, more=True) for _ in range(bodies.BODY_DISCARD_FACTOR + 2)]
    assert refused(endless).status == 413


def test_a_declared_length_above_the_limit_is_read_away_first() -> None:
    found = refused([piece(b"x", more=True), piece(b"y")], content_length=str(LIMIT + 1))
    assert found.status == 413


def test_an_absurd_length_is_refused_at_once() -> None:
    """Nothing of it is read: it would be seen that the client leaves."""
    left: list[dict[str, object]] = [{"type": "http.disconnect"}]
    assert refused(left, content_length=str(LIMIT * 1_000)).status == 413


def test_a_client_that_asks_first_is_refused_before_it_sends() -> None:
    found = refused([], content_length=str(LIMIT + 1), expect="100-continue")
    assert found.status == 413


def test_half_a_body_is_408_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_IDLE_TIMEOUT", 0.01)
    found = refused([piece(b"half", more=True)], content_length="8")
    assert (found.status, found.error_type) == (408, "timeout_error")


def test_a_trickle_is_408_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_TIMEOUT", 0.0)
    assert refused([piece(b"x", more=True)] * 3).status == 408


def test_a_client_that_leaves_half_way_is_gone() -> None:
    with pytest.raises(ClientGoneError):
        read([piece(b"half", more=True), {"type": "http.disconnect"}])


def test_a_client_that_leaves_while_its_body_is_thrown_away_is_gone() -> None:
    with pytest.raises(ClientGoneError):
        read([{"type": "http.disconnect"}], content_length=str(LIMIT + 1))


@pytest.mark.parametrize("declared", ["-1", "x", "", "1" * 30, "\u0663"])
def test_a_senseless_length_is_not_believed(declared: str) -> None:
    assert read([piece(b"abc")], content_length=declared) == b"abc"


def big(s: Served, size: int) -> int:
    return s.client.post(HELLO | {"padding": "x" * size}).status


def test_the_limit_over_http() -> None:
    with served(server={"max_body_bytes": 100_000}) as s:
        assert big(s, 90_000) == 200
        assert big(s, 110_000) == 413
        assert big(s, 350_000) == 413


def test_a_chunked_body_is_read() -> None:
    with served() as s, socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS) as sock:
        sock.sendall(
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
            b"2\r\n{}\r\n0\r\n\r\n"
        )
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "declared"])
def test_a_body_above_the_limit_is_413_by_any_way(path: str, chunked: bool) -> None:
    data = b"x" * (LIMIT + 1)
    framing = b"content-length: %d\r\n\r\n%b" % (len(data), data)
    if chunked:
        framing = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    with (
        served(server={"max_body_bytes": LIMIT}) as s,
        socket.create_connection((s.app.host, s.app.port), WAIT_SECONDS) as sock,
    ):
        sock.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\n".encode() + framing)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
