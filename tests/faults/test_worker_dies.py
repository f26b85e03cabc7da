"""``serve --workers 2`` and the death of one worker: only its own answers are lost."""

import http.client
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.store.keys import write_private
from tests.faults.chat_bytes import DONE, USAGE, delta
from tests.support.client import HELLO, STREAM, Client
from tests.support.client import Stream as ClientStream
from tests.support.gates import WAIT_SECONDS, Gate
from tests.support.servers import serve_app
from tests.support.serving import serve_config, serve_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MODELS = b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}'
WHOLE = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}'
)


class Upstream:
    """A chat server whose streams go on when the test says so."""

    def __init__(self) -> None:
        self.go_on = Gate()
        self.asked = 0  # for answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        streamed = b'"stream":true' in body
        self.asked += scope["method"] == "POST"
        kind = b"text/event-stream" if streamed else b"application/json"
        head = {"status": 200, "headers": [(b"content-type", kind)]}
        await send({"type": "http.response.start", **head})
        if streamed:
            await send(part(delta(content="Hel"), more=True))
            await self.go_on.opened()
            await send(part(delta(content="lo") + delta("stop", USAGE, content="") + DONE))
        else:
            await send(part(WHOLE if scope["method"] == "POST" else MODELS))


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def workers_of(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(each) for each in found.split()}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """It accepts nothing until the block ends: what is asked meanwhile, the other worker gets."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            os.sched_yield()
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def begun(stack: ExitStack, client: Client) -> ClientStream:
    """A stream that has said its first word."""
    stream = stack.enter_context(client.stream(STREAM))
    while (event := stream.next()) is not None and event["type"] != "content_block_delta":
        pass
    assert event is not None
    return stream


def test_a_killed_worker_loses_only_its_own_streams(tmp_path: Path) -> None:
    upstream = Upstream()
    with ExitStack() as stack:
        running = stack.enter_context(serve_app(upstream))
        program = stack.enter_context(serve_program(tmp_path, running.url, "workers = 2"))
        client, parent = program.client, program.process.pid
        one, other = workers_of(parent)
        with stopped(other):
            lost = begun(stack, client)
        with stopped(one):
            kept = begun(stack, client)

        os.kill(one, signal.SIGKILL)
        with suppress(ConnectionError, http.client.IncompleteRead):
            assert lost.rest() == []  # it ends, and nobody says that it was whole
        assert client.post(HELLO).status == 200

        upstream.go_on.set()
        ended = kept.rest()
        assert ended[-1]["type"] == "message_stop"
        assert [each["delta"]["text"] for each in ended if "text" in each.get("delta", {})] == [
            "lo"
        ]

        with stopped(other):  # now only the one that took the dead one's place can answer
            assert client.post(HELLO).status == 200
        (new,) = workers_of(parent) - {other}
        assert new != one

        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(WAIT_SECONDS) == 0


def test_a_worker_that_cannot_read_the_keys_waits_for_them(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[server]\nport = 0\nworkers = 2\n'
        '[auth]\nmode = "keys"\n[upstream]\nkind = "double"\n'
    )
    with serve_config(config) as program:
        keys = tmp_path / "keys"
        good = keys.read_text()
        assert program.client.get("/v1/models").status == 200
        write_private(keys, (good + "damaged\n").encode())  # the other never sees half of it
        dead = min(workers_of(program.process.pid))
        os.kill(dead, signal.SIGKILL)
        while "worker waits" not in (tmp_path / "log").read_text():
            assert program.process.poll() is None
        assert program.client.get("/v1/models").status == 200  # of the other, as before
        write_private(keys, good.encode())
        while (tmp_path / "log").read_text().count("worker has its settings") == 0:
            assert program.process.poll() is None
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(WAIT_SECONDS) == 0
