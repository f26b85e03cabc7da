"""An upstream that plays a script in the server's own loop: no HTTP, no time.

    upstream = FakeUpstream([text("Hel"), Wait(gate), text("lo"), FINISH])
    with serve_app(create_app(settings, upstream=upstream)) as running: ...

Steps before ``OPEN`` play while the request is being opened; without ``OPEN`` it opens at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepseek_messages.translation.catalogue import FLASH, Model
from deepseek_messages.translation.dialects import DEEPSEEK, Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import ChatStream, Readiness, UpstreamCall
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChatUsage, ChunkChoice
from tests.support.gates import Gate
from tests.support.raw import Reached, Wait


@dataclass(frozen=True)
class Open:
    """The upstream says yes here."""


@dataclass(frozen=True)
class Silence:
    """Says nothing until it is closed."""


@dataclass(frozen=True)
class Batch:
    """Chunks that come together."""

    chunks: Sequence[ChatChunk]


OPEN, SILENCE = Open(), Silence()

FakeStep = ChatChunk | Batch | Fault | Exception | Wait | Reached | Open | Silence


def text(words: str) -> ChatChunk:
    """A piece of text."""
    return ChatChunk(choices=[ChunkChoice(index=0, delta=ChatDelta(content=words))])


def finish(reason: str = "stop", prompt: int = 7, output: int = 3, cached: int = 0) -> ChatChunk:
    """The last chunk, with usage."""
    usage = ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=output,
        prompt_cache_hit_tokens=cached,
        prompt_cache_miss_tokens=prompt - cached,
    )
    choice = ChunkChoice(index=0, delta=ChatDelta(), finish_reason=reason)
    return ChatChunk(choices=[choice], usage=usage)


FINISH = finish()


@dataclass(eq=False)
class Played:
    """What became of one call."""

    call: UpstreamCall
    opened: Gate = field(default_factory=Gate)
    closed: Gate = field(default_factory=Gate)  # closed, or cancelled before it was open


class FakeUpstream:
    """Plays the n-th script for the n-th call, and the last one for all later ones."""

    name = "fake"

    def __init__(
        self,
        *scripts: Sequence[FakeStep],
        dialect: Dialect = DEEPSEEK,
        models: Sequence[Model] | Fault = (FLASH,),
        ready: Readiness = Readiness(ready=True),  # noqa: B008 - frozen
        tokens: int | None = None,
    ) -> None:
        self.scripts = [list(script) for script in scripts] or [[text("Hello"), FINISH]]
        self._dialect = dialect
        self._models = models
        self._ready = ready
        self._tokens = tokens
        self.played: list[Played] = []
        self.started = Gate()
        self.closed = Gate()
        self.called = Gate()

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    async def open(self, call: UpstreamCall) -> ChatStream:
        script = self.scripts[min(len(self.played), len(self.scripts) - 1)]
        played = Played(call)
        self.played.append(played)
        self.called.set()
        steps = deque(script)
        try:
            if OPEN in steps:
                while steps[0] is not OPEN:
                    await _play(steps.popleft())
                steps.popleft()
        except BaseException:
            played.closed.set()
            raise
        played.opened.set()
        return _FakeStream(steps, played)

    async def models(self) -> Sequence[Model]:
        if isinstance(self._models, Fault):
            raise self._models
        return self._models

    async def count_tokens(self, _call: UpstreamCall) -> int | None:
        return self._tokens

    async def readiness(self) -> Readiness:
        return self._ready

    async def start(self) -> None:
        self.started.set()

    async def aclose(self) -> None:
        self.closed.set()


class _FakeStream:
    def __init__(self, steps: deque[FakeStep], played: Played) -> None:
        self._steps = steps
        self._played = played

    async def read(self) -> Sequence[ChatChunk]:
        while self._steps:
            step = self._steps.popleft()
            if isinstance(step, ChatChunk):
                return [step]
            if isinstance(step, Batch):
                return step.chunks
            await _play(step)
        return []

    async def aclose(self) -> None:
        self._played.closed.set()


async def _play(step: FakeStep) -> None:
    match step:
        case Wait(gate):
            await gate.opened()
        case Reached(gate):
            gate.set()
        case Silence():
            await asyncio.Event().wait()
        case Exception():
            raise step
        case _:
            raise AssertionError(f"{step} cannot stand here")
