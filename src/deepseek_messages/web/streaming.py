"""Writing one streamed answer: when to commit to a 200, pings, and the one error at the end."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.tasks import spawn
from deepseek_messages.telemetry.logs import log_bug
from deepseek_messages.telemetry.record import Outcome
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import COMMIT_AFTER, PING_INTERVAL
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.errors import BUG, STOPPING, note_error
from deepseek_messages.web.exchange import Exchange, Header
from deepseek_messages.web.notes import notes_header
from deepseek_messages.web.pushing import Pusher
from deepseek_messages.wire.errors import ErrorDetail
from deepseek_messages.wire.events import ErrorEvent, Ping, StreamEvent

# ``x-accel-buffering`` tells nginx to pass every event on at once.
STREAM_HEADERS: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

PING = encode_events([Ping()])

# Seconds that a stream's last word may take when the server stops.
LAST_WORD = 1.0


class Pace(Struct, frozen=True, kw_only=True):
    """When a stream speaks although the upstream is silent. Seconds; the first since the request
    came.
    """

    commit_after: float = COMMIT_AFTER
    ping_interval: float = PING_INTERVAL


async def stream_answer(exchange: Exchange, answer: Answer, pace: Pace) -> None:
    """Send ``answer`` as server-sent events. Raises what ``answer.opened`` raises as long as the
    status has not gone out; from then on every failure is one ``error`` event.
    """
    writer = _Writer(exchange, answer, pace)
    try:
        await writer.run()
    except asyncio.CancelledError:
        writer.stop()
        await writer.last_word()
        raise
    finally:
        writer.stop()


async def confess(exchange: Exchange, error: Exception) -> None:
    """Tell of a bug of ours, after the 200."""
    record = exchange.record
    log_bug(error, record.request_id)
    record.outcome, record.error_type = Outcome.BUG, BUG.type
    if not exchange.finished:
        last = ErrorEvent(error=BUG, request_id=record.request_id)
        await exchange.write(encode_events([last]), last=True)


class _Writer:
    def __init__(self, exchange: Exchange, answer: Answer, pace: Pace) -> None:
        self._exchange = exchange
        self._answer = answer
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._pusher = Pusher(exchange, answer, self._loop.time)
        # Events went out, or are about to without the upstream's doing.
        self._announced = exchange.started
        self._speaking: asyncio.Task[None] | None = None
        silence = pace.commit_after - exchange.record.seconds
        self._timer = self._loop.call_later(max(silence, 0), self._tick)

    def stop(self) -> None:
        """Say nothing more of our own."""
        self._timer.cancel()
        if self._speaking is not None:
            self._speaking.cancel()

    async def run(self) -> None:
        """Write until the end."""
        try:
            await self._answer.opened()
            await self._commit()
            while events := await self._answer.read():
                await self._write(events, last=self._answer.ended)
                await self._pass_on()
        except (Fault, Refusal) as error:
            if not self._exchange.started:
                raise
            await self._write(await self._answer.fail(error), last=True)
        except Exception as error:
            if not self._exchange.started:
                raise
            await confess(self._exchange, error)
        if self._answer.fault is not None:
            note_error(self._exchange.record, self._answer.fault)
        if not self._exchange.finished:
            await self._exchange.write(b"", last=True)

    async def _pass_on(self) -> None:
        """Write events where the upstream's bytes arrive, without waking this task for each: until
        the end, or until something has to be awaited, as a client that does not read.
        """
        answer, resting = self._answer, self._loop.create_future()

        def pass_on() -> None:
            try:
                if self._pusher.push():
                    return
                answer.when_ready(None)
                if not resting.done():  # it may have been cancelled
                    resting.set_result(None)
            except Exception as error:  # noqa: BLE001 - raised again where it is awaited
                answer.when_ready(None)
                if not resting.done():
                    resting.set_exception(error)

        if not answer.when_ready(pass_on):
            return
        try:
            pass_on()  # what came before anybody asked to be told
            await resting
        finally:
            answer.when_ready(None)

    def _tick(self) -> None:
        """Speak if the upstream does not: commit to the 200 after a while, then ping. One timer
        serves both; it is not set anew by every event, but looks when it was last written.
        """
        if self._exchange.finished:
            return
        wait = self._pusher.last_write + self._pace.ping_interval - self._loop.time()
        if self._speaking is None or self._speaking.done():
            if not self._announced:
                self._announced = True
                self._speaking = spawn(self._announce(), "announce")
            elif wait <= 0:
                self._speaking = spawn(self._ping(), "ping")
        wait = wait if wait > 0 else self._pace.ping_interval
        self._timer = self._loop.call_later(wait, self._tick)

    async def _announce(self) -> None:
        events = await self._answer.start()
        if self._exchange.finished:
            return
        await self._commit()
        if events:
            await self._write(events)

    async def _ping(self) -> None:
        self._pusher.last_write = self._loop.time()
        await self._exchange.write(PING)

    async def last_word(self) -> None:
        """The server stops, or the client has gone: say so, if anybody can still hear it."""
        if not self._exchange.started or self._exchange.finished:
            return
        try:
            async with asyncio.timeout(LAST_WORD):
                await self._write_error(STOPPING)
        except TimeoutError:
            return

    async def _commit(self) -> None:
        if self._exchange.started:
            return
        self._pusher.last_write = self._loop.time()
        notes = notes_header(self._answer.notes.entries)
        await self._exchange.start(200, [*STREAM_HEADERS, *notes])

    async def _write(self, events: Sequence[StreamEvent], *, last: bool = False) -> None:
        if self._exchange.finished:
            return
        self._announced = True
        self._pusher.last_write = self._loop.time()
        await self._exchange.write(self._pusher.encode(events), last=last)

    async def _write_error(self, detail: ErrorDetail) -> None:
        await self._write([ErrorEvent(error=detail)], last=True)
