"""The upstream around a scripted engine; the real one is in tests/conformance."""

import asyncio
import json
import threading
from pathlib import Path

import pytest
from msgspec import Raw

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.upstreams.embedded import EmbeddedUpstream
from deepseek_messages.upstreams.embedded import upstream as module
from deepseek_messages.upstreams.embedded.load import Loaded
from deepseek_messages.wire.chat import ChatRequest, Function, FunctionTool, UserMessage
from tests.support.gates import WAIT_SECONDS

pytestmark = pytest.mark.anyio

MODEL = Model(id="tiny", display_name="Tiny", context_window=100, max_output_tokens=100)


class Source:
    id = "tiny"
    display_name = "Tiny"

    def fetch(self, progress):
        return Path("tiny.gguf")


class Engine:
    """Accepts at once; goes on when ``go`` is set; counts how many answers run at a time."""

    def __init__(self):
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.running = 0
        self.most = 0
        self.closed = False

    def chat(self, body, on_chunk):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            stop = on_chunk(b'{"choices":[],"prompt_progress":{}}')
            while not stop and not self.go.wait(0.005):
                stop = on_chunk(b'{"choices":[],"prompt_progress":{}}')
            for letter in "" if stop else "abc":
                chunk = {"choices": [{"index": 0, "delta": {"content": letter}}]}
                on_chunk(json.dumps(chunk).encode())
        finally:
            with self.lock:
                self.running -= 1

    def count(self, body):
        return len(json.loads(body)["messages"])

    def close(self):
        assert self.running == 0
        self.closed = True


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setattr(module, "load", lambda source, wishes, progress: Loaded(engine, MODEL, 2))
    return engine


def call(*, stream=True):
    return UpstreamCall(
        request=ChatRequest(model="tiny", messages=[UserMessage("hi")], stream=stream)
    )


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content for chunk in chunks)


async def read_all(stream):
    chunks = []
    while batch := await stream.read():
        chunks += batch
    return chunks


async def test_start_returns_before_the_model_is_there(monkeypatch):
    gate = threading.Event()

    def load(source, wishes, progress):
        progress("load", 30, 100)
        gate.wait(WAIT_SECONDS)
        return Loaded(Engine(), MODEL, 2)

    monkeypatch.setattr(module, "load", load)
    upstream = EmbeddedUpstream(Source())
    assert not (await upstream.readiness()).ready
    await upstream.start()
    while "%" not in (await upstream.readiness()).reason:
        await asyncio.sleep(0)
    assert (await upstream.readiness()).reason == "loading Tiny 30 %"
    gate.set()
    assert await upstream.models() == [MODEL]
    assert (await upstream.readiness()).ready
    await upstream.aclose()


async def test_a_request_starts_the_model_and_waits_for_it(engine):
    upstream = EmbeddedUpstream(Source())
    engine.go.set()
    assert text_of(await read_all(await upstream.open(call()))) == "abc"
    await upstream.aclose()


async def test_a_request_that_is_not_streamed_gets_one_batch(engine):
    upstream = EmbeddedUpstream(Source())
    engine.go.set()
    stream = await upstream.open(call(stream=False))
    assert text_of(await stream.read()) == "abc"
    assert await stream.read() == []
    await upstream.aclose()


async def test_no_more_answers_than_slots_run_at_a_time(engine):
    upstream = EmbeddedUpstream(Source())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(upstream.open(call())) for _ in range(6)]
        while sum(task.done() for task in tasks) < 2:
            await asyncio.sleep(0)
        engine.go.set()
    for task in tasks:
        assert text_of(await read_all(task.result())) == "abc"
    assert engine.most == 2
    await upstream.aclose()


async def test_beyond_the_queue_the_answer_is_529_with_retry_after(engine):
    upstream = EmbeddedUpstream(Source(), queue=1)
    streams = [await upstream.open(call()) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(upstream.open(call()))
        await asyncio.sleep(0)
        with pytest.raises(Fault) as caught:
            await upstream.open(call())
        assert (caught.value.kind, caught.value.status) == (FaultKind.BUSY, 529)
        assert caught.value.error_type == "overloaded_error"
        assert caught.value.retry_after
        await streams[0].aclose()
    assert waiting.result()
    await upstream.aclose()


async def test_a_waiting_request_that_is_cancelled_leaves_the_queue(engine):
    upstream = EmbeddedUpstream(Source(), queue=1)
    for _ in range(2):
        await upstream.open(call())
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await upstream.open(call())
    await upstream.aclose()


async def test_closing_a_stream_frees_its_slot(engine):
    upstream = EmbeddedUpstream(Source())
    for _ in range(5):
        stream = await upstream.open(call())
        await stream.aclose()
        await stream.aclose()
        assert await stream.read() == []
    await upstream.aclose()
    assert engine.closed


async def test_a_model_that_does_not_load_is_told_to_everybody(monkeypatch):
    def load(source, wishes, progress):
        raise OSError("disk is broken")

    monkeypatch.setattr(module, "load", load)
    upstream = EmbeddedUpstream(Source())
    for _ in range(2):
        with pytest.raises(Fault, match="cannot load Tiny: disk is broken") as caught:
            await upstream.open(call())
        assert caught.value.status == 503
    assert (await upstream.readiness()).reason == "cannot load Tiny: disk is broken"
    await upstream.aclose()


async def test_a_failed_load_is_tried_again_later(monkeypatch, engine):
    upstream = EmbeddedUpstream(Source())
    right = module.load

    def wrong(source, wishes, progress):
        raise OSError("no network")

    monkeypatch.setattr(module, "load", wrong)
    with pytest.raises(Fault):
        await upstream.models()
    monkeypatch.setattr(module, "load", right)
    monkeypatch.setattr(module, "RELOAD_AFTER", 0.0)
    upstream._failed_at -= 1
    assert await upstream.models() == [MODEL]
    await upstream.aclose()


async def test_the_count_is_the_engines(engine):
    upstream = EmbeddedUpstream(Source())
    assert await upstream.count_tokens(call()) == 1
    await upstream.aclose()


async def test_stopping_ends_running_and_waiting_requests(engine):
    upstream = EmbeddedUpstream(Source())
    running = [await upstream.open(call()) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(_fault_of(upstream.open(call()))) for _ in range(3)]
        await asyncio.sleep(0)
        await upstream.aclose()
    assert engine.closed
    assert [task.result().status for task in waiting] == [503] * 3
    for stream in running:
        with pytest.raises(Fault, match="stopping"):
            await stream.read()
    await upstream.aclose()


async def _fault_of(opening):
    with pytest.raises(Fault) as caught:
        await opening
    return caught.value


async def test_stopping_ends_a_load(monkeypatch):
    ended = threading.Event()

    def load(source, wishes, progress):
        try:
            while True:
                progress("download", 0, 0)
        finally:
            ended.set()

    monkeypatch.setattr(module, "load", load)
    upstream = EmbeddedUpstream(Source())
    await upstream.start()
    await upstream.aclose()
    assert ended.is_set()


async def test_after_stopping_nothing_is_answered(engine):
    upstream = EmbeddedUpstream(Source())
    await upstream.models()
    await upstream.aclose()
    with pytest.raises(Fault, match="stopping"):
        await upstream.open(call())


async def test_a_schema_that_cannot_be_read_ends_its_request_only(engine):
    number = b"1" * 5000  # more digits than Python reads
    function = Function(name="f", parameters=Raw(b'{"maximum":' + number + b"}"))
    upstream = EmbeddedUpstream(Source())
    request = ChatRequest(
        model="tiny",
        messages=[UserMessage("hi")],
        tools=[FunctionTool(function)],
        tool_choice="required",
        stream=True,
    )
    with pytest.raises(Fault):
        await asyncio.wait_for(upstream.open(UpstreamCall(request=request)), WAIT_SECONDS)
    engine.go.set()
    assert text_of(await read_all(await upstream.open(call()))) == "abc"
    await upstream.aclose()


def no_threads(monkeypatch, name):
    """The system refuses threads of this name."""
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


async def test_a_request_that_gets_no_thread_gives_its_slot_back(engine, monkeypatch):
    upstream = EmbeddedUpstream(Source())
    await upstream.models()
    with monkeypatch.context() as patch:
        no_threads(patch, "engine-call")
        for _ in range(3):  # one more than there are slots
            with pytest.raises(Fault) as raised:
                await asyncio.wait_for(upstream.open(call()), WAIT_SECONDS)
            assert raised.value.status == 529
    engine.go.set()
    assert text_of(await read_all(await upstream.open(call()))) == "abc"
    await upstream.aclose()
    assert engine.closed


async def test_a_load_that_gets_no_thread_has_failed(engine, monkeypatch, caplog):
    upstream = EmbeddedUpstream(Source())
    with monkeypatch.context() as patch:
        no_threads(patch, "model-loader")
        with pytest.raises(Fault):
            await asyncio.wait_for(upstream.models(), WAIT_SECONDS)
    await upstream.start()
    assert await upstream.models() == [MODEL]
    await upstream.aclose()
