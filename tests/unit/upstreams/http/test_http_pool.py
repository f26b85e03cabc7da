"""Our own connections to an upstream: what no chat is needed to see."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.limits import MAX_UPSTREAM_HEAD_BYTES
from deepseek_messages.upstreams.http.client import HttpClient
from deepseek_messages.upstreams.http.origin import Origin
from deepseek_messages.upstreams.http.pool import HttpPool
from deepseek_messages.upstreams.http.pooled_reply import HIGH_WATER
from deepseek_messages.upstreams.http.reply import Deadlines
from tests.support.certificates import self_signed
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import (
    Cut,
    Gate,
    Reached,
    ReadRequest,
    Stall,
    Step,
    Wait,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
)
from tests.unit.upstreams.http.test_http_connection import Transport

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\ncontent-length: 3\r\n\r\n"


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[HttpClient]:
    made = HttpClient(Origin(url), proxy_from_env=False, **options)
    try:
        yield made
    finally:
        await made.aclose()


async def ask(made: HttpClient, body: bytes = b"{}") -> bytes:
    reply = await made.send("POST", made.origin.api("/v1/x"), body=body)
    try:
        return await reply.read_all(1 << 24)
    finally:
        reply.close()


@pytest.mark.parametrize("before", [CONTINUE, HINTS, CONTINUE + HINTS])
async def test_informational_answers_are_passed_over(before: bytes) -> None:
    with raw_upstream([ReadRequest(), before, answer(b"yes")]) as server:
        async with client(server.url) as made:
            assert await ask(made) == b"yes"


@pytest.mark.parametrize("extra", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"])
async def test_a_connection_that_says_more_than_asked_is_not_used_again(extra: bytes) -> None:
    first: list[Step] = [ReadRequest(), answer(b"one") + extra, Stall()]
    with raw_upstream(first, [ReadRequest(), answer(b"two")]) as server:
        async with client(server.url) as made:
            assert await ask(made) == b"one"
            assert await ask(made) == b"two"


async def test_bytes_on_an_idle_connection_end_it() -> None:
    gate = Gate()
    first: list[Step] = [ReadRequest(), answer(b"one"), Wait(gate), b"late", Stall()]
    with raw_upstream(first, [ReadRequest(), answer(b"two")]) as server:
        async with client(server.url) as made:
            assert await ask(made) == b"one"
            gate.set()
            await server.connection().done.opened()
            assert await ask(made) == b"two"


async def test_bytes_that_nobody_has_read_yet_are_not_the_next_answer() -> None:
    """They came between two requests, while the event loop had other things to do."""
    go, said = Gate(), Gate()
    extra = answer(b"for nobody")
    first: list[Step] = [ReadRequest(), answer(b"1"), Wait(go), extra, Reached(said), Stall()]
    with raw_upstream(first, [ReadRequest(), answer(b"2")]) as server:
        async with client(server.url) as made:
            assert await ask(made) == b"1"
            go.set()
            said.require("the answer to nothing")  # nothing runs in our loop meanwhile
            assert await ask(made) == b"2"


async def test_connection_close_is_obeyed() -> None:
    closing = answer(b"one", headers={"connection": "close"})
    with raw_upstream([ReadRequest(), closing, Stall()], [ReadRequest(), answer(b"two")]) as server:
        async with client(server.url) as made:
            assert [await ask(made), await ask(made)] == [b"one", b"two"]
        assert len(server.connections) == 2


async def test_an_answer_before_the_request_is_out_ends_the_connection() -> None:
    early = answer(b"too large", 413)
    with raw_upstream([early, Stall()], [ReadRequest(), answer(b"two")]) as server:
        async with client(server.url) as made:
            reply = await made.send("POST", made.origin.api("/v1/x"), body=b"x" * 32_000_000)
            assert reply.status == 413
            assert await reply.read_all(100) == b"too large"
            assert await ask(made) == b"two"


async def test_a_reader_that_does_not_read_stops_the_network() -> None:
    pieces = [chunk(b"y" * 65_536)] * 200
    with raw_upstream([ReadRequest(), chunked_sse_head(), *pieces, chunk(b"")]) as server:
        async with client(server.url) as made:
            reply = await made.send("GET", made.origin.api("/v1/x"))
            largest = 0
            size = 0
            while data := await reply.read():
                largest = max(largest, len(data))
                size += len(data)
                await asyncio.sleep(0)
            assert size == 200 * 65_536
            assert largest <= HIGH_WATER + 1_048_576  # what was under way when it paused


async def test_headers_over_the_limit_are_garbage() -> None:
    fields = b"".join(b"x-%d: %b\r\n" % (n, b"y" * 1000) for n in range(100))
    assert len(fields) > MAX_UPSTREAM_HEAD_BYTES
    with raw_upstream([ReadRequest(), b"HTTP/1.1 200 OK\r\n" + fields, Stall()]) as server:
        async with client(server.url) as made:
            with pytest.raises(Fault) as caught:
                await ask(made)
    assert caught.value.kind is FaultKind.GARBAGE


async def test_trailer_fields_are_no_headers() -> None:
    body = b"2\r\nok\r\n0\r\nx-late: 1\r\n\r\n"
    with raw_upstream([ReadRequest(), chunked_sse_head() + body]) as server:
        async with client(server.url) as made:
            reply = await made.send("GET", made.origin.api("/v1/x"))
            assert await reply.read_all(10) == b"ok"
            assert "x-late" not in reply.headers


async def test_many_at_once_each_have_a_connection_and_later_ones_reuse_them() -> None:
    script: list[Step] = [ReadRequest(), answer(b"a"), ReadRequest(), answer(b"b")]
    with raw_upstream(script) as server:
        async with client(server.url) as made:
            assert await asyncio.gather(*(ask(made) for _ in range(8))) == [b"a"] * 8
            assert await asyncio.gather(*(ask(made) for _ in range(8))) == [b"b"] * 8
        assert len(server.connections) == 8


# --- TLS ------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(folder: Path) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"{}"):
                writer.write(answer(b"sealed"))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(folder, "localhost"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_tls_is_spoken_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with tls_server(tmp_path) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        async with client(url) as made:
            assert [await ask(made), await ask(made)] == [b"sealed", b"sealed"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as url, client(url) as made:
        with pytest.raises(Fault) as caught:
            await ask(made)
    assert caught.value.kind is FaultKind.CONNECT
    assert "TLS: self-signed certificate" in caught.value.message


@pytest.mark.parametrize("rounds", [0, 1, 2], ids=["before", "while", "soon after"])
async def test_a_request_given_up_while_it_is_dialled_leaves_nothing(rounds: int) -> None:
    with raw_upstream([Stall()]) as server:
        async with client(server.url) as made:
            reply = made.send_now("POST", made.origin.api("/v1/x"), body=b"{}")
            assert reply is not None
            for _ in range(rounds):
                await asyncio.sleep(0)
            reply.close()
            async with asyncio.timeout(WAIT_SECONDS):
                await made.aclose()


async def test_a_request_given_up_at_the_moment_it_is_connected_leaves_nothing() -> None:
    pool = HttpPool(Origin("http://127.0.0.1:9"), keepalive=4)

    async def connect(protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            protocol().connection_made(Transport())  # which tells nobody that it is closed

    pool._dialer.connect = connect  # type: ignore[method-assign]
    reply = pool.request_now("POST", URL("http://127.0.0.1:9/"), b"{}", None, Deadlines())
    assert reply is not None
    await asyncio.sleep(0)
    reply.close()
    async with asyncio.timeout(WAIT_SECONDS):
        await pool.aclose()


async def test_closing_twice_at_a_time_ends_both() -> None:
    with raw_upstream([Stall()]) as server:
        async with client(server.url) as made:
            assert made.send_now("POST", made.origin.api("/v1/x"), body=b"{}")
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.gather(made.aclose(), made.aclose())


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_name_that_cannot_be_one_is_an_unknown_host(host: str) -> None:
    async with client(f"http://{host}") as made:
        with pytest.raises(Fault) as caught:
            await ask(made)
    assert caught.value.kind is FaultKind.CONNECT
    assert "unknown host" in caught.value.message


async def test_time_that_is_up_as_soon_as_it_is_connected_is_told_as_what_it_is() -> None:
    pool = HttpPool(Origin("http://127.0.0.1:9"), keepalive=4)

    async def connect(protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        protocol().connection_made(Transport())
        raise TimeoutError

    pool._dialer.connect = connect  # type: ignore[method-assign]
    url = URL("http://127.0.0.1:9/")
    with pytest.raises(Fault) as caught:
        await pool.request("POST", url, b"{}", None, Deadlines())
    assert caught.value.kind is FaultKind.CUT  # somebody may have read the request


# --- through a proxy ------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nx-began: "])
async def test_only_an_answer_that_has_not_begun_is_asked_for_again_through_a_proxy(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[Step] = [ReadRequest(), answer(b"one"), ReadRequest(), begun, Cut()]
    with raw_upstream(first, [ReadRequest(), answer(b"two")]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        made = HttpClient(Origin("http://behind.example"))
        try:
            assert await ask(made) == b"one"
            if begun:
                with pytest.raises(Fault) as caught:
                    await ask(made)
                assert caught.value.kind is FaultKind.CUT
            else:
                assert await ask(made) == b"two"
        finally:
            await made.aclose()
