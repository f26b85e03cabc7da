"""One server of a pool: who it is, how it fares, and what runs there."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.telemetry.logs import log
from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.account import Account, counted_as
from deepseek_messages.upstreams.base import (
    ChatStream,
    Readiness,
    Upstream,
    UpstreamCall,
)
from deepseek_messages.upstreams.places import Places
from deepseek_messages.upstreams.pool.balance import Seat
from deepseek_messages.upstreams.pool.breaker import EARLY, Breaker, Health
from deepseek_messages.upstreams.pool.member_stream import MemberStream
from deepseek_messages.upstreams.pool.retries import REST, Blame, blame
from deepseek_messages.upstreams.pool.silence import Silence

# Why a server is passed over that answers nobody (``silence``).
SILENT = "it takes requests and says nothing"


class Place(Struct, frozen=True, kw_only=True):
    """A member's place in its pool. A lower ``priority`` is asked first; ``weight`` is its part
    of the load among those of its priority. ``max_concurrency`` is the most requests it gets at
    a time, ``model_limits`` the same by model for its ``account``, which others may share;
    ``context_window`` is in tokens.
    """

    priority: int = 0
    weight: float = 1.0
    max_concurrency: int | None = None
    model_limits: Mapping[str, int] = {}
    account: str = ""  # "": its own
    context_window: int | None = None


class MemberState(Struct, frozen=True, kw_only=True):
    """How a member fares now, for operators and metrics."""

    name: str
    health: Health
    load: int
    reason: str = ""  # why it failed last; none once it is well again


class Member:
    """An ``Upstream`` that remembers what becomes of its requests.

    ``open`` returns when the model has begun to speak (not at the 200 before it), so that a
    server which accepts and then breaks can still be replaced. ``told`` hears the outcome of
    every attempt: ``served`` or the kind of fault.
    """

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        place: Place,
        breaker: Breaker,
        *,
        clock: Callable[[], float],
        told: Callable[[str, str], None],
        places: Places,
        silence_after: float = 0.0,
    ) -> None:
        self.name = name
        self.place = place
        self.upstream = upstream
        self.breaker = breaker
        self.load = 0  # requests on their way here
        self._trial: object = None  # the one that finds out whether it is back
        self.served: Sequence[Model] = ()  # as far as known
        self._places = places
        self._place = f"upstream {name}"
        self.account = Account(place.account or name, place.model_limits, places)
        self.silence = Silence(silence_after, clock)
        self._rests: dict[str, float] = {}  # models that are left alone, and until when
        self._clock = clock
        self._told = told
        self._reason = ""
        self._logged = Health.CLOSED  # what the log says of it
        self.last_heard = clock()

    # --- what a pool asks ---------------------------------------------------------------------

    @property
    def free(self) -> bool:
        """Whether it takes one more."""
        most = self.place.max_concurrency
        return most is None or self._places.held(self._place) < most

    @property
    def healthy(self) -> bool:
        """Whether one more request may go here, as far as its health goes."""
        return self.breaker.allows(self._clock())

    def takes(self, model: str) -> bool:
        """Whether one more request for ``model`` may go here, as far as its account goes."""
        return self._rest(model) <= 0 and self.account.has_room(model)

    def _rest(self, model: str) -> float:
        """For how many seconds more ``model`` is to be left alone."""
        until = self._rests.get(counted_as(model)) if self._rests else None
        left = 0.0 if until is None else until - self._clock()
        return left if left > EARLY else 0.0

    @property
    def seat(self) -> Seat:
        """For the choice among equals."""
        return Seat(
            name=self.name,
            weight=self.place.weight,
            share=self.breaker.share(self._clock()),
            load=self.load,
        )

    @property
    def window(self) -> int | None:
        """The longest context that is known to be here, in tokens."""
        known = [model.context_window for model in self.served]
        return self.place.context_window or (max(known) if known else None)

    def serves(self, name: str) -> bool:
        """Whether it has a model of exactly this name, as far as is known."""
        return any(model.id == name for model in self.served)

    @property
    def state(self) -> MemberState:
        """How it fares."""
        health = self.breaker.state(self._clock())
        reason = SILENT if self.silence.lasts else self._reason
        return MemberState(name=self.name, health=health, load=self.load, reason=reason)

    def enter(self, request: object) -> bool:
        """``request`` is on its way here, unless that is too many. Whether it is."""
        most = self.place.max_concurrency
        if most is not None and not self._places.take(self._place, most):
            return False
        self.load += 1
        if self.breaker.began(self._clock()):
            self._trial = request
        return True

    def leave(self, request: object) -> None:
        """It is there no more."""
        self.load -= 1
        if self.place.max_concurrency is not None:
            self._places.give_back(self._place)
        if self._trial is request:
            self._trial = None
            self.breaker.abandoned()

    # --- an upstream --------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """The server's."""
        return self.upstream.dialect

    async def open(self, call: UpstreamCall) -> ChatStream:
        """Send the request; return when the model speaks. Raises ``Fault``."""
        model = call.request.model
        if (rest := self._rest(model)) > 0:
            raise faults.limited(f"{self.name} has enough requests for {model}", retry_after=rest)
        place = self.account.enter(model)
        era = self.breaker.era
        stream = MemberStream(self, place, era)
        # The first word of a whole answer comes with its last.
        waiting = self.silence.wait() if call.request.stream else None
        try:
            stream.opened(await self.upstream.open(call))
            await stream.begin()
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, Fault):
                self.failed(error, model, since=era)
            elif waiting is not None and self.silence.end(waiting):
                self._given_up(era)
            raise
        finally:
            if waiting is not None:
                self.silence.end(waiting)
        return stream

    async def models(self) -> Sequence[Model]:
        """What the server lists, with the window that the settings give it. Raises ``Fault``."""
        era = self.breaker.era
        try:
            listed = await self.upstream.models()
        except Fault as fault:
            self.failed(fault, since=era)
            raise
        window = self.place.context_window
        if window is not None:
            listed = [_with_window(model, window) for model in listed]
        self.served = listed
        return listed

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """As the server counts."""
        return await self.upstream.count_tokens(call)

    async def readiness(self) -> Readiness:
        """What the server says of itself."""
        return await self.upstream.readiness()

    async def probe(self) -> None:
        """Ask the server how it is, and remember it."""
        readiness = await self.upstream.readiness()
        now = self.last_heard = self._clock()
        if readiness.ready:
            self.breaker.seems_well(now)
            if self.breaker.state(now) is Health.CLOSED and self.healthy:
                self._reason = ""
            self._log_health()
            await self._learn()
        else:
            self._reason = readiness.reason
            self.breaker.seems_ill(now)
            self._log_health()

    async def start(self) -> None:
        """Start it."""
        await self.upstream.start()

    async def aclose(self) -> None:
        """Release it."""
        await self.upstream.aclose()

    # --- what it remembers --------------------------------------------------------------------

    # ``since`` is the era of the breaker in which the server was asked.

    def answers(self, since: int) -> None:
        """It has begun to answer."""
        self.silence.spoke = True
        self.last_heard = self._clock()
        self._reason = ""
        self.breaker.answers(self.last_heard, since)
        self._told(self.name, "served")
        self._log_health()

    def succeeded(self, since: int) -> None:
        """Its answer was whole, or as much of it as was wanted."""
        self.breaker.succeeded(self._clock(), since)
        self._log_health()

    def failed(self, fault: Fault, model: str = "", since: int | None = None) -> None:
        """It did not answer, for ``model``; the fault says whose failure that is."""
        now = self.last_heard = self._clock()
        self._told(self.name, fault.kind.value)
        match blame(fault):
            case Blame.NONE:
                self._reason = ""
                self.breaker.succeeded(now, since)
                self._log_health()
                return
            case Blame.BUSY if fault.upstream_status == 429 and model and self.account.by_model:
                counted, until = counted_as(model), now + (fault.retry_after or REST)
                self._rests[counted] = max(self._rests.get(counted, 0.0), until)
            case Blame.BUSY:
                self.breaker.rests(now, fault.retry_after or REST)
            case Blame.BARRED:
                self.breaker.barred(now, since)
            case Blame.FAILURE:
                self.breaker.failed(now, since)
        self._reason = fault.message
        self._log_health(_in_own_words(fault))

    def _given_up(self, since: int) -> None:
        """A request was given up that waited while nobody got a word from here."""
        self._reason = SILENT
        self.breaker.failed(self._clock(), since)
        self._log_health()

    def _log_health(self, why: str | None = None) -> None:
        """Say that it is left out, or back; not each time that it fails again."""
        health = self.breaker.state(self._clock())
        if health is not self._logged:
            self._logged = health
            tell = log().warning if health is Health.OPEN else log().info
            why = self._reason if why is None else why
            tell("upstream", name=self.name, health=health.value, why=why)

    async def _learn(self) -> None:
        if not self.served:
            try:
                await self.models()
            except Fault:
                return  # counted there


def _in_own_words(fault: Fault) -> str:
    """What the log may say of it: an upstream's words may repeat a prompt."""
    if fault.kind not in (FaultKind.REFUSED, FaultKind.REPORTED):
        return fault.message
    status = fault.upstream_status
    return "an error in its answer" if status is None else f"HTTP {status}"


def _with_window(model: Model, window: int) -> Model:
    most = min(model.max_output_tokens, window)
    return replace(model, context_window=window, max_output_tokens=most)
