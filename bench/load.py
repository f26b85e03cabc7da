"""A load generator on raw protocols: many keep-alive connections, one request at a time each."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools
import uvloop

# What an event begins with.
MARK = b"data: "


@dataclass
class Outcome:
    """What a round of requests gave. Times in seconds."""

    requests: int = 0
    events: int = 0
    errors: int = 0
    first_event: list[float] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    error_text: str = ""
    tail: bytes = b""  # the last piece of an answer that came


class Client(asyncio.Protocol):
    """One connection that sends ``requests`` in turn, ``times`` in all, ``pause`` seconds apart,
    and measures each answer. Any status but ``expect`` is an error.
    """

    def __init__(
        self,
        requests: Sequence[bytes],
        times: int,
        outcome: Outcome,
        done: asyncio.Future[None],
        pause: float = 0,
        expect: int = 200,
        mark: bytes = MARK,
    ):
        self.requests = itertools.cycle(requests)
        self.left = times
        self.outcome = outcome
        self.done = done
        self.pause = pause
        self.expect = expect
        self.mark = mark

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        if self.transport.is_closing():
            return
        self.parser = httptools.HttpResponseParser(self)
        self.first = 0.0
        self.events = 0
        self.sent_at = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.outcome.tail = body
        if not self.first and self.mark in body:
            self.first = time.perf_counter() - self.sent_at
        self.events += body.count(b"data: ")
        if self.parser.get_status_code() != self.expect:
            self.outcome.error_text = body[:300].decode(errors="replace")

    def on_message_complete(self) -> None:
        outcome = self.outcome
        outcome.requests += 1
        outcome.events += self.events
        outcome.errors += self.parser.get_status_code() != self.expect
        outcome.durations.append(time.perf_counter() - self.sent_at)
        if self.first:
            outcome.first_event.append(self.first)
        self.left -= 1
        if self.left:
            asyncio.get_running_loop().call_later(self.pause, self.send)
        else:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.outcome.errors += self.left
            self.outcome.error_text = self.outcome.error_text or f"connection lost: {exc}"
            self.done.set_result(None)


async def run_async(
    port: int,
    request: bytes | Sequence[bytes],
    *,
    connections: int,
    each: int,
    limit: float = 120,
    pause: float = 0,
    expect: int = 200,
    mark: bytes = MARK,
) -> Outcome:
    """As ``run``, on the running loop."""
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    requests = [request] if isinstance(request, bytes) else request
    pending: list[asyncio.Future[None]] = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(
            lambda done=done: Client(requests, each, outcome, done, pause, expect, mark),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        pending.append(done)
    await asyncio.wait_for(asyncio.gather(*pending), limit)
    return outcome


def run(
    port: int,
    request: bytes | Sequence[bytes],
    *,
    connections: int,
    each: int,
    limit: float = 120,
    pause: float = 0,
    expect: int = 200,
    mark: bytes = MARK,
) -> Outcome:
    """Send ``each`` requests on each of ``connections`` connections; of several, in turn. A first
    event is the first piece of an answer with ``mark`` in it.

    Raises ``TimeoutError`` after ``limit`` seconds."""
    return uvloop.run(
        run_async(
            port,
            request,
            connections=connections,
            each=each,
            limit=limit,
            pause=pause,
            expect=expect,
            mark=mark,
        )
    )


def good(name: str, outcome: Outcome) -> Outcome:
    """The same outcome. Raises ``RuntimeError`` when there was an error in it."""
    if outcome.errors:
        raise RuntimeError(f"{name}: {outcome.errors} errors: {outcome.error_text}")
    return outcome


def timed_run(
    port: int, request: bytes | Sequence[bytes], *, connections: int, each: int, pause: float = 0
) -> tuple[Outcome, float]:
    """As ``run``, with the seconds that it took."""
    start = time.perf_counter()
    outcome = run(port, request, connections=connections, each=each, pause=pause)
    return outcome, time.perf_counter() - start
