"""An upstream behind a proxy: aiohttp tunnels and forwards, and keeps the connections.

What it raises leaves as ``Fault``.
"""

import asyncio
import io
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import aiohttp
from msgspec import Struct
from yarl import URL

from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.limits import LINGER_TIMEOUT, STALE_WITHIN
from deepseek_messages.upstreams.http import faults as http_faults
from deepseek_messages.upstreams.http import proxy_faults
from deepseek_messages.upstreams.http.origin import Origin
from deepseek_messages.upstreams.http.pool import USER_AGENT
from deepseek_messages.upstreams.http.reply import KNOWN_CODINGS, Deadlines, read_up_to

# aiohttp wants bodies above 1 MiB as a file, so that writing them does not hold the loop.
_BODY_AS_FILE = 1024 * 1024


class ProxiedClient:
    """Sends requests to one origin through ``proxy``. ``keepalive`` is how long an idle connection
    is kept, in seconds.
    """

    def __init__(self, origin: Origin, proxy: URL, *, keepalive: float) -> None:
        self.origin = origin
        self._proxy = proxy
        self._keepalive = keepalive
        self._pooled: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None
        self._open: set[ProxiedReply] = set()  # answers whose connection is not given back yet

    async def request(
        self, method: str, url: URL, body: bytes | None, key: str | None, limits: Deadlines
    ) -> "ProxiedReply":
        """As ``HttpClient.send``; ``key`` is the credential that goes up."""
        request = _Request(method, url, body, _headers(key, has_body=body is not None))
        attempt = _Attempt()
        try:
            return await self._try(attempt, request, limits)
        except _Stale:
            return await self._try(_Attempt(fresh=True), request, limits)

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        for reply in tuple(self._open):
            reply.close()
        sessions = [s for s in (self._pooled, self._fresh) if s is not None]
        self._pooled = self._fresh = None
        for session in sessions:
            await session.close()

    async def _try(
        self, attempt: "_Attempt", request: "_Request", limits: Deadlines
    ) -> "ProxiedReply":
        origin = self.origin.label
        asked = asyncio.get_running_loop().time()
        first_by = asked + limits.first_byte
        _CURRENT.set(attempt)
        try:
            async with asyncio.timeout_at(first_by):
                response = await self._session(fresh=attempt.fresh).request(
                    request.method,
                    request.url,
                    data=request.data(),
                    headers=request.headers,
                    allow_redirects=False,
                    proxy=self._proxy,
                    timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect),
                )
        except BaseException as error:
            attempt.abort()
            soon = asyncio.get_running_loop().time() < asked + STALE_WITHIN
            if attempt.reused and soon and _says_nothing(error):
                raise _Stale from error
            if attempt.connected and isinstance(error, TimeoutError):
                raise http_faults.first_byte_timeout(origin, limits.first_byte) from error
            if isinstance(error, aiohttp.ClientError | OSError):
                connected = attempt.connected
                raise proxy_faults.from_send_error(error, origin, connected=connected) from error
            raise
        reply = ProxiedReply(
            response,
            attempt,
            origin=origin,
            limits=limits,
            first_by=first_by,
            on_close=self._open.discard,
        )
        self._open.add(reply)
        return reply

    def _session(self, *, fresh: bool) -> aiohttp.ClientSession:
        """The session that keeps connections, or the one whose connections are always new."""
        if fresh:
            if self._fresh is None:
                self._fresh = _new_session(_Connector(force_close=True, limit=0))
            return self._fresh
        if self._pooled is None:
            connector = _Connector(keepalive_timeout=self._keepalive, limit=0)
            self._pooled = _new_session(connector)
        return self._pooled


class ProxiedReply:
    """An ``HttpReply`` of aiohttp's."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        attempt: "_Attempt",
        *,
        origin: str,
        limits: Deadlines,
        first_by: float,
        on_close: Callable[["ProxiedReply"], None],
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.origin = origin
        self._response = response
        self._attempt = attempt
        self._limits = limits
        self._content_by = first_by
        self._begun = False  # content has come
        self._on_close = on_close
        self._lingering: asyncio.TimerHandle | None = None

    def begun(self) -> None:
        """Content has come: from now on only the time until there is more is limited."""
        self._begun = True
        self._content_by = asyncio.get_running_loop().time() + self._limits.idle

    async def read(self) -> bytes:
        """The bytes that have arrived, at least one; empty at the end of the body.

        Raises ``Fault`` when the connection breaks, a deadline passes, or the body is in an
        encoding that was not asked for and cannot be read.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in KNOWN_CODINGS:
            raise http_faults.garbage_fault(self.origin, "an unknown content encoding")
        try:
            async with asyncio.timeout_at(self._content_by):
                return await self._response.content.readany()
        except TimeoutError as error:
            if self._begun:
                raise http_faults.idle_timeout(self.origin, self._limits.idle) from error
            seconds = self._limits.first_byte
            raise http_faults.first_byte_timeout(self.origin, seconds) from error
        except (aiohttp.ClientError, OSError) as error:
            raise proxy_faults.from_read_error(error, self.origin) from error

    def read_now(self) -> bytes | None:
        """Never: aiohttp gives its bytes to who awaits them."""
        return None

    def when_ready(self, _tell: Callable[[], None] | None) -> bool:
        """Never, as above."""
        return False

    def peek(self) -> bytes:
        """Nothing, as above."""
        return b""

    def relay_now(self, _relay: Relay) -> bytes | None:
        """Nothing, as above."""
        return None

    async def read_all(self, limit: int) -> bytes:
        """The whole body up to ``limit`` bytes; one byte more when it is longer."""
        return await read_up_to(self, limit)

    def close(self) -> None:
        """Drop the connection at once unless the whole body was read. May be called again."""
        if self._lingering is not None:
            self._lingering.cancel()
        if not self._response.closed:
            self._response.close()
            self._attempt.abort()
        self._on_close(self)

    def settle(self) -> None:
        """The content is complete: let the few bytes that end the body arrive in their own
        time, so that the connection can be kept, but not for longer than a moment.
        """
        if self._response.closed:
            self._on_close(self)
        elif self._lingering is None:
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(LINGER_TIMEOUT, self.close)


def _headers(key: str | None, *, has_body: bool) -> dict[str, str]:
    """Everything that goes up besides the body; nothing else of a caller's ever does."""
    headers = {
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    }
    if has_body:
        headers["content-type"] = "application/json"
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return headers


class _Request(Struct, frozen=True):
    method: str
    url: URL
    body: bytes | None
    headers: dict[str, str]

    def data(self) -> bytes | io.BytesIO | None:
        if self.body is not None and len(self.body) > _BODY_AS_FILE:
            return io.BytesIO(self.body)
        return self.body


class _Stale(Exception):
    """A kept connection was already dead when the request went out."""


def _says_nothing(error: BaseException) -> bool:
    """Whether the connection ended before an answer began, as far as the library tells."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)  # else it is what had come
    return isinstance(error, aiohttp.ClientOSError)


class _Attempt:
    """One try on one connection: what the connector tells the sender."""

    __slots__ = ("fresh", "reused", "transport")

    def __init__(self, *, fresh: bool = False) -> None:
        self.fresh = fresh
        self.reused = False
        self.transport: asyncio.Transport | None = None

    @property
    def connected(self) -> bool:
        return self.transport is not None

    def abort(self) -> None:
        """Close without waiting for unsent bytes or a TLS farewell."""
        if self.transport is not None:
            self.transport.abort()


_CURRENT: ContextVar[_Attempt] = ContextVar("_CURRENT")


class _Connector(aiohttp.TCPConnector):
    """Tells the attempt under way which connection it got, and whether it was used before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: WeakSet[object] = WeakSet()

    async def connect(  # aiohttp's signature
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as above
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        attempt = _CURRENT.get()
        attempt.transport = connection.transport
        attempt.reused = connection.protocol in self._known
        self._known.add(connection.protocol)
        return connection


def _new_session(connector: _Connector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),  # callers share connections, never cookies
        trust_env=False,  # the proxy is ours to choose, and no key comes from a .netrc
        raise_for_status=False,
    )
