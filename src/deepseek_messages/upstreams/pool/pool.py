"""Several servers behind one name: choice, failover, retries, health.

For each request: of those that may be asked (``breaker``), the ones that serve the very model
asked for go first, then those of the lowest priority number; among equals ``balance`` decides.
Only before anything reached the client may another one be tried (``retries``): from then on the
answer is this server's. A request runs at one server at a time, unless hedging is on
(``PoolOptions.hedge_after``): then a second one is asked while the first keeps silent.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from deepseek_messages.telemetry.logs import log, log_bug
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.limits import SILENCE_AFTER
from deepseek_messages.upstreams.base import ChatStream, Readiness, Upstream, UpstreamCall
from deepseek_messages.upstreams.places import OwnPlaces, Places
from deepseek_messages.upstreams.pool.balance import choose
from deepseek_messages.upstreams.pool.breaker import Breaker, BreakerLimits, Health
from deepseek_messages.upstreams.pool.homes import Homes
from deepseek_messages.upstreams.pool.member import Member, MemberState, Place
from deepseek_messages.upstreams.pool.retries import RetryBudget
from deepseek_messages.upstreams.pool.way import PoolRoute
from deepseek_messages.upstreams.route import Need

# A client that finds everything full comes back after so many seconds.
FULL_RETRY_AFTER = 1.0

# Seconds that a list of models waits for a member whose models are known already.
LIST_PATIENCE = 0.3


class PoolOptions(Struct, frozen=True, kw_only=True):
    """How often a request is tried in all, how often (in seconds) servers are looked at, when
    one is left out, and after how many seconds of silence a second one is asked as well, or one
    that says nothing to anybody is passed over (0: never).
    """

    attempts: int = 3
    hedge_after: float = 0.0
    silence_after: float = SILENCE_AFTER
    probe_interval: float = 10.0
    breaker: BreakerLimits = BreakerLimits()


class Pool:
    """An ``Upstream`` over several. ``members`` are names, upstreams and places.

    ``places`` are those of the server, where it has several processes or pools after each other.
    Time and chance are given, so that tests decide them: ``clock`` in seconds, ``sleep``, and
    ``draw`` for numbers in [0, 1).
    """

    name = "pool"
    chooses = True  # ``route.chooses``

    def __init__(
        self,
        members: Sequence[tuple[str, Upstream, Place]],
        options: PoolOptions = PoolOptions(),  # noqa: B008 - frozen
        *,
        places: Places | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not members:
            raise ValueError("upstreams: there is none")
        self.options = options
        self.clock = clock
        self.sleep = sleep
        self.draw = draw
        self.budget = RetryBudget(clock)
        self.homes = Homes()
        self.on_attempt: Callable[[str, str], None] = _nobody  # may be set: who, and the outcome
        places = places or OwnPlaces()
        self.members = tuple(
            Member(
                name,
                upstream,
                place,
                Breaker(options.breaker, draw),
                clock=clock,
                told=self._tell,
                places=places,
                silence_after=options.silence_after,
            )
            for name, upstream, place in members
        )
        self._silent: set[str] = set()  # those that the log tells of
        self._watching: asyncio.Task[None] | None = None

    def _tell(self, who: str, outcome: str) -> None:
        self.on_attempt(who, outcome)

    # --- choice -------------------------------------------------------------------------------

    def route(self, need: Need) -> PoolRoute:
        """A way for one request. Raises ``Fault`` (529) when all are full or at rest."""
        self.budget.earn()
        return PoolRoute(self, need)

    def pick(
        self,
        need: Need,
        key: bytes | None,
        home: str | None = None,
        *,
        without: Iterable[Member] = (),
        least_window: int = 0,
    ) -> Member | None:
        """The best member for one more request, or ``None``. Those in ``without`` are left out,
        and those that are not known to have more than ``least_window`` tokens of context.
        """
        left_out = set(map(id, without))
        able = [
            member
            for member in self.members
            if id(member) not in left_out
            and (not least_window or (member.window or 0) > least_window)
            and member.free
        ]
        eligible = [member for member in able if member.healthy]
        if not eligible and not left_out and not least_window:
            # Where everybody seems to be down, trying is better than refusing.
            eligible = [member for member in able if member.state.health is not Health.CLOSED]
        eligible = [member for member in eligible if not member.silence.lasts] or eligible
        eligible = [member for member in eligible if member.serves(need.model)] or eligible
        if not eligible:
            return None
        first = min(member.place.priority for member in eligible)
        equals = {m.name: m for m in eligible if m.place.priority == first}
        return equals[choose([m.seat for m in equals.values()], key, self.draw, home).name]

    def full(self) -> Fault:
        """What the client is told when nobody can be asked now."""
        now = self.clock()
        soonest = min(member.breaker.opens_at(now) for member in self.members) - now
        wait = max(FULL_RETRY_AFTER, soonest)
        return faults.busy("every upstream is busy or at rest", retry_after=wait)

    # --- an upstream --------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """That of the member which is asked first."""
        return self._first.dialect

    @property
    def _first(self) -> Member:
        return self._in_order[0]

    @property
    def _in_order(self) -> list[Member]:
        """Those that may be asked first, by priority."""
        return sorted(self.members, key=lambda m: (not (m.healthy and m.free), m.place.priority))

    async def open(self, call: UpstreamCall) -> ChatStream:
        """Open at the member that the call was made for, else at the first. Raises ``Fault``."""
        return await self._member_of(call).open(call)

    async def models(self) -> Sequence[Model]:
        """What the members serve: each id once, with the longest context that it has anywhere. A
        member that says nothing now serves what it last said: whoever asks has little patience.
        Raises ``Fault`` when no member can say.
        """
        lists = await self._lists()
        found: dict[str, Model] = {}
        for model in (
            model for listed in lists if not isinstance(listed, Fault) for model in listed
        ):
            known = found.get(model.id)
            if known is None or known.context_window < model.context_window:
                found[model.id] = model
        if not found and isinstance(lists[0], Fault):
            raise lists[0]
        return list(found.values())

    async def _lists(self) -> list[Sequence[Model] | Fault]:
        """What each serves, in order: waits a moment for those whose models are known, or who were
        asked in vain where others' are, and for all others as long as it takes.
        """
        loop = asyncio.get_running_loop()
        asked = {loop.create_task(_models_or_fault(member)): member for member in self._in_order}
        hopeful = [
            task for task, member in asked.items() if not (member.served or member.state.reason)
        ]
        try:
            await asyncio.wait(asked, timeout=LIST_PATIENCE)
            if hopeful:
                await asyncio.wait(hopeful)
            if not any(member.served for member in self.members):
                await asyncio.wait(asked)
            return [
                task.result() if task.done() else member.served for task, member in asked.items()
            ]
        finally:
            await _let_go({task for task in asked if not task.done()})

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """As the member counts that the call was made for."""
        return await self._member_of(call).count_tokens(call)

    async def readiness(self) -> Readiness:
        """Ready when one member is; the reason names those that are not. Of those that have not
        answered when the first is ready it says what is known: whoever asks has little patience.
        """
        loop = asyncio.get_running_loop()
        asked = {loop.create_task(member.readiness()): member for member in self.members}
        waiting: set[asyncio.Task[Readiness]] = set(asked)
        try:
            while waiting and not any(map(_is_ready, asked)):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _let_go(waiting)
        reasons = [
            f"{member.name}: {reason}"
            for task, member in asked.items()
            if (reason := member.state.reason if task in waiting else task.result().reason)
        ]
        return Readiness(ready=any(map(_is_ready, asked)), reason="; ".join(reasons))

    def states(self) -> Sequence[MemberState]:
        """How each member fares."""
        return [member.state for member in self.members]

    async def start(self) -> None:
        """Start the members, and begin to look at them."""
        for member in self.members:
            await member.start()
        work = self._watch()
        self._watching = asyncio.get_running_loop().create_task(work, name="watch-upstreams")
        self._watching.add_done_callback(_told_if_broken)

    async def aclose(self) -> None:
        """Release everything."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        for member in self.members:
            await member.aclose()

    def _member_of(self, call: UpstreamCall) -> Member:
        named = (member for member in self.members if member.name == call.upstream)
        return next(named, self._first)

    # --- probes -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self.probe()
            await self.sleep(self.options.probe_interval)

    async def probe(self) -> None:
        """Look at those that were not heard of lately, or are left out."""
        self._tell_silence()
        before = self.clock() - self.options.probe_interval
        asked = [
            member
            for member in self.members
            if not member.served
            or member.last_heard <= before
            or member.silence.lasts
            or member.state.health is not Health.CLOSED
        ]
        await asyncio.gather(*(self._probe(member) for member in asked))

    def _tell_silence(self) -> None:
        silent = {member.name for member in self.members if member.silence.lasts}
        for name in sorted(silent ^ self._silent):
            log().warning("upstream", name=name, silent=name in silent)
        self._silent = silent

    async def _probe(self, member: Member) -> None:
        try:
            await member.probe()
        except Fault as fault:
            member.failed(fault)


def _told_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log_bug(error)


def _is_ready(task: asyncio.Task[Readiness]) -> bool:
    return task.done() and not task.cancelled() and task.result().ready


async def _let_go(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _nobody(_name: str, _outcome: str) -> None:
    pass


async def _models_or_fault(member: Member) -> Sequence[Model] | Fault:
    try:
        return await member.models()
    except Fault as fault:
        return fault
