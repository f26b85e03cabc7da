"""Replacing the upstream while answers run.

An answer keeps the upstream that it began with. A replaced upstream gets no new requests, and is
closed when the last of its answers has ended.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import ChatStream, Readiness, Upstream, UpstreamCall
from deepseek_messages.upstreams.passing_on import PassingOn
from deepseek_messages.upstreams.pool.member import MemberState
from deepseek_messages.upstreams.pool.pool import Pool
from deepseek_messages.upstreams.route import Need, Route, chooses, route_to


class _Generation:
    """An upstream and the number of requests that are on their way with it."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.held = 0
        self.unused = asyncio.Event()
        self.unused.set()

    def hold(self) -> None:
        self.held += 1
        self.unused.clear()

    def release(self) -> None:
        self.held -= 1
        if not self.held:
            self.unused.set()

    @contextmanager
    def held_for_a_question(self) -> Iterator[Upstream]:
        """It is not closed before the answer is there."""
        self.hold()
        try:
            yield self.upstream
        finally:
            self.release()


class _HeldRoute:
    """A route that keeps its generation open."""

    __slots__ = ("_generation", "_route")

    def __init__(self, generation: _Generation, route: Route) -> None:
        self._route = route
        self._generation: _Generation | None = generation
        generation.hold()

    @property
    def upstream(self) -> Upstream:
        return self._route.upstream

    def fits(self, model: Model, tokens: Callable[[], int]) -> bool:
        return self._route.fits(model, tokens)

    async def again(self, fault: Fault) -> bool:
        return await self._route.again(fault)

    @property
    def hedges(self) -> bool:
        return self._route.hedges

    async def hedge(self) -> Upstream | None:
        return await self._route.hedge()

    def settle(self, answers: Upstream, *, other_waits: bool) -> None:
        self._route.settle(answers, other_waits=other_waits)

    def close(self) -> None:
        self._route.close()
        if self._generation is not None:
            self._generation.release()
            self._generation = None


def _nobody(_name: str, _outcome: str) -> None:
    pass


class Switch:
    """An ``Upstream`` that stands for the one in use now."""

    def __init__(
        self, upstream: Upstream, on_attempt: Callable[[str, str], None] = _nobody
    ) -> None:
        self._on_attempt = on_attempt  # hears of every attempt of a pool: who, and the outcome
        self._now = self._generation(upstream)
        self._retiring: dict[asyncio.Task[None], _Generation] = {}

    def _generation(self, upstream: Upstream) -> _Generation:
        if isinstance(upstream, Pool):
            upstream.on_attempt = self._on_attempt
        return _Generation(upstream)

    @property
    def current(self) -> Upstream:
        """The one in use."""
        return self._now.upstream

    @property
    def chooses(self) -> bool:
        """As the one in use (``route.chooses``)."""
        return chooses(self.current)

    async def replace(self, upstream: Upstream) -> None:
        """Use ``upstream`` from now on; it is started first, and closed if that fails. The old one
        is closed when its last request has ended.
        """
        try:
            await upstream.start()
        except BaseException:
            await upstream.aclose()
            raise
        old, self._now = self._now, self._generation(upstream)
        loop = asyncio.get_running_loop()
        task = loop.create_task(_retire(old), name="retire-upstream")
        self._retiring[task] = old
        task.add_done_callback(self._retiring.pop)

    @property
    def retiring(self) -> int:
        """How many replaced upstreams still have requests."""
        return len(self._retiring)

    def route(self, need: Need) -> Route:
        """The way to the one in use."""
        return _HeldRoute(self._now, route_to(self._now.upstream, lambda: need))

    def states(self) -> Sequence[MemberState]:
        """How the members fare, when it is a pool."""
        return self.current.states() if isinstance(self.current, Pool) else ()

    # --- an upstream --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """That of the one in use."""
        return self.current.name

    @property
    def dialect(self) -> Dialect:
        """That of the one in use."""
        return self.current.dialect

    async def open(self, call: UpstreamCall) -> ChatStream:
        """Open at the one in use."""
        return await self.current.open(call)

    async def models(self) -> Sequence[Model]:
        """What the one in use serves."""
        with self._now.held_for_a_question() as upstream:
            return await upstream.models()

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """As the one in use counts."""
        with self._now.held_for_a_question() as upstream:
            return await upstream.count_tokens(call)

    async def readiness(self) -> Readiness:
        """That of the one in use."""
        with self._now.held_for_a_question() as upstream:
            return await upstream.readiness()

    async def start(self) -> None:
        """Start it."""
        await self.current.start()

    async def aclose(self) -> None:
        """Close the one in use and those that retire, whatever still runs there."""
        for generation in self._retiring.values():
            generation.unused.set()
        if self._retiring:
            await asyncio.wait(list(self._retiring))
        await self.current.aclose()


async def _retire(generation: _Generation) -> None:
    await generation.unused.wait()
    await generation.upstream.aclose()


class Shared(PassingOn):
    """An upstream that several generations use: a model in memory need not be loaded again when
    the settings around it change. Each use begins with ``lend`` and ends with ``aclose``.
    """

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream)
        self._users = 0

    def lend(self) -> "Shared":
        """For one more user."""
        self._users += 1
        return self

    @property
    def in_use(self) -> bool:
        """Whether anybody uses it."""
        return self._users > 0

    async def aclose(self) -> None:
        """One user less; the last one closes it."""
        self._users -= 1
        if not self.in_use:
            await self._upstream.aclose()
