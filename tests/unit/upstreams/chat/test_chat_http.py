"""The chat client against scripted loopback servers."""

import asyncio
import contextlib
import gzip
import json
import socket
import zlib
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from deepseek_messages import __version__
from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, VLLM
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.wire.chat import AssistantMessage, ChatRequest, UserMessage
from tests.faults.chat_bytes import (
    DONE,
    USAGE,
    call,
    connected,
    delta,
    frame,
    read_all,
    text_of,
    tool_delta,
    whole,
)
from tests.support.servers import (
    Gate,
    HalfClose,
    ReadRequest,
    Reset,
    Stall,
    Step,
    Wait,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
    sse_head,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

STREAM = delta(content="Hel") + delta(content="lo!") + delta("stop", USAGE, content="") + DONE


def chunked(*parts: bytes) -> list[Step]:
    """A streamed answer in HTTP chunks that keeps its connection."""
    *early, last = [chunk(part) for part in parts]
    return [ReadRequest(), chunked_sse_head(), *early, last + chunk(b"")]


async def fault_of(*script: Step, stream: bool = True, **options: Any) -> Fault:
    """The fault that one request to a server with this script ends in."""
    with raw_upstream(list(script)) as server:
        async with connected(server.url, **options) as upstream:
            with pytest.raises(Fault) as caught:
                await read_all(await upstream.open(call(stream=stream)))
    return caught.value


async def chunks_of(*script: Step, stream: bool = True) -> list[Any]:
    with raw_upstream(list(script)) as server:
        async with connected(server.url) as upstream:
            return await read_all(await upstream.open(call(stream=stream)))


# --- what goes up ---------------------------------------------------------------------------------


async def test_the_request_is_the_encoded_chat_request() -> None:
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url) as upstream:
            await read_all(await upstream.open(call(stream=False)))
        request = server.request()
    assert (request.method, request.target) == ("POST", "/chat/completions")
    assert json.loads(request.body) == {
        "model": "deepseek-chat",
        "messages": [{"role": "user", "content": "Hello"}],
    }


async def test_only_listed_headers_go_up() -> None:
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url, api_key="sk-own") as upstream:
            await read_all(await upstream.open(call(stream=False)))
        headers = dict(server.request().headers)
    assert headers.pop("host") == f"127.0.0.1:{server.port}"
    assert int(headers.pop("content-length")) > 0
    assert headers == {
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "authorization": "Bearer sk-own",
        "content-type": "application/json",
        "user-agent": f"deepseek-messages/{__version__}",
    }


@pytest.mark.parametrize(
    ("own", "callers", "sent"),
    [
        ("sk-own", None, "Bearer sk-own"),
        ("sk-own", "sk-theirs", "Bearer sk-theirs"),
        (None, "sk-theirs", "Bearer sk-theirs"),
        (None, None, None),
    ],
)
async def test_the_callers_key_goes_instead_of_our_own(
    own: str | None, callers: str | None, sent: str | None
) -> None:
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url, api_key=own) as upstream:
            await read_all(await upstream.open(call(stream=False, credential=callers)))
        assert server.request().header("authorization") == sent


@pytest.mark.parametrize("key", ["sk-a\r\nx-evil: 1", "sk-ä", "sk a"])
async def test_a_key_that_cannot_be_a_header_is_the_callers_fault(key: str) -> None:
    async with connected("http://127.0.0.1:9") as upstream:
        with pytest.raises(Fault) as caught:
            await upstream.open(call(credential=key))
    assert caught.value.status == 401
    assert key not in caught.value.message


async def test_a_prefix_goes_to_deepseeks_beta_path() -> None:
    last = AssistantMessage(content="Once", prefix=True)
    request = ChatRequest(model="m", messages=[UserMessage(content="Go"), last])
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url + "/v1") as upstream:
            await read_all(await upstream.open(UpstreamCall(request=request)))
        assert server.request().target == "/beta/chat/completions"


async def test_a_large_body_arrives_whole() -> None:
    text = "x" * (3 * 1024 * 1024)
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url) as upstream:
            await read_all(await upstream.open(call(stream=False, text=text)))
        assert json.loads(server.request().body)["messages"][0]["content"] == text


# --- what comes down ------------------------------------------------------------------------------


async def test_a_stream_gives_its_chunks_and_ends() -> None:
    assert text_of(await chunks_of(*chunked(STREAM))) == "Hello!"


async def test_each_network_read_gives_one_batch() -> None:
    gate = Gate()
    first = [ReadRequest(), chunked_sse_head(), chunk(delta(content="a") + delta(content="b"))]
    with raw_upstream([*first, Wait(gate), chunk(DONE), chunk(b"")]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call())
            assert len(await stream.read()) == 2
            gate.set()
            assert await stream.read() == []
            assert await stream.read() == []


async def test_a_whole_answer_is_one_batch() -> None:
    with raw_upstream([ReadRequest(), answer(whole())]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call(stream=False))
            assert text_of(list(await stream.read())) == "Hello!"
            assert not await stream.read()


@pytest.mark.parametrize("stream", [True, False])
async def test_blank_lines_before_a_whole_answer_are_keep_alives(stream: bool) -> None:
    head = chunked_sse_head({"content-type": "application/json"})
    script = [ReadRequest(), head, chunk(b"\n"), chunk(b"\n\n"), chunk(whole()), chunk(b"")]
    assert text_of(await chunks_of(*script, stream=stream)) == "Hello!"


async def test_comments_before_a_stream_are_keep_alives() -> None:
    script = chunked(b": keep-alive\n\n", b": keep-alive\n\n", STREAM)
    assert text_of(await chunks_of(*script)) == "Hello!"


async def test_json_where_a_stream_was_asked_is_a_whole_answer() -> None:
    assert text_of(await chunks_of(ReadRequest(), answer(whole()))) == "Hello!"


async def test_a_stream_where_none_was_asked_is_read_as_one() -> None:
    assert text_of(await chunks_of(*chunked(STREAM), stream=False)) == "Hello!"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_compressed_stream_is_decoded_although_not_asked_for(encoding: str) -> None:
    packed = gzip.compress(STREAM) if encoding == "gzip" else zlib.compress(STREAM)
    head = chunked_sse_head({"content-encoding": encoding})
    script = [ReadRequest(), head, chunk(packed[:20]), chunk(packed[20:]), chunk(b"")]
    assert text_of(await chunks_of(*script)) == "Hello!"


async def test_a_stream_without_its_end_marker_ends_cleanly() -> None:
    assert text_of(await chunks_of(*chunked(STREAM.removesuffix(DONE)))) == "Hello!"


async def test_what_follows_the_end_marker_is_ignored() -> None:
    assert text_of(await chunks_of(*chunked(STREAM + STREAM, STREAM))) == "Hello!"


async def test_chunks_before_a_bad_frame_are_handed_on_first() -> None:
    script = [ReadRequest(), chunked_sse_head(), chunk(delta(content="kept") + b"data: {oops\n\n")]
    with raw_upstream([*script, Stall()]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call())
            assert text_of(list(await stream.read())) == "kept"
            with pytest.raises(Fault) as caught:
                await stream.read()
    assert caught.value.kind is FaultKind.GARBAGE


async def test_an_error_frame_is_handed_on_for_the_translation_to_tell() -> None:
    chunks = await chunks_of(*chunked(frame({"error": {"message": "boom"}}), DONE))
    assert bytes(chunks[0].error) == b'{"message": "boom"}'


async def test_tool_arguments_arrive_byte_for_byte() -> None:
    parts = ['{"ci', 'ty":"Paris \\u00e9', '"}']
    script = chunked(tool_delta(parts[0], first=True), *map(tool_delta, parts[1:]), DONE)
    assert text_of(await chunks_of(*script)) == "".join(parts)


# --- connections ----------------------------------------------------------------------------------


async def test_a_connection_is_kept_for_the_next_request() -> None:
    script = [*chunked(STREAM), *chunked(STREAM)]
    with raw_upstream(script) as server:
        async with connected(server.url) as upstream:
            for _ in range(2):
                assert text_of(await read_all(await upstream.open(call()))) == "Hello!"
        assert len(server.connections) == 1


@pytest.mark.parametrize("size", [10, 300_000, 3_000_000], ids=["small", "in pieces", "large"])
@pytest.mark.parametrize("ending", [Reset(), HalfClose()])
async def test_a_kept_connection_that_died_is_replaced_at_once(ending: Step, size: int) -> None:
    """The server ends the kept connection only when the second request is on it."""
    first: Sequence[Step] = [*chunked(STREAM), ReadRequest(), ending]
    with raw_upstream(first, chunked(STREAM)) as server:
        async with connected(server.url) as upstream:
            for _ in range(2):
                stream = await upstream.open(call(text="x" * size))
                assert text_of(await read_all(stream)) == "Hello!"
        assert len(server.connections) == 2


async def test_when_all_kept_connections_died_a_fresh_one_is_next() -> None:
    """A server that was restarted: none of the others is worth a try."""
    script: Sequence[Step] = [*chunked(STREAM), ReadRequest(), Reset()]
    with raw_upstream(script, script, script, chunked(STREAM)) as server:
        async with connected(server.url) as upstream:
            streams = [await upstream.open(call()) for _ in range(3)]
            for stream in streams:
                assert text_of(await read_all(stream)) == "Hello!"
            assert text_of(await read_all(await upstream.open(call()))) == "Hello!"
        assert len(server.connections) == 4


async def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    with raw_upstream([ReadRequest(), Reset()]) as server:
        async with connected(server.url) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call())
        assert len(server.connections) == 1
    assert caught.value.kind is FaultKind.CUT


async def test_a_kept_connection_that_dies_after_its_headers_is_not_tried_again() -> None:
    first: Sequence[Step] = [*chunked(STREAM), ReadRequest(), chunked_sse_head(), Reset()]
    with raw_upstream(first) as server:
        async with connected(server.url) as upstream:
            await read_all(await upstream.open(call()))
            with pytest.raises(Fault):
                await read_all(await upstream.open(call()))
        assert len(server.connections) == 1


async def test_an_expired_connection_is_not_used_again() -> None:
    with raw_upstream(chunked(STREAM), chunked(STREAM)) as server:
        async with connected(server.url, keepalive=-1.0) as upstream:
            for _ in range(2):
                await read_all(await upstream.open(call()))
        assert len(server.connections) == 2


# --- closing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_before_the_first_byte_closes_the_connection(stream: bool) -> None:
    with raw_upstream([ReadRequest(), Stall()]) as server:
        async with connected(server.url) as upstream:
            opening = in_background(upstream.open(call(stream=stream)))
            await _request_came(server)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await server.connection().peer_closed.opened()


async def test_cancelling_while_the_body_is_still_going_up_closes_the_connection() -> None:
    """The peer takes nothing, so our unsent megabytes must not keep the socket open."""
    async with DeafServer() as (url, closed), connected(url) as upstream:
        opening = in_background(upstream.open(call(text="x" * 32_000_000)))
        await closed.wait_connected()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await closed.wait_closed()


async def test_cancelling_a_read_closes_the_connection() -> None:
    with raw_upstream([ReadRequest(), chunked_sse_head(), chunk(delta(content="a")), Stall()]) as s:
        async with connected(s.url) as upstream:
            stream = await upstream.open(call())
            await stream.read()
            reading = in_background(stream.read())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await s.connection().peer_closed.opened()


@pytest.mark.parametrize("stream", [True, False])
async def test_aclose_closes_the_connection_at_once(stream: bool) -> None:
    with raw_upstream([ReadRequest(), chunked_sse_head(), Stall()]) as server:
        async with connected(server.url) as upstream:
            reply = await upstream.open(call(stream=stream))
            await reply.aclose()
            await reply.aclose()
            await server.connection().peer_closed.opened()


async def test_aclose_ends_a_read_that_waits_in_another_task() -> None:
    with raw_upstream([ReadRequest(), chunked_sse_head(), Stall()]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call())
            reading = in_background(stream.read())
            await asyncio.sleep(0)
            await stream.aclose()
            with pytest.raises(Fault):
                await reading
            await server.connection().peer_closed.opened()


async def test_closing_the_upstream_closes_streams_under_way() -> None:
    with raw_upstream([ReadRequest(), chunked_sse_head(), Stall()]) as server:
        async with connected(server.url) as upstream:
            stream = await upstream.open(call())
            await upstream.aclose()
            await server.connection().peer_closed.opened()
            with pytest.raises(Fault):
                await stream.read()


async def test_a_server_that_never_ends_its_body_loses_the_connection_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepseek_messages.upstreams.http.pooled_reply.LINGER_TIMEOUT", 0.01)
    with raw_upstream([ReadRequest(), chunked_sse_head(), chunk(STREAM), Stall()]) as server:
        async with connected(server.url) as upstream:
            assert text_of(await read_all(await upstream.open(call()))) == "Hello!"
            await server.connection().peer_closed.opened()


def in_background(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that the test cancels or awaits itself."""
    return asyncio.get_running_loop().create_task(work)


async def _request_came(server: Any) -> None:
    connection = await asyncio.to_thread(server.connection)
    await connection.request_came.opened()


class DeafServer:
    """Accepts one connection and never reads from it; tells when it was reset."""

    def __init__(self) -> None:
        self._connected = asyncio.Event()
        self._closed = asyncio.Event()

    async def __aenter__(self) -> tuple[str, "DeafServer"]:
        loop = asyncio.get_running_loop()
        deaf = self

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                transport.pause_reading()
                deaf._transport = transport
                deaf._connected.set()

            def connection_lost(self, _: Exception | None) -> None:
                deaf._closed.set()

        self._server = await loop.create_server(Protocol, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}", self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._transport.abort()

    async def wait_connected(self) -> None:
        await self._connected.wait()

    async def wait_closed(self) -> None:
        """Read on: what was in flight comes, then the end of it."""
        self._transport.resume_reading()
        await self._closed.wait()


# --- faults beside the matrix ---------------------------------------------------------------------


async def test_nobody_listening_is_a_connect_fault() -> None:
    with socket.socket() as bound:  # and not listening; nobody else can get the port
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with connected(url) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call())
    assert (caught.value.kind, caught.value.status) == (FaultKind.CONNECT, 502)
    assert caught.value.transient
    assert caught.value.message == f"could not connect to the upstream {url} (connection refused)"


async def test_connecting_takes_only_so_long() -> None:
    """Nobody accepts, and the queue of those who wait for it is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with connected(url, connect_timeout=0.1) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call())
    assert caught.value.kind in {FaultKind.CONNECT, FaultKind.TIMEOUT}
    assert caught.value.transient


async def test_an_unknown_host_is_a_connect_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a name server may take its time
    async with connected("http://no-such-host.invalid") as upstream:
        with pytest.raises(Fault) as caught:
            await upstream.open(call())
    assert caught.value.kind is FaultKind.CONNECT


async def test_plain_http_on_a_tls_address_is_a_connect_fault() -> None:
    with raw_upstream([b"hello\r\n", Stall()]) as server:
        async with connected(server.url.replace("http:", "https:")) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call())
    assert caught.value.kind is FaultKind.CONNECT
    assert "TLS" in caught.value.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    with raw_upstream([Stall()]) as other:
        redirect = answer(b"", status, {"location": other.url})
        fault = await fault_of(ReadRequest(), redirect, api_key="sk-own")
        assert not other.connections
    assert (fault.status, fault.upstream_status) == (502, status)
    assert not fault.transient


@pytest.mark.parametrize("own", ["sk-own", None])
async def test_our_refused_or_missing_key_is_not_the_callers_fault(own: str | None) -> None:
    fault = await fault_of(ReadRequest(), answer(b"{}", 401), api_key=own)
    assert (fault.status, fault.upstream_status) == (502, 401)


async def test_the_callers_refused_key_is_theirs() -> None:
    with raw_upstream([ReadRequest(), answer(b"{}", 401)]) as server:
        async with connected(server.url, api_key="sk-own") as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call(credential="sk-theirs"))
    assert caught.value.status == 401


async def test_retry_after_is_handed_on() -> None:
    fault = await fault_of(ReadRequest(), answer(b"{}", 429, {"retry-after": "7"}))
    assert (fault.status, fault.retry_after) == (429, 7)


async def test_an_error_body_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.upstreams.chat.upstream.ERROR_BODY_TIMEOUT", 0.05)
    head = chunked_sse_head({"content-type": "application/json"}).replace(b"200 OK", b"503 Busy")
    fault = await fault_of(ReadRequest(), head, chunk(b"overl"), Stall())
    assert (fault.status, fault.upstream_status) == (529, 503)


async def test_of_a_long_error_body_the_beginning_is_read_and_the_rest_not_waited_for() -> None:
    head = b"HTTP/1.1 400 Bad\r\ncontent-type: text/plain\r\ncontent-length: 9999999\r\n\r\n"
    said = b"the words of a refusal " + b"x" * 64 * 1024
    fault = await fault_of(ReadRequest(), head + said, Stall())
    assert "the words of a refusal" in fault.message


async def test_an_unknown_content_encoding_is_garbage() -> None:
    head = chunked_sse_head({"content-encoding": "gzip, gzip"})
    fault = await fault_of(ReadRequest(), head, chunk(STREAM), chunk(b""))
    assert fault.kind is FaultKind.GARBAGE


async def test_messages_name_neither_key_nor_path() -> None:
    fault = await fault_of(ReadRequest(), Reset(), api_key="sk-secret")
    assert "sk-secret" not in fault.message
    assert "/chat" not in fault.message


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-ключ", "a b"])
async def test_an_impossible_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="key") as caught:
        ChatHttpUpstream(base_url="https://api.deepseek.com", api_key=key)
    assert key not in str(caught.value)


async def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_upstream([ReadRequest(), answer(whole())]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with connected("http://chat.invalid") as upstream:
            assert text_of(await read_all(await upstream.open(call(stream=False)))) == "Hello!"
        request = proxy.request()
    assert request.target == "http://chat.invalid/chat/completions"
    assert request.header("host") == "chat.invalid"


async def test_no_proxy_excludes_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert text_of(await chunks_of(ReadRequest(), answer(whole()))) == "Hello!"


async def test_a_proxy_that_refuses_the_tunnel_is_a_connect_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with raw_upstream([ReadRequest(), answer(b"", 407)]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with connected("https://chat.invalid", api_key="sk-own") as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.open(call())
        request = proxy.request()
    assert request.method == "CONNECT"
    assert request.header("authorization") is None
    assert caught.value.kind is FaultKind.CONNECT
    assert "407" in caught.value.message


async def test_the_dialect_can_be_given_and_is_guessed_otherwise() -> None:
    assert ChatHttpUpstream(base_url="http://h", dialect=VLLM).dialect is VLLM
    assert ChatHttpUpstream(base_url="http://h").dialect is GENERIC
    assert ChatHttpUpstream(base_url="https://api.deepseek.com").dialect is DEEPSEEK


async def test_cookies_are_not_kept() -> None:
    setting = answer(whole(), headers={"set-cookie": "a=b; Path=/"})
    with raw_upstream([ReadRequest(), setting, ReadRequest(), answer(whole())]) as server:
        async with connected(server.url) as upstream:
            for _ in range(2):
                await read_all(await upstream.open(call(stream=False)))
        assert server.request(1).header("cookie") is None


async def test_a_large_answer_in_pieces_is_whole() -> None:
    text = "y" * 2_000_000
    assert text_of(await chunks_of(ReadRequest(), answer(whole(text)), stream=False)) == text


async def test_a_stream_that_ends_with_its_connection_is_read_to_its_end() -> None:
    assert text_of(await chunks_of(ReadRequest(), sse_head(), STREAM)) == "Hello!"
