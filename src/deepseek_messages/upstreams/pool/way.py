"""One request's way through a pool: who is asked, who next, who as well."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from deepseek_messages.telemetry.logs import log
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.upstreams.pool.member import Member
from deepseek_messages.upstreams.pool.retries import Verdict, verdict, wait_before
from deepseek_messages.upstreams.route import Beginning, Need

if TYPE_CHECKING:
    from deepseek_messages.upstreams.pool.pool import Pool

# The outcome, in the metric ``upstream_attempts``, of a try that was given up for a faster one.
HEDGED = "hedged"


class PoolRoute:
    """One request's way through a pool; see ``Route``."""

    def __init__(self, pool: "Pool", need: Need) -> None:
        self._pool = pool
        self._need = need
        begins = Beginning(conversation=need.session.encode()) if need.session else need.beginning()
        self._key = begins.conversation
        self._prefixes = begins.prefixes
        self._home = pool.homes.of(begins.prefixes)
        self._tries = 1
        self._tried: list[Member] = []
        self._least_window = 0
        self._member: Member | None = None
        self._second: Member | None = None  # asked as well, while ``_member`` keeps silent
        first = pool.pick(need, self._key, self._home)
        passed: list[Member] = []
        while first is not None and not self._go(first):  # another worker took its last place
            passed.append(first)
            first = self._other(passed)
        if first is None:
            raise pool.full()
        self._last = first

    @property
    def upstream(self) -> Upstream:
        """The member that is asked now."""
        return self._last

    def fits(self, model: Model, tokens: Callable[[], int]) -> bool:
        """Stay, unless another member can take it and this one cannot: it has had enough requests
        for the model, or its context is too short.
        """
        passed = [*self._tried, self._last]
        other = None if self._last.takes(model.id) else self._other(passed)
        while other is not None and not other.takes(model.id):
            passed.append(other)
            other = self._other(passed)
        if other is not None and self._go(other):
            self._tried = passed
            return False
        window = model.context_window
        roomier = (member.window or 0 for member in self._pool.members)
        if max(roomier) <= window or tokens() <= window:
            return True
        self._least_window = max(window, self._least_window)
        # A window is that of the longest model there: this one's may be shorter.
        passed = [*self._tried, self._last]
        better = self._other(passed)
        if better is None or not self._go(better):
            return True
        self._tried = passed
        return False

    def _other(self, without: Iterable[Member]) -> Member | None:
        """The best one for this request that is none of these."""
        return self._pool.pick(
            self._need,
            self._key,
            self._home,
            without=without,
            least_window=self._least_window,
        )

    async def again(self, fault: Fault) -> bool:
        """By the verdict on the fault, the number of tries and the budget."""
        word = verdict(fault)
        if word is Verdict.FINAL or self._tries >= self._pool.options.attempts:
            return False
        self._tried.append(self._last)
        if word is Verdict.ROOMIER:
            self._least_window = max(self._least_window, self._last.window or 0)
        other = self._other(self._tried)
        wait = None
        if other is None and word is Verdict.AGAIN:
            wait = wait_before(fault, self._tries, self._pool.draw)
        if (other is None and wait is None) or not self._pool.budget.spend():
            return False
        self._tries += 1
        if wait is not None:
            self.close()
            await self._pool.sleep(wait)
            other = self._other(())
        return other is not None and self._go(other)

    @property
    def hedges(self) -> bool:
        """As the options say."""
        return self._pool.options.hedge_after > 0

    async def hedge(self) -> Upstream | None:
        """After ``hedge_after`` the next best of the same priority, paid for from the budget:
        silence is no failure, so a mere fallback is left alone.
        """
        await self._pool.sleep(self._pool.options.hedge_after)
        if self._member is None or self._tries >= self._pool.options.attempts:
            return None
        other = self._other([*self._tried, self._member])
        if other is None or other.place.priority != self._member.place.priority:
            return None
        if not other.enter(self):
            return None
        if not self._pool.budget.spend():
            other.leave(self)
            return None
        self._tries += 1
        self._second = other
        log().info("hedged", name=self._member.name, second=other.name)
        return other

    def settle(self, answers: Upstream, *, other_waits: bool) -> None:
        """The other one has been tried, and its place is free again."""
        first, second = self._member, self._second
        if first is None or second is None:
            return
        stays, leaves = (second, first) if answers is second else (first, second)
        leaves.leave(self)
        if other_waits:
            self._pool.on_attempt(leaves.name, HEDGED)
        self._tried.append(leaves)
        self._member = self._last = stays
        self._second = None

    def close(self) -> None:
        """Nothing runs any more."""
        for member in (self._member, self._second):
            if member is not None:
                member.leave(self)
        self._member = self._second = None

    def _go(self, member: Member) -> bool:
        """Leave whoever is asked now, and go there; whether there is a place."""
        if not member.enter(self):
            return False
        self.close()
        self._pool.homes.remember(self._prefixes, member.name)
        self._member = self._last = member
        return True
