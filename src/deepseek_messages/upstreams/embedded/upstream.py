"""The ``embedded`` upstream: a model in this process."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import EMBEDDED, Dialect
from deepseek_messages.upstreams.base import ChatStream, Readiness, UpstreamCall
from deepseek_messages.upstreams.embedded.body import plain_body
from deepseek_messages.upstreams.embedded.errors import (
    EngineError,
    busy,
    closed,
    fault_of,
    unusable,
)
from deepseek_messages.upstreams.embedded.feed import Feed
from deepseek_messages.upstreams.embedded.forced import form_of
from deepseek_messages.upstreams.embedded.jobs import answer
from deepseek_messages.upstreams.embedded.load import Loaded, ModelSource, Progress, Wishes, load
from deepseek_messages.wire.chat import ChatChunk

__all__ = ["EmbeddedUpstream", "ModelSource"]

RELOAD_AFTER = 30.0  # seconds after which a failed load is tried again for a new request

log = logging.getLogger(__name__)


class Stage(Enum):
    """Where the model is."""

    NEW = "not started"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


class _Stopped(Exception):
    """Ends a load that nobody waits for any more."""


def _silent(step: str, done: int, total: int) -> None:
    pass


class EmbeddedUpstream:
    """``source`` names the model and brings its file. ``context`` is in tokens per request (0:
    as the model was trained), ``slots`` the answers made at a time, ``queue`` the requests that
    may wait for a slot, ``threads`` the engine's (0: it
    chooses). ``progress`` is called from
    the loading thread. To be used from one event loop.
    """

    name = "embedded"

    def __init__(
        self,
        source: ModelSource,
        *,
        context: int = 0,
        slots: int = 4,
        threads: int = 0,
        queue: int = 64,
        progress: Progress = _silent,
    ) -> None:
        self._source = source
        self._wishes = Wishes(context=context, slots=slots, threads=threads)
        self._max_queue = queue
        self._progress = progress
        self._stage = Stage.NEW
        self._reason = ""
        self._failed_at = 0.0
        self._loaded: Loaded | None = None
        self._loader: threading.Thread | None = None
        self._settled = asyncio.Event()  # ready, failed or closed
        self._waiting = 0
        self._free = asyncio.Semaphore(0)
        self._running: dict[Feed, threading.Thread] = {}

    @property
    def dialect(self) -> Dialect:
        """What the engine takes and says."""
        return EMBEDDED

    # --- loading

    async def start(self) -> None:
        """Begin to fetch and load the model. Returns at once."""
        if self._stage in {Stage.NEW, Stage.FAILED}:
            self._stage = Stage.LOADING
            self._reason = f"loading {self._source.display_name}"
            self._settled.clear()
            loop = asyncio.get_running_loop()
            loader = threading.Thread(target=self._load, args=(loop,), name="model-loader")
            try:
                loader.start()
            except RuntimeError as error:  # the system gives no more threads
                self._settle(error, loop.time())
            else:
                self._loader = loader

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            outcome: Loaded | Exception = load(self._source, self._wishes, self._report)
        except Exception as error:  # noqa: BLE001 - told to everybody who waits
            outcome = error
        try:
            loop.call_soon_threadsafe(self._settle, outcome, loop.time())
        except RuntimeError:  # the loop is closed
            if isinstance(outcome, Loaded):
                outcome.engine.close()

    def _report(self, step: str, done: int, total: int) -> None:
        if self._stage is Stage.CLOSED or not threading.main_thread().is_alive():
            raise _Stopped
        share = f" {min(99, done * 100 // total)} %" if total else ""
        self._reason = f"{step}ing {self._source.display_name}{share}"
        self._progress(step, done, total)

    def _settle(self, outcome: Loaded | Exception, now: float) -> None:
        if self._stage is Stage.CLOSED:
            if isinstance(outcome, Loaded):
                outcome.engine.close()
        elif isinstance(outcome, Loaded):
            self._loaded = outcome
            self._free = asyncio.Semaphore(outcome.slots)
            self._stage = Stage.READY
        else:
            self._stage = Stage.FAILED
            self._failed_at = now
            self._reason = f"cannot load {self._source.display_name}: {outcome}"
            log.error(self._reason)
        self._settled.set()

    async def _ready(self) -> Loaded:
        """The loaded model, waited for. Raises ``Fault`` when there will be none."""
        now = asyncio.get_running_loop().time()
        late = self._stage is Stage.FAILED and now - self._failed_at > RELOAD_AFTER
        if self._stage is Stage.NEW or late:
            await self.start()
        await self._settled.wait()
        if self._loaded is not None:
            return self._loaded
        raise closed() if self._stage is Stage.CLOSED else unusable(self._reason)

    async def readiness(self) -> Readiness:
        """Ready once the model is loaded; until then the reason tells how far it is."""
        ready = self._stage is Stage.READY
        return Readiness(ready, "" if ready else self._reason or self._stage.value)

    # --- answering

    async def open(self, call: UpstreamCall) -> ChatStream:
        """Wait for the model and a slot, then for the engine to take the request. Raises
        ``Fault``: 529 when too many wait, 400 when the prompt does not fit.
        """
        loaded = await self._slot()
        feed = Feed(asyncio.get_running_loop())
        worker = threading.Thread(target=self._work, args=(loaded, call, feed), name="engine-call")
        try:
            worker.start()
        except RuntimeError as error:  # the system gives no more threads
            self._free.release()
            raise busy(f"the local model is busy: {error}") from error
        self._running[feed] = worker
        try:
            await feed.accepted()
        except BaseException:
            feed.cancel()
            raise
        return EmbeddedStream(feed, whole=not call.request.stream)

    async def _slot(self) -> Loaded:
        if self._free.locked() and self._waiting >= self._max_queue:
            raise busy(f"the local model is busy and {self._waiting} requests wait already")
        self._waiting += 1
        try:
            loaded = await self._ready()
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self._stage is Stage.CLOSED:
            self._free.release()
            raise closed()
        return loaded

    def _work(self, loaded: Loaded, call: UpstreamCall, feed: Feed) -> None:
        loop = feed.loop
        try:
            answer(loaded.engine, call.request, form_of(call.request), feed)
        except Exception as error:
            feed.fail(fault_of(EngineError(message=type(error).__name__)))  # unless told why
            log.exception("an engine call failed")
        finally:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._done, feed)

    def _done(self, feed: Feed) -> None:
        del self._running[feed]
        self._free.release()

    async def models(self) -> Sequence[Model]:
        """The one model. Waits while it is loading. Raises ``Fault``."""
        return [(await self._ready()).model]

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """The exact size, by the engine's own template and tokenizer. Raises ``Fault``."""
        engine = (await self._ready()).engine
        return await asyncio.to_thread(engine.count, plain_body(call.request))

    # --- stopping

    async def aclose(self) -> None:
        """Stop loading and answering, and free the model. Waits for the engine's threads, each
        of which ends with the batch it is at.
        """
        if self._stage is Stage.CLOSED:
            return
        self._stage = Stage.CLOSED
        self._settled.set()
        workers = list(self._running.values())
        for feed in self._running:
            feed.fail(closed())
            feed.cancel()
        self._free.release()  # the first that waits finds the stage closed and wakes the next
        await asyncio.to_thread(self._free_engine, workers)

    def _free_engine(self, workers: Sequence[threading.Thread]) -> None:
        for thread in (*workers, *([self._loader] if self._loader else [])):
            thread.join()
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.engine.close()


class EmbeddedStream:
    """An answer that the engine has begun."""

    def __init__(self, feed: Feed, *, whole: bool) -> None:
        self._feed = feed
        self._whole = whole

    async def read(self) -> Sequence[ChatChunk]:
        """The chunks that arrived together, or all of them when the request was not streamed;
        none at the end. Raises ``Fault``.
        """
        return await (self._feed.take_all() if self._whole else self._feed.take())

    async def aclose(self) -> None:
        """Let the engine stop; its slot is free again when the batch it is at is done."""
        self._feed.cancel()
