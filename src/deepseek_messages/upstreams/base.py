"""The protocol of an upstream: open a chat request, read typed chunks, close at any time."""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from msgspec import Struct

from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.runs import Pattern
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.wire.chat import ChatAnswer, ChatChunk, ChatRequest


class UpstreamCall(Struct, frozen=True, kw_only=True):
    """One chat request on its way up.

    ``credential`` is the caller's own key in pass-through mode; otherwise the upstream uses its
    own. ``session`` is an opaque key for cache affinity (same conversation, same key).
    ``upstream`` is the name of the one whose dialect and model the request was made for.
    """

    request: ChatRequest
    credential: str | None = None
    session: str | None = None
    upstream: str | None = None


class Readiness(Struct, frozen=True):
    """Whether an upstream can serve now; ``reason`` says why not, for a person."""

    ready: bool
    reason: str = ""


class ChatStream(Protocol):
    """An answer that has begun: the upstream said yes.

    ``read`` returns the chunks that arrived together, at least one, so that one wake-up makes
    one write; an empty sequence means the upstream ended cleanly. It raises ``Fault`` when the
    upstream breaks. ``aclose`` may be called at any time, more than once, also while ``read``
    is pending in another task's cancellation; it stops the upstream's work at once.
    """

    async def read(self) -> Sequence[ChatChunk]: ...

    async def aclose(self) -> None: ...


class PushingStream(ChatStream, Protocol):
    """A stream that can also tell when it has something, so that nobody need await it."""

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """From now on call ``tell`` whenever ``read_now`` has something (``None``: no longer).
        False if this one cannot.
        """
        ...

    def read_now(self) -> Sequence[ChatChunk] | None:
        """As ``read``; ``None`` where that would wait."""
        ...

    @property
    def pattern(self) -> Pattern | None:
        """What the next bytes follow if the answer goes on as it did, if that is known."""
        ...

    def relay_now(self, relay: Relay) -> bytes | None:
        """What ``relay`` makes of all that is there; ``None`` if that is to be read instead."""
        ...

    def close(self) -> None:
        """As ``aclose``, without waiting."""
        ...


class Upstream(Protocol):
    """A source of tokens. Knows HTTP or an engine, and nothing of the Messages API."""

    @property
    def name(self) -> str: ...

    @property
    def dialect(self) -> Dialect: ...

    async def open(self, call: UpstreamCall) -> ChatStream:
        """Send the request; return once the upstream accepted it. Raises ``Fault``.

        A request with ``stream=False`` gives a stream of one batch: the chunks the whole
        answer stands for. Cancelling the call closes the upstream's connection.
        """
        ...

    async def models(self) -> Sequence[Model]:
        """The models it serves, best known first. Cached; raises ``Fault`` when unreachable."""
        ...

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """The prompt's exact size in tokens by the upstream's own tokenizer, or ``None`` when it
        has no means to tell (then the caller counts or estimates).
        """
        ...

    async def readiness(self) -> Readiness: ...

    async def start(self) -> None:
        """Begin background work (load a model). Returns at once."""
        ...

    async def aclose(self) -> None:
        """Stop everything and release every resource."""
        ...


class SentCall(Protocol):
    """A call under way, whose answer nobody waits for yet."""

    def when_ready(self, tell: Callable[[], None] | None) -> None:
        """Call ``tell`` when there is content, or the end, or a failure (``None``: no longer)."""
        ...

    def answer_now(self) -> ChatAnswer | None:
        """The whole answer, if all of it has come; ``None``, and nothing has happened, if not."""
        ...

    def stream_now(self) -> PushingStream | None:
        """As ``stream``, if the upstream has accepted; ``None``, and nothing happened, if not."""
        ...

    async def stream(self) -> ChatStream:
        """As ``Upstream.open`` from here. Raises ``Fault``."""
        ...

    def close(self) -> None:
        """Stop the upstream's work at once. May be called again."""
        ...


class QuickUpstream(Upstream, Protocol):
    """An upstream that can be asked without waiting."""

    def known_models(self) -> Sequence[Model] | None:
        """As ``models``, if they are known."""
        ...

    def send_now(self, call: UpstreamCall) -> SentCall | None:
        """Send the request; ``None`` if that has to wait. Raises ``Fault``."""
        ...


# One attribute tells: a look at all of a protocol's is too slow for every request.


def as_pushing(stream: ChatStream) -> PushingStream | None:
    """``stream``, if it pushes."""
    return cast("PushingStream", stream) if hasattr(stream, "relay_now") else None


def as_quick(upstream: Upstream) -> QuickUpstream | None:
    """``upstream``, if it can be asked without waiting."""
    return cast("QuickUpstream", upstream) if hasattr(upstream, "send_now") else None
