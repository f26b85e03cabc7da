"""The shortest way gives what the ordinary way gives, whatever the upstream does."""

import gc
import gzip
import http.client
import json
import re
import socket
import weakref
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import structlog

from deepseek_messages.prompt.counting import count_text
from deepseek_messages.service.tasks import running
from deepseek_messages.settings import Secret, ToolsSettings
from deepseek_messages.store.keys import KeyFile
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.chat.upstream import ChatHttpUpstream
from deepseek_messages.web.short_answer import ShortAnswer
from tests.faults.chat_bytes import DONE, USAGE, delta, tool_delta, whole
from tests.support.client import HELLO, MESSAGES, STREAM, Client, read_reply
from tests.support.gates import WAIT_SECONDS, Gate, wait_until
from tests.support.servers import (
    Cut,
    Reached,
    ReadRequest,
    Reset,
    Step,
    Wait,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
)
from tests.support.short import GOOD, MODELS, connect, post, send, serving, until_closed

END = chunk(delta("stop", USAGE, content="") + DONE) + chunk(b"")
THOUGHT = whole(reasoning_content="Hm.")
CALL = whole(
    None, tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]
)
PACKED = gzip.compress(whole())

ANSWERS: dict[str, Sequence[Step]] = {
    "whole": [GOOD, Cut()],
    "whole, the head first": [GOOD[:80], GOOD[80:], Cut()],
    "whole, in chunks": [chunked_sse_head(), chunk(whole()), chunk(b""), Cut()],
    "whole, after blank lines": [
        chunked_sse_head(),
        chunk(b"\n"),
        chunk(whole()),
        chunk(b""),
        Cut(),
    ],
    "thought": [answer(THOUGHT), Cut()],
    "a call": [answer(CALL), Cut()],
    "a think tag": [answer(whole("<think>Hm.</think>Hi.")), Cut()],
    "compressed": [answer(PACKED, headers={"content-encoding": "gzip"}), Cut()],
    "cut by length": [answer(whole().replace(b'"stop"', b'"length"')), Cut()],
    "no usage": [answer(json.dumps({"choices": json.loads(whole())["choices"]}).encode()), Cut()],
    "cut in the body": [GOOD[:-10], Cut()],
    "reset in the body": [GOOD[:-10], Reset()],
    "reset in the head": [GOOD[:20], Reset()],
    "no completion": [answer(b'{"hello": "world"}'), Cut()],
    "no JSON": [answer(b"<html>busy</html>"), Cut()],
    "no HTTP": [b"220 smtp ready\r\n\r\n", Cut()],
    "an error inside": [answer(b'{"error": {"message": "no", "code": 500}}'), Cut()],
    "busy": [answer(b'{"error": {"message": "slow"}}', 429, {"retry-after": "7"}), Cut()],
    "broken": [answer(b"oops", 500), Cut()],
    "moved": [answer(b"", 302, {"location": "http://127.0.0.1:1/"}), Cut()],
    "events": [
        chunked_sse_head(),
        chunk(delta(content="Hel")),
        chunk(delta(content="lo")),
        END,
        Cut(),
    ],
    "events with a call": [
        chunked_sse_head(),
        chunk(tool_delta("{}", first=True)),
        chunk(delta("tool_calls", USAGE) + DONE),
        chunk(b""),
        Cut(),
    ],
    "events cut": [chunked_sse_head(), chunk(delta(content="Hel")), Cut()],
    "garbage behind an event": [
        chunked_sse_head(),
        chunk(delta(content="Hel")),
        chunk(b"data: {no JSON}\n\n"),
        Cut(),
    ],
    "an error behind an event": [
        chunked_sse_head(),
        chunk(delta(content="Hel")),
        chunk(b'data: {"error": {"message": "no", "code": 500}}\n\n'),
        Cut(),
    ],
}


class Way(Enum):
    """How a request comes."""

    ORDINARY = "ordinary"  # in chunks, which never goes the short way
    FIRST = "first"  # as the first of its connection
    KNOWN = "known"  # with the head of the request before it


def ask(directory: Path, script: Sequence[Step], body: object, way: Way) -> tuple[Any, ...]:
    """What the second request gets and leaves in the log."""
    first = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), *script]
    with (
        raw_upstream(first, [ReadRequest(), *script]) as upstream,
        structlog.testing.capture_logs() as log,
        serving(directory, upstream) as served,
    ):
        connection = http.client.HTTPConnection(served.host, served.port, timeout=WAIT_SECONDS)
        assert post(connection, HELLO).status == 200
        if way is not Way.KNOWN:
            connection.close()
        reply = post(connection, body, chunked=way is Way.ORDINARY)
        connection.close()
        metrics = Client(served.host, served.port).get("/metrics").body.decode()
    assert re.findall(r"^deepseek_messages_open_\w+ (.*)", metrics, re.MULTILINE) == [
        "1.0",
        "0.0",
    ]  # the one that asks
    told = [dict(entry) for entry in log if entry.get("path") == MESSAGES][-1]
    for name in ("ms", "first_event_ms", "request_id"):
        told.pop(name, None)
    kept = {k: v for k, v in reply.headers.items() if k not in {"request-id", "date"}}
    shown = re.sub(rb"(req|msg)_[0-9a-f]+|:\d+ ", rb"\1_", reply.body)  # ids, ports
    kept.pop("content-length", None)
    return reply.status, kept, shown, told


@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("way", [Way.FIRST, Way.KNOWN])
def test_both_ways_agree(
    tmp_path: Path, taken: list[ShortAnswer], script: Sequence[Step], body: object, way: Way
) -> None:
    before = running()
    ordinary = ask(tmp_path, script, body, Way.ORDINARY)
    assert not taken
    assert ask(tmp_path, script, body, way) == ordinary
    assert len(taken) == 1
    assert running() == before


def edited(*edits: Any, thoughts: Sequence[str] = ("Hm.", "So.")) -> dict[str, Any]:
    """A conversation of some thoughts with context management."""
    messages: list[Any] = []
    for thought in thoughts:
        thinking = {"type": "thinking", "thinking": thought, "signature": "s"}
        said = [thinking, {"type": "text", "text": "Yes."}]
        messages += [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": said}]
    messages.append({"role": "user", "content": "And?"})
    management = {"edits": list(edits)}
    return HELLO | {"messages": messages, "context_management": management}


CLEAR_TOOLS, CLEAR_THINKING = "clear_tool_uses_20250919", "clear_thinking_20251015"
QUICK_EDITS = {
    "none": [],
    "all thinking kept": [{"type": CLEAR_THINKING, "keep": "all"}],
    "thinking cleared": [{"type": CLEAR_THINKING}],
    "no calls": [{"type": CLEAR_TOOLS}],
    "unknown": [{"type": "clear_everything"}],
    "both": [{"type": CLEAR_THINKING}, {"type": CLEAR_TOOLS}],
}


@pytest.mark.parametrize("edits", QUICK_EDITS.values(), ids=QUICK_EDITS)
@pytest.mark.parametrize("stream", [True, False])
def test_context_management_that_is_decided_at_once(
    tmp_path: Path, taken: list[ShortAnswer], edits: list[Any], stream: bool
) -> None:
    count_text("")  # loads the vocabulary
    body = edited(*edits) | {"stream": stream}
    script = ANSWERS["events" if stream else "whole"]
    ordinary = ask(tmp_path, script, body, Way.ORDINARY)
    assert b"applied_edits" in ordinary[2]
    assert not taken
    assert ask(tmp_path, script, body, Way.KNOWN) == ordinary
    assert len(taken) == 1


@pytest.mark.parametrize(
    "body",
    [
        edited({"type": "compact_20260112"}),
        edited({"type": CLEAR_THINKING}, thoughts=["Hm, not heard before. " * 99, "So."]),
    ],
    ids=["the size decides", "much to count"],
)
def test_context_management_that_has_to_be_counted(
    tmp_path: Path, taken: list[ShortAnswer], body: dict[str, Any]
) -> None:
    assert ask(tmp_path, ANSWERS["whole"], body, Way.KNOWN)[0] == 200
    assert not taken


WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
READ = {"name": "read", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(("tool", "short"), [(READ, 1), (WEB_SEARCH, 0)])
def test_tools_that_this_server_runs_take_the_ordinary_way(
    tmp_path: Path, taken: list[ShortAnswer], tool: dict[str, Any], short: int
) -> None:
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD]
    search = ToolsSettings(web_search="tavily", web_search_key=Secret("tvly-1"))
    with raw_upstream(script) as upstream, serving(tmp_path, upstream, tools=search) as served:
        connection = connect(served)
        assert post(connection, HELLO | {"tools": [tool]}).status == 200
        connection.close()
    assert len(taken) == short


@pytest.mark.parametrize(
    "body",
    [
        HELLO | {"max_tokens": -1},
        HELLO | {"messages": []},
        HELLO | {"thread": {"type": "create"}},
        [],
    ],
    ids=["range", "empty", "thread", "shape"],
)
def test_what_is_refused_is_refused_the_ordinary_way(
    tmp_path: Path, taken: list[ShortAnswer], body: object
) -> None:
    ordinary = ask(tmp_path, [], body, Way.ORDINARY)
    assert ordinary[0] == 400
    assert [ask(tmp_path, [], body, way) for way in (Way.FIRST, Way.KNOWN)] == [ordinary] * 2
    assert not taken


def waiting(directory: Path, gate: Gate, reached: Gate) -> Sequence[Step]:
    """An upstream whose second answer waits for a gate."""
    first = [ReadRequest(), MODELS, ReadRequest(), GOOD]
    return [*first, ReadRequest(), Reached(reached), Wait(gate), GOOD]


def test_a_client_that_leaves_stops_the_upstream(tmp_path: Path, taken: list[ShortAnswer]) -> None:
    gate, reached = Gate(), Gate()
    with (
        raw_upstream(waiting(tmp_path, gate, reached)) as upstream,
        structlog.testing.capture_logs() as log,
        serving(tmp_path, upstream) as served,
    ):
        connection = connect(served)
        send(connection)
        reached.require("the request at the upstream")
        connection.close()
        upstream.connections[0].peer_closed.require("the end of the upstream's work")
        gate.set()
    assert len(taken) == 1
    told = [entry for entry in log if entry["event"] == "request"][-1]
    assert (told["outcome"], told["status"]) == ("gone", 499)


def test_a_server_that_stops_finishes_what_runs(tmp_path: Path, taken: list[ShortAnswer]) -> None:
    gate, reached = Gate(), Gate()
    with (
        raw_upstream(waiting(tmp_path, gate, reached)) as upstream,
        serving(tmp_path, upstream) as served,
    ):
        connection = connect(served)
        send(connection)
        reached.require("the request at the upstream")
        served.server.should_exit = True
        until_closed(served)
        gate.set()
        reply = read_reply(connection)
        connection.close()
    assert reply.status == 200
    assert reply.headers["connection"] == "close"
    assert len(taken) == 1


def test_requests_that_wait_behind_one_another_are_all_answered(
    tmp_path: Path, taken: list[ShortAnswer]
) -> None:
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD, ReadRequest(), GOOD]
    with raw_upstream(script) as upstream, serving(tmp_path, upstream) as served:
        data = json.dumps(HELLO).encode()
        request = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b"
        request %= (len(data), data)
        with socket.create_connection((served.host, served.port), WAIT_SECONDS) as connection:
            connection.sendall(request)
            read = connection.makefile("rb")
            assert b"200" in one_answer(read)[0]
            connection.sendall(request)
            connection.sendall(request)
            assert [b"200" in one_answer(read)[0] for _ in range(2)] == [True, True]
            read.close()
    assert taken


def test_a_connection_that_rests_keeps_nothing_of_its_last_request(
    tmp_path: Path, taken: list[ShortAnswer]
) -> None:
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD]
    with raw_upstream(script) as upstream, serving(tmp_path, upstream) as served:
        connection = connect(served)
        assert post(connection, HELLO).status == 200
        kept = weakref.ref(taken.pop())
        wait_until(lambda: gc.collect() >= 0 and kept() is None)
        connection.close()


def one_answer(read: Any) -> tuple[bytes, bytes]:
    status, length = read.readline(), 0
    while (line := read.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
    return status, read.read(length)


def test_a_key_that_was_taken_back_lets_nobody_in(
    tmp_path: Path, taken: list[ShortAnswer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_messages.store.keys.LOOK_AFTER", 0.0)
    file = KeyFile(tmp_path / "keys")
    key = file.create("one")
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD]
    with (
        raw_upstream(script) as upstream,
        serving(tmp_path, upstream, auth={"mode": "keys", "keys_file": file.path}) as served,
    ):
        connection = http.client.HTTPConnection(served.host, served.port, timeout=WAIT_SECONDS)
        assert [post(connection, HELLO, key).status for _ in range(2)] == [200, 200]
        assert len(taken) == 1
        file.remove("one")
        assert post(connection, HELLO, key).status == 401
        connection.close()
    assert len(taken) == 1


@pytest.mark.parametrize("path", ["web.messages.parse_request", "service.answerer.to_chat"])
@pytest.mark.parametrize("way", [Way.FIRST, Way.KNOWN])
def test_a_bug_in_reading_a_request_is_answered_and_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, way: Way
) -> None:
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD]

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    with (
        raw_upstream(script) as upstream,
        structlog.testing.capture_logs() as log,
        serving(tmp_path, upstream, server={"max_concurrency": 1}) as served,
    ):
        connection = connect(served)
        if way is Way.FIRST:
            connection.close()
        with monkeypatch.context() as patch:
            patch.setattr(f"deepseek_messages.{path}", broken)
            assert post(connection, HELLO).status == 500
        assert post(connection, HELLO).status == 200
        connection.close()
    told = [entry for entry in log if entry["event"] == "request"]
    assert [entry["outcome"] for entry in told] == ["served", "bug", "served"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(Fault(FaultKind.REFUSED, "no", status=401), 401), (RuntimeError("a bug"), 500)],
    ids=["fault", "bug"],
)
def test_what_cannot_be_sent_is_answered_and_takes_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    script = [ReadRequest(), MODELS, ReadRequest(), GOOD, ReadRequest(), GOOD]

    def broken(_upstream: ChatHttpUpstream, _call: object) -> None:
        raise error

    with raw_upstream(script) as upstream, serving(tmp_path, upstream) as served:
        connection = connect(served)
        with monkeypatch.context() as patch:
            patch.setattr(ChatHttpUpstream, "send_now", broken)
            assert post(connection, HELLO).status == status
        assert post(connection, HELLO).status == 200
        connection.close()
        told = Client(served.host, served.port).get("/metrics").body.decode()
    assert "deepseek_messages_open_requests 1.0" in told  # the one that asks
