"""One upstream over HTTP: whose key goes up, and by which way.

Straight to the origin goes our own pool of connections (``http_pool``); where the environment
names a proxy, a general HTTP library takes over (``http_proxied``). Knows nothing of chat.
"""

from typing import Protocol

from yarl import URL

from deepseek_messages.telemetry.redaction import HIDDEN
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.limits import KEEPALIVE_EXPIRY
from deepseek_messages.upstreams.http.origin import Origin, checked_key
from deepseek_messages.upstreams.http.pool import HttpPool
from deepseek_messages.upstreams.http.pooled_reply import PooledReply
from deepseek_messages.upstreams.http.reply import Deadlines, HttpReply

__all__ = ["Deadlines", "HttpClient", "HttpReply"]

# Servers that ask for no key are given words like "EMPTY" (vLLM) or "lm-studio".
SHORTEST_KEY = 12


class _Way(Protocol):
    """What carries requests to the origin."""

    async def request(
        self, method: str, url: URL, body: bytes | None, key: str | None, limits: Deadlines
    ) -> HttpReply: ...

    async def aclose(self) -> None: ...


class HttpClient:
    """Sends requests to one origin. Use it on one event loop; ``aclose`` it there."""

    def __init__(
        self,
        origin: Origin,
        *,
        api_key: str | None = None,
        deadlines: Deadlines | None = None,
        proxy_from_env: bool = True,
        keepalive: float = KEEPALIVE_EXPIRY,
    ) -> None:
        self.origin = origin
        self._api_key = checked_key(api_key)
        self._deadlines = deadlines or Deadlines()
        proxy = origin.proxy() if proxy_from_env else None
        self._way: _Way = (
            HttpPool(origin, keepalive=keepalive)
            if proxy is None
            else _by_proxy(origin, proxy, keepalive)
        )

    @property
    def has_key(self) -> bool:
        """Whether the upstream's own key was given."""
        return self._api_key is not None

    async def send(
        self,
        method: str,
        url: URL,
        *,
        body: bytes | None = None,
        credential: str | None = None,
        deadlines: Deadlines | None = None,
    ) -> HttpReply:
        """Send a request; return when the answer's status and headers are there.

        ``credential`` goes up instead of the upstream's own key. Raises ``Fault``. Cancelling
        closes the connection at once. A kept connection that turns out to be dead is replaced
        by a fresh one, once, and only if it ends soon and no byte of an answer came.
        """
        key = self._key_for(credential)
        return await self._way.request(method, url, body, key, deadlines or self._deadlines)

    def send_now(
        self, method: str, url: URL, *, body: bytes, credential: str | None = None
    ) -> PooledReply | None:
        """Send a request on a kept connection, without waiting; ``None`` when there is none.
        Raises ``Fault``.
        """
        if not isinstance(self._way, HttpPool):
            return None
        key = self._key_for(credential)
        return self._way.request_now(method, url, body, key, self._deadlines)

    def without_key(self, body: bytes, credential: str | None = None) -> bytes:
        """An error's ``body`` without the key that went up: some servers repeat it, and callers
        and logs are told what an error says. A short one is a word ("none") and no secret.
        """
        key = (self._key_for(credential) or "").encode()
        return body if len(key) < SHORTEST_KEY else body.replace(key, HIDDEN.encode())

    def _key_for(self, credential: str | None) -> str | None:
        return (_checked(credential) if credential else None) or self._api_key

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        await self._way.aclose()


def _by_proxy(origin: Origin, proxy: URL, keepalive: float) -> _Way:
    # Loading this library takes longer than the rest of the start together.
    from deepseek_messages.upstreams.http.proxied import ProxiedClient  # noqa: PLC0415

    return ProxiedClient(origin, proxy, keepalive=keepalive)


def _checked(credential: str) -> str | None:
    try:
        return checked_key(credential)
    except ValueError as error:
        raise Fault(
            FaultKind.REFUSED, str(error), status=401, should_retry=False, transient=False
        ) from error
