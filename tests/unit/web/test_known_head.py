"""Heads that are known: the same bytes, but for the length of the body."""

import json

import httptools
import pytest

from deepseek_messages.web.known_head import KnownHead, known_head
from tests.support.captures import FOLDER

HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: k\r\n"
    b"Content-Length: %d\r\nuser-agent: tests\r\n\r\n"
)


class Read:
    """The fields as the server's parser reads them."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


def learned(data: bytes) -> KnownHead | None:
    read = Read()
    httptools.HttpRequestParser(read).feed_data(data)
    return known_head(data, {"headers": read.headers}, read.headers)


def request(body: bytes) -> bytes:
    return HEAD % len(body) + body


def test_the_next_request_is_read_by_its_length() -> None:
    known = learned(request(b"{}"))
    assert known is not None
    assert known.headers["x-api-key"] == "k"
    for body in (b"", b"x", b"y" * 12_345, b"a\r\n\r\nb"):
        assert known.body(request(body)) == body


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(request(b"{}")[:-1], id="a byte less"),
        pytest.param(request(b"{}") + b"x", id="a byte more"),
        pytest.param(request(b"{}") + request(b"{}"), id="two requests"),
        pytest.param(request(b"{}").replace(b"k\r", b"K\r"), id="another key"),
        pytest.param(request(b"{}").replace(b"POST", b"PUT "), id="another method"),
        pytest.param(request(b"{}").replace(b": 2", b": +2"), id="a sign"),
        pytest.param(request(b"{}").replace(b": 2", b": 0x2"), id="another base"),
        pytest.param(request(b"{}").replace(b": 2", b": 2 "), id="a blank"),
        pytest.param(request(b"{}").replace(b": 2", b": "), id="no length"),
        pytest.param(request(b"{}").replace(b": 2", b": \xb2"), id="another digit"),
        pytest.param(request(b"{}").replace(b": 2", b": 0000000002"), id="many digits"),
        pytest.param(request(b"{}").replace(b": 2\r", b": 2\r\nx: y\r"), id="another field"),
        pytest.param(request(b"{}").replace(b"\r\n", b"\n"), id="other line ends"),
    ],
)
def test_anything_else_is_for_the_parser(data: bytes) -> None:
    known = learned(request(b"{}"))
    assert known is not None
    assert known.body(data) is None


@pytest.mark.parametrize(
    "field",
    [
        b"connection: close",
        b"connection: keep-alive, x",
        b"expect: 100-continue",
        b"origin: http://localhost",
        b"content-encoding: gzip",
        b"te: trailers",
        b"upgrade: h2c",
    ],
)
def test_heads_that_may_mean_something_else_are_not_remembered(field: bytes) -> None:
    data = request(b"{}").replace(b"user-agent: tests", field)
    assert learned(data) is None


@pytest.mark.parametrize("field", [b"Connection: keep-alive", b"connection: Keep-Alive"])
def test_what_goes_without_saying_is_remembered(field: bytes) -> None:
    data = request(b"{}").replace(b"user-agent: tests", field)
    known = learned(data)
    assert known is not None
    assert known.body(data) == b"{}"


CLIENTS = ["ai_sdk_object", "cc_bare", "cc_subagent", "langchain_tools", "py_stream", "ts_stream"]


@pytest.mark.parametrize("client", CLIENTS)
def test_heads_of_real_clients_are_remembered(client: str) -> None:
    request = json.loads((FOLDER / f"{client}.json").read_text())["requests"][0]
    fields = [f"{name}: {value}".replace("<computed>", "2") for name, value in request["headers"]]
    head = "\r\n".join([f"POST {request['target']} HTTP/1.1", *fields, "", ""])
    assert learned(head.encode() + b"{}") is not None


def test_a_body_in_chunks_is_not_remembered() -> None:
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    assert learned(head + b"0\r\n\r\n") is None


def test_a_head_that_has_not_come_as_a_whole_is_not_remembered() -> None:
    whole = request(b"{}")
    read = Read()
    httptools.HttpRequestParser(read).feed_data(whole)
    assert known_head(whole[:60], {}, read.headers) is None
