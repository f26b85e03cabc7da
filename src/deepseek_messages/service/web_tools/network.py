"""HTTP for the web tools: addresses inside the network are never reached, and all is bounded.

A name is resolved once and the connection goes to the addresses that were checked, so that a
second answer of the name service changes nothing. Redirects are followed by hand: each target is
checked like the first. (OWASP, "Server-Side Request Forgery Prevention".)
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct

from deepseek_messages.settings import split_url

# A fetched page may be this large, unpacked; the largest of the HTTP Archive's pages are smaller.
MAX_PAGE_BYTES = 10 * 1024 * 1024

# Anthropic, "Web fetch tool": addresses have at most 250 characters.
MAX_URL_CHARS = 250

MAX_REDIRECTS = 5
TIMEOUT = 20.0


# Looks up the names that models ask for. A name service that keeps silent holds a thread for many
# seconds, and those of the event loop look up the upstreams and read large requests.
_names = ThreadPoolExecutor(4, thread_name_prefix="web-names")


class WebError(Exception):
    """What a web tool could not do; ``code`` is an error code of Anthropic's result blocks."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Page(Struct, frozen=True):
    """What was read at ``url``, after redirects."""

    url: str
    media_type: str
    charset: str
    body: bytes


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also when it is written inside an
    IPv6 address (IPv4-mapped, 6to4, NAT64).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Names to public addresses only."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises ``OSError`` when one of the addresses is not public."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(_names, _looked_up, host, port, family)
        if not found or not all(is_public(each["host"]) for each in found):
            raise OSError("not a public address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _looked_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=flags
        )
        for kind, _, proto, _, address in socket.getaddrinfo(
            host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]


class Network:
    """Makes requests. ``private`` allows addresses inside the network, for a provider that the
    operator runs there and for tests.
    """

    def __init__(self, *, private: bool, timeout: float = TIMEOUT) -> None:
        self._private = private
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a provider answers. Raises ``WebError``, also for other JSON."""
        try:
            async with (
                self._session() as session,
                session.request(
                    method, url, json=json, params=params, headers=headers, allow_redirects=False
                ) as answer,
            ):
                if answer.status == 429:
                    raise WebError("too_many_requests")
                if answer.status >= 300:
                    raise WebError("unavailable")
                return _object(await _body(answer, "unavailable"))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RecursionError):
            raise WebError("unavailable") from None

    async def fetch(self, url: str, allows: Callable[[str], bool]) -> Page:
        """The page at ``url``; ``allows`` is asked for it and for each place it has moved to.
        Raises ``WebError``.
        """
        async with self._session() as session:
            for _ in range(MAX_REDIRECTS + 1):
                if not allows(url):
                    raise WebError("url_not_allowed")
                found = await self._one(session, url)
                if isinstance(found, Page):
                    return found
                url = found
        raise WebError("url_not_accessible")

    async def _one(self, session: aiohttp.ClientSession, url: str) -> Page | str:
        """A page, or where it has moved."""
        self.check(url)
        try:
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in {301, 302, 303, 307, 308}:
                    target = answer.headers.get("location", "")
                    return str(answer.url.join(type(answer.url)(target)))
                if answer.status == 429:
                    raise WebError("too_many_requests")
                if answer.status >= 400:
                    raise WebError("url_not_accessible")
                body = await _body(answer, "content_too_large")
                return Page(str(answer.url), answer.content_type, answer.charset or "utf-8", body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            raise WebError("url_not_accessible") from None

    def check(self, url: str) -> None:
        """Raises ``WebError`` for an address that is none or may not be read."""
        if len(url) > MAX_URL_CHARS:
            raise WebError("url_too_long")
        parts = split_url(url)
        if parts is None or parts.hostname is None or parts.username is not None:
            raise WebError("invalid_tool_input")
        if not self._private and _is_address(parts.hostname) and not is_public(parts.hostname):
            raise WebError("url_not_allowed")

    def _session(self) -> aiohttp.ClientSession:
        resolver = None if self._private else PublicResolver()
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=4),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "deepseek-messages"},
            trust_env=False,
        )


def _is_address(host: str) -> bool:
    """Whether the name service is not asked: anything that ``inet_aton`` takes counts too."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.replace(".", "").isalnum() and host.rpartition(".")[2][:1].isdigit()
    return True


async def _body(answer: aiohttp.ClientResponse, too_large: str) -> bytes:
    """What is read; ``too_large`` is the error code when it has no end."""
    body = bytearray()
    async for piece in answer.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > MAX_PAGE_BYTES:
            raise WebError(too_large)
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    """Raises ``WebError`` for JSON that is no object."""
    value = msgspec.json.decode(body)
    if not isinstance(value, dict):
        raise WebError("unavailable")
    return value
