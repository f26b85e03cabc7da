"""The double over real HTTP."""

import asyncio
import http.client
import json
import threading
from urllib.parse import urlsplit

import aiohttp
import pytest

from deepseek_messages.upstreams.double import (
    Call,
    Cut,
    CutAfterBytes,
    Delay,
    Double,
    Finish,
    Frame,
    Garbage,
    KeepAlive,
    NoDone,
    Stall,
    Status,
    Text,
    Think,
    running_double,
)
from deepseek_messages.upstreams.double.errors import JSON_TYPE, OCTETS, TEXT
from tests.support.gates import WAIT_SECONDS

BODY = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = BODY | {"stream": True}
PATH = "/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def served():
    double = Double()
    with running_double(double) as url:
        yield double, url


@pytest.fixture
def double(served):
    served[0].clear()
    return served[0]


@pytest.fixture
def call(served, double):
    def ask(body=BODY, path=PATH, method="POST", **headers):
        """Send one request; give status, content type and body."""
        place = urlsplit(served[1])
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=WAIT_SECONDS)
        fields = {"authorization": "Bearer k", "content-type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.putrequest(method, path)
            connection.putheader("content-length", str(len(data)))
            for name, value in fields.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            response = connection.getresponse()
            return response.status, response.headers["content-type"], response.read()
        finally:
            connection.close()

    return ask


def frames(raw: bytes) -> list[str]:
    lines = [line for line in raw.decode().split("\n\n") if line]
    return [line.removeprefix("data: ") for line in lines]


def content(raw: bytes) -> str:
    chunks = [json.loads(frame) for frame in frames(raw) if frame != "[DONE]"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


# --- paths, methods, keys -------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, "/v1/chat/completions", "/beta/chat/completions"])
def test_answers_at_every_path(call, path):
    status, kind, raw = call(path=path)
    assert (status, kind) == (200, JSON_TYPE)
    assert json.loads(raw)["object"] == "chat.completion"


@pytest.mark.parametrize("path", ["/models", "/v1/models"])
def test_lists_models(call, path):
    status, kind, raw = call(b"", path, "GET", content_type=None)
    assert (status, kind) == (200, JSON_TYPE)
    assert [model["id"] for model in json.loads(raw)["data"]] == [
        "deepseek-flash",
        "deepseek-v4-pro",
    ]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/x", "POST", 404),
        ("/", "GET", 404),
        ("/v1/chat/completions/", "POST", 404),
        (PATH, "GET", 405),
        (PATH, "PUT", 405),
        ("/models", "POST", 405),
    ],
)
def test_wrong_paths_and_methods_have_no_body(call, path, method, status):
    assert call(path=path, method=method) == (status, None, b"")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_wrong_content_type_byte_for_byte(call, kind):
    body = b"Expected request with `Content-Type: application/json`"
    assert len(body) == 54
    assert call(content_type=kind) == (415, TEXT, body)


def test_a_content_type_may_have_parameters(call):
    assert call(content_type="application/json; charset=utf-8")[0] == 200


def test_no_key_byte_for_byte(call):
    body = b"Authentication Fails (governor)"
    assert len(body) == 31
    assert call(authorization=None) == (401, None, body)


def test_the_key_is_judged_before_the_path(call):
    assert call(path="/x", method="PUT", authorization=None)[0] == 401


@pytest.mark.parametrize(("key", "status"), [("invalid-1234", 401), ("empty-balance", 402)])
def test_bad_and_poor_keys(call, key, status):
    assert call(authorization=f"Bearer {key}")[:2] == (status, JSON_TYPE)


def test_unreadable_json_is_answered_in_plain_text(call):
    status, kind, raw = call(b'{"model":')
    assert (status, kind) == (400, OCTETS)
    assert raw.startswith(b"Failed to parse the request body as JSON: model: EOF")


# --- what is recorded -----------------------------------------------------------------------------


def test_records_what_it_saw(call, double):
    call(STREAM, authorization="Bearer sk-1")
    seen = double.request()
    assert seen.ended.wait(WAIT_SECONDS)
    assert (seen.key, seen.path, seen.outcome) == ("sk-1", PATH, "whole")
    assert seen.body == STREAM
    assert seen.headers["content-type"] == "application/json"
    assert seen.prompt.endswith("<｜User｜>Hello<｜Assistant｜><think>")
    assert (seen.prompt_tokens, seen.cached_tokens, seen.thinking) == (31, 0, True)
    assert double.refusals == []


def test_records_refusals(call, double):
    call(BODY | {"tools": []})
    call(path="/x")
    assert [seen.refused.status for seen in double.refusals] == [400, 404]
    assert double.requests[0].refused.message.startswith("Invalid 'tools'")
    assert len(double.requests) == 1
    assert len(double.everything) == 2


def test_a_refused_request_takes_nothing_from_the_script(call, double):
    double.expect(Text("scripted"))
    call(BODY | {"tools": []})
    assert double.pending == 1
    assert json.loads(call()[2])["choices"][0]["message"]["content"] == "scripted"


# --- answers --------------------------------------------------------------------------------------


def test_echoes_without_a_script(call):
    message = json.loads(call()[2])["choices"][0]["message"]
    assert message["content"].endswith("You said: Hello")
    assert message["reasoning_content"]


def test_streams_frames_and_done(call):
    status, kind, raw = call(STREAM)
    assert (status, kind) == (200, "text/event-stream; charset=utf-8")
    assert frames(raw)[-1] == "[DONE]"
    assert content(raw).endswith("You said: Hello")


def test_the_script_is_played_in_order_and_then_the_echo(call, double):
    double.expect(Text("one"), [Think("t"), Text("two")])
    answers = [content(call(STREAM)[2]) for _ in range(3)]
    assert answers[:2] == ["one", "two"]
    assert "Hello" in answers[2]


def test_a_function_can_answer():
    def respond(seen):
        return Text("special") if "Hello" in seen.prompt else None

    with running_double(Double(respond=respond)) as url:
        body = json.dumps(STREAM).encode()
        assert content(asyncio.run(_post(url, body))) == "special"


async def _post(url: str, body: bytes) -> bytes:
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + PATH, data=body) as response,
    ):
        return await response.read()


def test_usage_can_come_in_a_chunk_of_its_own():
    body = STREAM | {"stream_options": {"include_usage": True}}
    with running_double(Double([Text("a")], usage_chunk=True)) as url:
        raw = asyncio.run(_post(url, json.dumps(body).encode()))
    finish, usage = [json.loads(frame) for frame in frames(raw)[-3:-1]]
    assert (finish["choices"][0]["finish_reason"], finish["usage"]) == ("stop", None)
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 31)


def test_cached_tokens_by_prefix_key_and_user(call, double):
    long = [{"role": "user", "content": "word " * 300}]
    hits = [
        json.loads(call(BODY | {"messages": long} | fields, authorization=f"Bearer {key}")[2])[
            "usage"
        ]["prompt_cache_hit_tokens"]
        for key, fields in [
            ("a", {}),
            ("a", {}),
            ("b", {}),
            ("a", {"user_id": "u"}),
            ("a", {"user_id": "u"}),
        ]
    ]
    assert hits == [0, 256, 0, 0, 256]


def test_the_next_turn_hits_the_answer_too(call, double):
    answer = "word " * 200
    double.expect([Think("t"), Text(answer)])
    call(BODY | {"tools": [TOOL]})
    turns = [
        *BODY["messages"],
        {"role": "assistant", "content": answer, "reasoning_content": "t"},
        {"role": "user", "content": "more"},
    ]
    call(BODY | {"tools": [TOOL], "messages": turns})
    first, second = double.requests
    assert first.prompt_tokens < 384 <= second.cached_tokens


# --- faults ---------------------------------------------------------------------------------------


def test_a_status(call, double):
    double.expect(Status(429, b'{"error":{}}', {"content-type": JSON_TYPE, "retry-after": "7"}))
    assert call() == (429, JSON_TYPE, b'{"error":{}}')


def test_keep_alive_in_a_stream(call, double):
    double.expect([KeepAlive(2), Text("a"), KeepAlive(), Text("b")])
    raw = call(STREAM)[2]
    assert raw.startswith(b": keep-alive\n\n: keep-alive\n\ndata: ")
    assert raw.count(b": keep-alive\n\n") == 3


def test_keep_alive_before_a_whole_answer(call, double):
    double.expect([KeepAlive(3), Text("a")])
    raw = call()[2]
    assert raw.startswith(b"\n\n\n{")
    assert json.loads(raw)["choices"][0]["message"]["content"] == "a"


def test_frames_and_garbage_go_out_as_they_are(call, double):
    double.expect([Text("a"), Frame('{"error":{"code":5}}'), Garbage(b"\xff<html>")])
    raw = call(STREAM)[2]
    assert b'data: {"error":{"code":5}}\n\n\xff<html>data: ' in raw


def test_no_done(call, double):
    double.expect([Text("a"), NoDone()])
    assert "[DONE]" not in frames(call(STREAM)[2])


def test_steps_after_the_finish_come_before_done(call, double):
    double.expect([Text("a"), Finish("length"), Frame("{}")])
    assert frames(call(STREAM)[2])[-2:] == ["{}", "[DONE]"]


@pytest.mark.parametrize("body", [BODY, STREAM])
@pytest.mark.parametrize("count", [1, 100, 300])
def test_cut_after_bytes(call, double, body, count):
    double.expect([Text("a"), CutAfterBytes(count)])
    with pytest.raises(http.client.IncompleteRead) as caught:
        call(body)
    assert len(caught.value.partial) == count
    assert double.request().ended.wait(WAIT_SECONDS)
    assert double.request().outcome == "cut"


def test_cut_at_a_step(call, double):
    double.expect([Text("a"), Cut(), Text("b")])
    with pytest.raises(http.client.IncompleteRead) as caught:
        call(STREAM)
    assert content(caught.value.partial) == "a"


def test_a_cut_answer_is_not_cached(call, double):
    long = BODY | {"messages": [{"role": "user", "content": "word " * 300}]}
    double.expect([Cut()])
    with pytest.raises(http.client.IncompleteRead):
        call(long)
    call(long)
    assert double.requests[1].cached_tokens == 0


def test_broken_arguments(call, double):
    double.expect([Call("f", '{"a": "x'), Finish("length")])
    choice = json.loads(call(BODY | {"tools": [TOOL]})[2])["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": "x'
    assert choice["finish_reason"] == "length"


def test_an_impossible_script_is_reported(call, double):
    double.expect([Text("a"), Status(500)])
    with pytest.raises(http.client.IncompleteRead):
        call(STREAM)
    assert double.request().ended.wait(WAIT_SECONDS)
    assert double.request().outcome == "script error"
    assert "status" in str(double.request().problem)


def test_an_impossible_script_before_the_first_byte_is_a_500(call, double):
    double.expect([Call("f"), Text("a")])
    assert call(BODY | {"tools": [TOOL]})[0] == 500


# --- waiting and leaving --------------------------------------------------------------------------


@pytest.fixture
def session(served):
    headers = {"authorization": "Bearer k"}

    def run(work):
        async def main():
            async with aiohttp.ClientSession(served[1], headers=headers) as session:
                await work(session)

        asyncio.run(main())

    return run


def test_a_delay_first_holds_back_the_headers(session, double):
    gate = threading.Event()
    double.expect([Delay(gate), Text("a")])

    async def work(session):
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(session.post(PATH, json=STREAM))
            seen = await asyncio.to_thread(double.request)
            assert not asking.done()
            assert not seen.ended.is_set()
            gate.set()
            async with await asking as response:
                assert content(await response.read()) == "a"

    session(work)


def test_a_delay_later_holds_back_the_rest(session, double):
    gate = threading.Event()
    double.expect([Text("a"), Delay(gate), Text("b")])

    async def work(session):
        async with session.post(PATH, json=STREAM) as response:
            begun = b""
            while b'"a"' not in begun:
                begun += await response.content.readany()
            gate.set()
            assert content(begun + await response.read()) == "ab"

    session(work)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (STREAM, [Text("a"), Stall()]),
        (STREAM, [Delay(600.0), Text("a")]),
        (BODY, [Delay(600.0), Text("a")]),
    ],
)
def test_tells_when_the_client_left(session, double, body, answer):
    double.expect(answer)

    async def work(session):
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(session.post(PATH, json=body))
            seen = await asyncio.to_thread(double.request)
            asking.cancel()
        assert await asyncio.to_thread(seen.ended.wait, WAIT_SECONDS)
        assert seen.outcome == "client gone"

    session(work)


def test_serves_many_at_once(session, double):
    gate = threading.Event()
    double.expect(*[[Delay(gate), Text("a")]] * 20)

    async def work(session):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(session.post(PATH, json=BODY)) for _ in range(20)]
            await asyncio.to_thread(double.request, 19)
            gate.set()
        for task in asked:
            async with task.result() as response:
                assert response.status == 200

    session(work)
