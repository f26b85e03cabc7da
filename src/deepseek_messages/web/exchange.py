"""One HTTP request and its answer. Every answer goes out through here, so each has its
``request-id`` and is told in the record.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.telemetry.record import RequestRecord

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"

# Where to look for the product in a user agent; the rest of it is not logged.
MAX_CLIENT = 64


class ClientGoneError(Exception):
    """The client closed its connection before the answer was whole."""


class Exchange:
    """A request that is being answered. ``headers`` holds the first value of each field, names in
    lower case; ``scope["headers"]`` still has them all.
    """

    __slots__ = (
        "caller",
        "extra_headers",
        "finished",
        "headers",
        "receive",
        "record",
        "route",
        "scope",
        "send",
        "started",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        record: RequestRecord,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.record = record
        self.caller: Caller = NOBODY
        self.route = "none"  # the path template that matched
        self.headers: dict[str, str] = (
            first_values(scope["headers"]) if headers is None else headers
        )
        self.extra_headers: list[Header] = []
        self.started = False  # the status went out
        self.finished = False  # the last byte was handed over

    def describe(self) -> None:
        """Note in the record who asks, and for what."""
        record, scope, headers = self.record, self.scope, self.headers
        record.method = scope["method"][:20]
        record.path = scope["path"][:200]
        record.client = headers.get("user-agent", "").partition(" ")[0][:MAX_CLIENT]
        record.retry = headers.get("x-stainless-retry-count", "")[:4]

    def whole_body(self) -> bytes | None:
        """The request's body, if all of it is here and can be had without waiting."""
        return None

    def when_gone(self, _tell: Callable[[], None] | None) -> bool:
        """Ask to be told when the client leaves (``None``: no longer). False if the server below
        has no means to: then ``receive`` says it.
        """
        return False

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """Send the status and the headers, ``request-id`` among them."""
        self.started = True
        self.record.status = status
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"request-id", self.record.request_id.encode()),
                    *headers,
                    *self.extra_headers,
                ],
            }
        )

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send a piece of the body; waits while the client does not read."""
        self.finished = self.finished or last
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    @property
    def has_room(self) -> bool:
        """Whether ``write_now`` may be used: the server below takes bytes without waiting."""
        return False

    def write_now(self, _data: bytes, *, last: bool = False) -> None:
        """As ``write``, where ``has_room``."""
        raise NotImplementedError

    async def reply(
        self,
        status: int,
        body: bytes,
        headers: Iterable[Header] = (),
        content_type: bytes = JSON,
    ) -> None:
        """Send a whole answer."""
        await self.start(
            status,
            [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        )
        await self.write(body, last=True)


def first_values(headers: Sequence[Header]) -> dict[str, str]:
    """The first value of each field, names in lower case."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(headers)
    }


Handler = Callable[[Exchange], Awaitable[None]]
