"""One streamed answer on the short way (``short``): its events go out where the upstream's bytes
arrive. A task takes over, and goes on from where it is, when the upstream is slow to speak, when
something has to be awaited, or when the client does not read.
"""

import asyncio

from deepseek_messages.telemetry.record import Outcome
from deepseek_messages.web.errors import note_error
from deepseek_messages.web.notes import notes_header
from deepseek_messages.web.pushing import Pusher
from deepseek_messages.web.short_answer import ShortAnswer
from deepseek_messages.web.streaming import PING, STREAM_HEADERS, confess


class ShortStream(ShortAnswer):
    """An answer that is sent as events."""

    _pusher: Pusher | None = None  # once the upstream has spoken
    _timer: asyncio.TimerHandle | None = None

    def send(self) -> None:
        """As ``ShortAnswer.send``."""
        self._loop = asyncio.get_running_loop()
        self._pace = self._handler.pace
        self._timer = self._loop.call_later(self._pace.commit_after, self._tick)
        self._handler.metrics.open_streams += 1
        super().send()

    def _leave(self) -> None:
        super()._leave()
        self._handler.metrics.open_streams -= 1
        if self._timer is not None:
            self._timer.cancel()

    def _ready(self) -> None:
        """The upstream speaks."""
        try:
            if not self._answer.stream_now(self._push):
                self.hand_over()
                return
            notes = notes_header(self._answer.notes.entries)
            self._exchange.start_now(200, [*STREAM_HEADERS, *notes])
            self._pusher = Pusher(self._exchange, self._answer, self._loop.time)
        except Exception as error:  # noqa: BLE001 - a bug, told where all are
            self._give_up(error)
            return
        self._push()
        self._exchange.flush()

    def _push(self) -> None:
        """Something has come."""
        assert self._pusher is not None
        try:
            if self._pusher.push():
                return
        except Exception as error:  # noqa: BLE001 - a bug, told where all are
            self._give_up(error)
            return
        if self._exchange.finished:
            self._finish()
        else:
            self.hand_over()

    def _finish(self) -> None:
        if self._answer.fault is not None:
            note_error(self._exchange.record, self._answer.fault)
        self._end(Outcome.SERVED)

    def _give_up(self, error: Exception) -> None:
        if not self._exchange.started:
            super()._give_up(error)
            return
        self._answer.close_now()
        self._pass_to(confess(self._exchange, error))

    def _tick(self) -> None:
        """The upstream has not spoken for a while."""
        if self._pusher is None:
            self.hand_over()
            return
        now, interval = self._loop.time(), self._pace.ping_interval
        if self._pusher.last_write + interval <= now and self._exchange.has_room:
            self._exchange.write_now(PING)
            self._pusher.last_write = now
        wait = max(self._pusher.last_write + interval - now, 0) or interval
        self._timer = self._loop.call_later(wait, self._tick)
