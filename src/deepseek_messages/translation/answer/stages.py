"""Stages behind the stream of an answer: events in, events out."""

from collections.abc import Iterable
from typing import Protocol

from deepseek_messages.translation.answer.runs import single_chunks
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import ChatChunk, ChatUsage
from deepseek_messages.wire.events import StreamEvent
from deepseek_messages.wire.messages import Usage


class Stream(Protocol):
    """What turns chat chunks into events (``MessageStream``, or a stage around one)."""

    @property
    def complete(self) -> bool: ...

    def start(self) -> list[StreamEvent]: ...

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]: ...

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]: ...

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]: ...

    def so_far(self) -> Usage | None: ...


class EventStage(Protocol):
    """What changes the events of a stream on their way."""

    def take(self, events: Iterable[StreamEvent]) -> list[StreamEvent]: ...


class StagedStream:
    """A stream whose events go through a stage. Feed it as ``MessageStream``."""

    def __init__(self, stream: Stream, stage: EventStage) -> None:
        self._stream = stream
        self._stage = stage

    @property
    def complete(self) -> bool:
        return self._stream.complete

    def start(self) -> list[StreamEvent]:
        return self._stage.take(self._stream.start())

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for each in single_chunks(chunk):  # a stage looks at every event
            events += self._stage.take(self._stream.feed(each))
        return events

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        return self._stage.take(self._stream.finish(counted))

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        return self._stage.take(self._stream.fail(fault))

    def so_far(self) -> Usage | None:
        return self._stream.so_far()
