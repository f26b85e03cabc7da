"""How many requests may run at a time at an upstream, and with one account there.

DeepSeek counts the requests of an account, all its keys together, by model, from sending to the
end of the answer, and refuses more with 429 (API docs, "Rate Limit"). It tells no time to wait;
whoever is stopped here is told one, and has cost nothing.
"""

from collections.abc import Callable, Mapping

from deepseek_messages.translation import faults
from deepseek_messages.translation.catalogue import CHAT, FLASH, FLASH_NAMES, PRO, REASONER, Model
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.upstreams.passing_on import PassingOn
from deepseek_messages.upstreams.places import Places
from deepseek_messages.upstreams.route import Direct, Need

DEEPSEEK_LIMITS: Mapping[str, int] = {FLASH.id: 2500, PRO.id: 500}

# Names that the service knows the small model by.
_ALIASES = frozenset({*FLASH_NAMES, CHAT.id, REASONER.id})

# Seconds after which a refused caller may ask again.
RETRY_AFTER = 1.0


def counted_as(model: str) -> str:
    """The model whose requests those to ``model`` count with."""
    return FLASH.id if model in _ALIASES else model


class Account:
    """The places of one account. ``limits`` are the most requests at a time, by model; a model
    that is not among them has none. Without a ``name`` each caller has an account of its own.
    """

    def __init__(self, name: str, limits: Mapping[str, int], places: Places) -> None:
        self._name = name
        self._limits = limits
        self._places = places

    @property
    def by_model(self) -> bool:
        """Whether the models have limits of their own."""
        return bool(self._limits)

    def has_room(self, model: str) -> bool:
        """Whether one more request to ``model`` fits."""
        counted = counted_as(model)
        most = self._limits.get(counted)
        return most is None or self._places.held(f"account {self._name} {counted}") < most

    def enter(self, model: str, caller: str = "") -> str | None:
        """Take a place for a request to ``model``; what to ``leave`` in the end, ``None`` where
        nothing is limited. Raises ``Fault`` (429) when the account has no more.
        """
        counted = counted_as(model)
        most = self._limits.get(counted)
        if most is None:
            return None
        place = f"account {self._name or caller} {counted}"
        if not self._places.take(place, most):
            raise faults.limited(
                f"this account is at its limit of {most} concurrent requests to {counted}."
                " Please try again.",
                retry_after=RETRY_AFTER,
            )
        return place

    def leave(self, place: str | None) -> None:
        """Give the place back."""
        if place is not None:
            self._places.give_back(place)


class Limited(PassingOn):
    """An upstream that stands alone, with limits: of its ``account``, and ``most`` in all."""

    def __init__(
        self, upstream: Upstream, account: Account, places: Places, most: int | None
    ) -> None:
        super().__init__(upstream)
        self._account = account
        self._places = places
        self._most = most

    def route(self, need: Need) -> "LimitedRoute":
        """The way there, for one request."""
        return LimitedRoute(self._upstream, lambda model: self._enter(model, need.caller))

    def _enter(self, model: str, caller: str) -> Callable[[], None]:
        """Take the places for a request; what gives them back. Raises ``Fault``."""
        name = f"upstream {self.name}"
        if self._most is not None and not self._places.take(name, self._most):
            raise faults.busy(
                f"{self.name} has {self._most} requests, which is its limit. Please try again.",
                retry_after=RETRY_AFTER,
            )
        taken = [] if self._most is None else [name]
        try:
            account = self._account.enter(model, caller)
        except faults.Fault:
            for place in taken:
                self._places.give_back(place)
            raise

        def leave() -> None:
            for place in taken:
                self._places.give_back(place)
            self._account.leave(account)

        return leave


class LimitedRoute(Direct):
    """The way to the only upstream there is, for as many requests as it takes."""

    __slots__ = ("_enter", "_leave")

    def __init__(self, upstream: Upstream, enter: Callable[[str], Callable[[], None]]) -> None:
        super().__init__(upstream)
        self._enter = enter
        self._leave: Callable[[], None] | None = None

    def fits(self, model: Model, _tokens: Callable[[], int]) -> bool:
        """Always, once there is a place. Raises ``Fault`` when there is none."""
        if self._leave is None:
            self._leave = self._enter(model.id)
        return True

    def close(self) -> None:
        """Give the place back."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
