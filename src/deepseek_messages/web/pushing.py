"""Writing a stream's events where the upstream's bytes arrive, without waking a task for each."""

from collections.abc import Callable, Sequence

from deepseek_messages.service.answer import Answer
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.wire.events import ErrorEvent, StreamEvent


class Pusher:
    """Writes what an answer has now. ``last_write`` is the loop's time of the last bytes."""

    __slots__ = ("_answer", "_clock", "_exchange", "last_write")

    def __init__(self, exchange: Exchange, answer: Answer, clock: Callable[[], float]) -> None:
        self._exchange = exchange
        self._answer = answer
        self._clock = clock
        self.last_write = clock()

    def push(self) -> bool:
        """Write what there is. False when that is all that can be had without waiting: the answer
        has ended, something of it has to be awaited, or the client does not read.
        """
        exchange, answer = self._exchange, self._answer
        if not exchange.has_room:
            return False
        if (frames := answer.relay_now()) is not None:
            self.last_write = self._clock()
            exchange.write_now(frames)
            return True
        if events := answer.read_now():
            self.last_write = self._clock()
            exchange.write_now(self.encode(events), last=answer.ended)
        return not answer.must_wait

    def encode(self, events: Sequence[StreamEvent]) -> bytes:
        """The events' frames, with the request's id in an error; it only ever comes last. The
        official SDKs read the id of a failure that came after the 200 from there (``APIError``).
        """
        last = events[-1] if events else None
        if isinstance(last, ErrorEvent) and last.request_id is None:
            request_id = self._exchange.record.request_id
            events = [*events[:-1], ErrorEvent(error=last.error, request_id=request_id)]
        return encode_events(events)
