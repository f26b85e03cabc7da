"""Plays one scripted answer over ASGI, as a stream or whole."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, assert_never

from deepseek_messages.upstreams.double.generate import Generator, ScriptError
from deepseek_messages.upstreams.double.rules import Accepted
from deepseek_messages.upstreams.double.script import (
    Call,
    Cut,
    CutAfterBytes,
    Delay,
    Finish,
    FinishReason,
    Frame,
    Garbage,
    KeepAlive,
    NoDone,
    Stall,
    Status,
    Step,
    Text,
    Think,
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# How often a scripted event is looked at. It may belong to another thread or loop.
POLL_SECONDS = 0.002


class CutHere(Exception):
    """The script closes the connection now."""


class Player:
    """Plays steps in order. ``output_ids`` are the tokens generated so far."""

    usage_chunk = False

    def __init__(
        self, accepted: Accepted, cached_tokens: int, steps: Sequence[Step], send: Send
    ) -> None:
        self.began = False
        self._started = False
        self._accepted = accepted
        self._steps = steps
        self._send = send
        self._generator = Generator(accepted, cached_tokens, steps)
        self._left = min(
            (step.count for step in steps if isinstance(step, CutAfterBytes)), default=None
        )
        self._done_line = NoDone() not in steps

    @property
    def output_ids(self) -> list[int]:
        """Token ids of what was generated."""
        return self._generator.output_ids

    async def play(self) -> Status | None:
        """Send the whole answer, or return the status to answer with instead. Raises
        ``CutHere`` and ``ScriptError``.
        """
        steps = list(self._steps)
        while steps and isinstance(steps[0], Delay | Status):
            match steps.pop(0):
                case Status() as status:
                    return status
                case Delay() as delay:
                    await _wait(delay)
        before, reason, after = _around_finish(steps)
        for step in before:
            await self._step(step)
        await self._start()
        await self._chunks(self._generator.finish(reason))
        if not self._stream:
            await self._raw(self._generator.whole())
        for step in after:
            await self._step(step)
        if self._stream and self._done_line:
            await self._raw(_frame("[DONE]"))
        await self._begin()
        await self._send({"type": "http.response.body", "body": b""})
        return None

    async def _step(self, step: Step) -> None:
        match step:
            case Think() | Text() | Call():
                await self._start()
                await self._chunks(self._generator.content(step))
            case Delay():
                await _wait(step)
            case KeepAlive(count):
                await self._raw((b": keep-alive\n\n" if self._stream else b"\n") * count)
            case Frame(data):
                if self._stream:
                    await self._raw(_frame(data))
            case Garbage(data):
                await self._raw(data)
            case Stall():
                await self._begin()
                await asyncio.Event().wait()
            case Cut():
                await self._begin()
                raise CutHere
            case Finish() | CutAfterBytes() | NoDone():
                pass
            case Status():
                raise ScriptError("a status must come before everything else")
            case _:
                assert_never(step)

    @property
    def _stream(self) -> bool:
        return self._accepted.stream

    async def _start(self) -> None:
        """The first chunk: when the model begins, not while the request waits."""
        if not self._started:
            self._started = True
            await self._chunks(self._generator.start())

    async def _chunks(self, chunks: Iterable[str]) -> None:
        """Send chunks as frames, or keep them for the whole answer."""
        for chunk in chunks:
            if self._stream:
                for frame in self._with_usage(chunk):
                    await self._raw(_frame(frame))

    def _with_usage(self, chunk: str) -> list[str]:
        """The chunk, its usage in a second one if that was asked for."""
        asked = (self._accepted.body.get("stream_options") or {}).get("include_usage")
        if not (self.usage_chunk and asked) or '"finish_reason":null' in chunk:
            return [chunk]
        last = json.loads(chunk)
        return [
            json.dumps(last | {"usage": None}, ensure_ascii=False, separators=(",", ":")),
            json.dumps(last | {"choices": []}, ensure_ascii=False, separators=(",", ":")),
        ]

    async def _begin(self) -> None:
        if self.began:
            return
        self.began = True
        kind = "text/event-stream; charset=utf-8" if self._stream else "application/json"
        headers = {"content-type": kind, "cache-control": "no-cache"}
        headers["x-ds-trace-id"] = uuid.uuid4().hex
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": pairs})

    async def _raw(self, data: bytes) -> None:
        await self._begin()
        if self._left is None:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            return
        part, self._left = data[: self._left], self._left - len(data)
        await self._send({"type": "http.response.body", "body": part, "more_body": True})
        if self._left <= 0:
            raise CutHere


def _around_finish(steps: Sequence[Step]) -> tuple[list[Step], FinishReason | None, list[Step]]:
    """The steps before the finish, its reason, and the steps between it and the end."""
    for index, step in enumerate(steps):
        if isinstance(step, Finish):
            return list(steps[:index]), step.reason, list(steps[index + 1 :])
    return list(steps), None, []


def _frame(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


async def _wait(delay: Delay) -> None:
    if isinstance(delay.until, int | float):
        await asyncio.sleep(delay.until)
        return
    while not delay.until.is_set():  # noqa: ASYNC110 - the event may be another thread's
        await asyncio.sleep(POLL_SECONDS)
