"""Every fault of the engine at every stage of an answer, through the whole server. The engine is
scripted: the real one cannot be made to fail at a given moment.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import structlog

from deepseek_messages.service.tasks import running
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.upstreams.embedded import EmbeddedUpstream
from deepseek_messages.upstreams.embedded import upstream as module
from deepseek_messages.upstreams.embedded.load import Loaded
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.faults.rig import Recording, check, open_gauges
from tests.support.app import settings_for
from tests.support.client import HELLO, STREAM, Client, Reply
from tests.support.gates import Gate, wait_until
from tests.support.servers import serve_app

MODEL = Model(id="tiny", display_name="Tiny", context_window=4000, max_output_tokens=1000)
TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
WAYS = {"stream": STREAM | {"tools": [TOOL]}, "whole": HELLO | {"tools": [TOOL]}}
PROGRESS: dict[str, Any] = {"choices": [], "prompt_progress": {"total": 5, "processed": 0}}

Item = dict[str, Any] | bytes | Exception


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def usage(prompt: Any = 7, output: Any = 3) -> dict[str, Any]:
    figures = {"prompt_tokens": prompt, "completion_tokens": output}
    return {"id": "c", "choices": [], "usage": figures}


def half_a_call() -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": '{"ci'}
    return delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": function}])


HI = [PROGRESS, delta(content="Hello there, my friend")]
FINISHED = [*HI, delta("stop")]

# What the engine has given, and whether the answer has its end with it.
STAGES: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "before it takes the request": ([], False),
    "before the first word": ([PROGRESS], False),
    "mid text": (HI, False),
    "mid thinking": ([PROGRESS, delta(reasoning_content="Let me see what this is")], False),
    "half a tool call": ([PROGRESS, half_a_call()], False),
    "after finish, before usage": (FINISHED, True),
    "after usage": ([*FINISHED, usage()], True),
}
SEEN = tuple(STAGES)[2:]

OVERFLOW = {"code": 400, "message": "no", "n_prompt_tokens": 9000, "n_ctx": 4000}

# What the engine does then, and which fault that is by itself; ``None``: none, it returns.
FAULTS: dict[str, tuple[list[Item], FaultKind | None]] = {
    "it raises": ([RuntimeError("llama_decode failed")], FaultKind.REPORTED),
    "it runs out of memory": ([MemoryError()], FaultKind.REPORTED),
    "it returns": ([], None),
    "an error": ([{"error": {"code": 500, "message": "decode failed"}}], FaultKind.REPORTED),
    "busy": ([{"error": {"code": 503, "message": "loading"}}], FaultKind.BUSY),
    "the context is full": ([{"error": OVERFLOW}], FaultKind.REFUSED),
    "no JSON": ([b"{rubbish"], FaultKind.GARBAGE),
    "another shape": ([b"[1,2]"], FaultKind.GARBAGE),
    "invalid UTF-8": ([b'{"id":"\xff\xfe"'], FaultKind.GARBAGE),
    "an empty object": ([{}], None),
    "an index that jumps": ([{"choices": [{"index": 9, "delta": {"content": "x"}}]}], None),
    "negative usage": ([usage(-7, -3)], None),
    "usage that is no number": (
        [b'{"choices":[],"usage":{"prompt_tokens":NaN}}'],
        FaultKind.GARBAGE,
    ),
    "a second end": ([delta("stop"), delta("stop")], None),
}


def fault_told(stage: str, fault: str) -> FaultKind | None:
    """Which fault the client hears of; ``None``: the answer is whole."""
    complete, own = STAGES[stage][1], FAULTS[fault][1]
    if own is not None:
        return own
    if fault == "a second end":  # an end is an end, but for half a call
        return FaultKind.GARBAGE if stage == "half a tool call" else None
    return None if complete else FaultKind.CUT


class Engine:
    """Plays one script for each call; after it, waits silently when ``silent`` is set."""

    def __init__(self) -> None:
        self.script: list[Item] = []
        self.silent: Gate | None = None
        self.stopped = Gate()
        self.calls = 0

    def chat(self, _body: bytes, on_chunk: Callable[[bytes], bool]) -> None:
        self.calls += 1
        for item in self.script:
            if isinstance(item, Exception):
                raise item
            if on_chunk(item if isinstance(item, bytes) else json.dumps(item).encode()):
                return
        if self.silent is None:
            return
        self.silent.set()
        while not on_chunk(json.dumps(PROGRESS).encode()):
            threading.Event().wait(0.002)
        self.stopped.set()

    def count(self, _body: bytes) -> int:
        return 7

    def close(self) -> None:
        pass


class Source:
    id = "tiny"
    display_name = "Tiny"

    def fetch(self, _progress: Any) -> Path:
        return Path("tiny.gguf")


@dataclass
class Rig(Recording):
    engine: Engine
    upstream: Any

    def ask(self, script: list[Item], body: object) -> Reply:
        del self.log[:]
        self.engine.script, self.engine.silent = script, None
        reply = self.client.post(body)
        wait_until(lambda: not self.upstream._running)
        return reply


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    engine = Engine()
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as directory,
        structlog.testing.capture_logs() as log,
    ):
        patch.setattr(module, "load", lambda *_: Loaded(engine, MODEL, 2))  # type: ignore[arg-type]
        upstream = EmbeddedUpstream(Source())
        settings = settings_for(Path(directory), server={"max_concurrency": 1})
        app = create_app(settings, upstream=upstream)
        with serve_app(app, http=BoundedProtocol, proxy_headers=False) as at:
            made = Rig(Client(at.host, at.port), log, engine, upstream)  # type: ignore[arg-type]
            yield made
            wait_until(lambda: running() == 0)
            assert open_gauges(made.client) == {"requests": 1, "streams": 0}  # the one that asks
    assert not [each for each in threading.enumerate() if each.name == "engine-call"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_of_the_engine(rig: Rig, stage: str, fault: str, way: str) -> None:
    begun, complete = STAGES[stage]
    told = fault_told(stage, fault)
    reply = rig.ask([*begun, *FAULTS[fault][0]], WAYS[way])
    check(reply, rig.recorded, told)
    if told is FaultKind.REPORTED:
        assert "the engine failed" in reply.body.decode()
    if complete and told is None:
        assert "Hello there, my friend" in reply.body.decode()
    if stage in SEEN:
        assert rig.recorded["tokens"]["out"] > 0
    if stage == "after usage":
        assert rig.recorded["tokens"]["in"] + rig.recorded["tokens"]["cache_read"] == 7
    if fault == "the context is full" and stage == "before it takes the request":
        assert reply.error()[:2] == (400, "invalid_request_error")
        assert "prompt is too long: 9000 tokens > 4000 maximum" in reply.body.decode()
    if fault == "busy" and stage == "before it takes the request":
        assert reply.status == 529
        assert int(reply.headers["retry-after"]) > 0
    assert rig.ask([*FINISHED, usage()], HELLO).status == 200  # its place is free again


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves_a_silent_engine_stops_it(rig: Rig, stage: str, way: str) -> None:
    engine = rig.engine
    engine.script, engine.stopped = list(STAGES[stage][0]), Gate()
    silent = engine.silent = Gate()
    connection = rig.client.send("POST", "/v1/messages", WAYS[way])
    silent.require("the silence")
    connection.close()
    engine.stopped.require("stopping the engine")
    wait_until(lambda: not rig.upstream._running)
    assert rig.ask([*FINISHED, usage()], HELLO).status == 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("why", [OSError("no space left"), MemoryError(), RuntimeError("bad file")])
def test_a_model_that_does_not_load(
    why: Exception, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> Loaded:
        raise why

    monkeypatch.setattr(module, "load", load)
    with serve_app(create_app(settings_for(tmp_path), upstream=EmbeddedUpstream(Source()))) as at:
        client = Client(at.host, at.port)
        status, kind, message = client.post(WAYS[way]).error()
        assert client.get("/readyz").status == 503
        assert client.get("/healthz").status == 200
    assert (status, kind) == (503, "api_error")
    assert "cannot load Tiny" in message
    wait_until(lambda: running() == 0)
