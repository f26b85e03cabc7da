"""An upstream's HTTP answer as its readers see it, whichever library brought it here."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.limits import CONNECT_TIMEOUT, FIRST_BYTE_TIMEOUT, IDLE_TIMEOUT

# Codings that can be decoded although they were not asked for.
KNOWN_CODINGS = frozenset({"", "identity", "gzip", "deflate"})


class Deadlines(Struct, frozen=True, kw_only=True):
    """How long an upstream may take, in seconds. ``first_byte`` counts from sending the request
    to the first content of the answer, ``idle`` from one read to the next after that.
    """

    connect: float = CONNECT_TIMEOUT
    first_byte: float = FIRST_BYTE_TIMEOUT
    idle: float = IDLE_TIMEOUT


class HttpReply(Protocol):
    """An answer whose body is still coming. ``close`` it on every path."""

    status: int
    origin: str

    @property
    def headers(self) -> Mapping[str, str]:
        """The last value of each field; names in lower case."""
        ...

    def begun(self) -> None:
        """Content has come: from now on only the time until there is more is limited. Whoever reads
        calls it each time; what merely keeps the connection alive does not count. Of content that
        is sent in one piece it is called once.
        """
        ...

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end of the body.

        Raises ``Fault`` when the connection breaks, a deadline passes, or the body is in an
        encoding that was not asked for and cannot be read.
        """
        ...

    def read_now(self) -> bytes | None:
        """As ``read``; ``None`` where that would wait."""
        ...

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """From now on call ``tell`` whenever ``read_now`` has something, instead of waking who
        awaits ``read`` (``None``: no longer). False if that cannot be done here.
        """
        ...

    def peek(self) -> bytes:
        """What ``read_now`` would give; nothing where that may not be what was received."""
        ...

    def relay_now(self, relay: Relay) -> bytes | None:
        """What ``relay`` makes of what ``peek`` shows, which is content and is taken with it;
        ``None``, and nothing is taken, if it makes nothing of it.
        """
        ...

    async def read_all(self, limit: int) -> bytes:
        """The whole body up to ``limit`` bytes; one byte more when it is longer."""
        ...

    def close(self) -> None:
        """Drop the connection at once unless the whole body was read. May be called again."""
        ...

    def settle(self) -> None:
        """The content is complete: let the few bytes that end the body arrive in their own
        time, so that the connection can be kept, but not for longer than a moment.
        """
        ...


async def read_up_to(reply: HttpReply, limit: int) -> bytes:
    """What ``HttpReply.read_all`` promises."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (data := await reply.read()):
        parts.append(data)
        size += len(data)
    return b"".join(parts)[: limit + 1]
