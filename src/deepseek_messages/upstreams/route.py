"""The way of one request: which upstream is asked, and which next when that one fails.

A request is translated for the server that gets it, so the choice comes first: ask ``route_to``,
translate for ``route.upstream``, open it, and on a fault ask the route again.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import Upstream


class Beginning(Struct, frozen=True, kw_only=True):
    """How a prompt begins. ``conversation`` is the same for all requests of a conversation;
    ``prefixes`` stand for its long beginnings, the shortest first, which others may share.
    """

    conversation: bytes = b""
    prefixes: Sequence[bytes] = ()


class Need(Struct, frozen=True, kw_only=True):
    """What is known of a request before it is translated.

    ``model`` is the name asked for. ``session`` is an opaque name of the conversation;
    ``beginning`` tells how it begins, asked only where there is no session. ``caller`` tells
    callers apart who bring their own keys; it is empty for all others.
    """

    model: str
    caller: str = ""
    session: str | None = None
    beginning: Callable[[], Beginning] = Beginning


class Route(Protocol):
    """One request's way. ``close`` it in the end, whatever happened."""

    @property
    def upstream(self) -> Upstream:
        """Who is asked now; the request is to be translated for its dialect and models."""
        ...

    def fits(self, model: Model, tokens: Callable[[], int]) -> bool:
        """Whether to stay. False when the prompt of about so many ``tokens`` is too long for
        ``model`` and another upstream has more room: then ``upstream`` is that one. Raises
        ``Fault`` when the only upstream takes no more requests.
        """
        ...

    async def again(self, fault: Fault) -> bool:
        """After a fault and before anything reached the client: whether to try once more, on
        ``upstream``, which may be another one now. Waits as long as has to be waited.
        """
        ...

    @property
    def hedges(self) -> bool:
        """Whether a second upstream may be asked while ``upstream`` keeps silent."""
        ...

    async def hedge(self) -> Upstream | None:
        """Return when ``upstream`` has had the time it gets, with another one to ask as well;
        ``None`` when there is none. It takes a place there until ``settle``.
        """
        ...

    def settle(self, answers: Upstream, *, other_waits: bool) -> None:
        """Of the two, this one is ``upstream`` from now on, and the place at the other is given
        up; ``other_waits`` when that one had neither spoken nor failed.
        """
        ...

    def close(self) -> None:
        """The request has ended. May be called twice."""
        ...


class Direct:
    """The way to the only upstream there is: one try."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def fits(self, _model: Model, _tokens: Callable[[], int]) -> bool:
        """Always: there is nowhere else to go."""
        return True

    async def again(self, _fault: Fault) -> bool:
        """Never."""
        return False

    @property
    def hedges(self) -> bool:
        """Never."""
        return False

    async def hedge(self) -> None:
        """Nobody."""

    def settle(self, _answers: Upstream, *, other_waits: bool) -> None:
        """There is no other."""

    def close(self) -> None:
        """Nothing is held."""


class Chooser(Protocol):
    """An upstream that stands for others and chooses among them."""

    def route(self, need: Need) -> Route:
        """A way for one request. Raises ``Fault`` when nobody can be asked now."""
        ...


def chooses(upstream: Upstream) -> bool:
    """Whether ``upstream`` chooses among others, which it remembers: not to be asked in vain."""
    return bool(getattr(upstream, "chooses", False))


def route_to(upstream: Upstream, need: Callable[[], Need]) -> Route:
    """The way to ``upstream``, or to one of those it stands for. Raises ``Fault`` (``Chooser``)."""
    route: Callable[[Need], Route] | None = getattr(upstream, "route", None)
    return Direct(upstream) if route is None else route(need())
