"""Who may come in: credentials, and for servers on loopback the Host and Origin of a request.

A page in the user's browser can reach a server on 127.0.0.1 (DNS rebinding gives it any name,
plain forms need no permission), so there a request must name this machine as its Host and come
from no foreign Origin.
"""

import hashlib
import hmac
import re
from collections.abc import Collection
from enum import Enum
from typing import assert_never
from urllib.parse import urlsplit

from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.settings import AuthMode, Secret, is_loopback
from deepseek_messages.store.keys import Keyring
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.exchange import Exchange

# What may stand in a credential: it goes into a header of ours, so only visible ASCII (RFC 9110
# §5.5), no longer than gateways' signed tokens are.
CREDENTIAL = re.compile(r"[\x21-\x7e]{1,4096}")

# What proxies add to a request, some of them only one of these.
FORWARDED = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)

MISSING_KEY = "x-api-key header is required"
WRONG_KEY = "invalid x-api-key"


class Access(Enum):
    """Who may use a route."""

    PUBLIC = "public"  # tells nothing and starts nothing
    CALLER = "caller"  # whoever the authentication mode lets in
    OPERATOR = "operator"  # this machine, or the holder of the metrics key


class Guard:
    """Checks requests. Raises ``Refusal``: 400, 401 or 403."""

    def __init__(
        self,
        *,
        mode: AuthMode,
        keyring: Keyring,
        host: str,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
        metrics_key: Secret | None = None,
    ) -> None:
        self._mode = mode
        self._keyring = keyring
        self._uses = 0  # how often ``use`` was called
        self._local = is_loopback(host)
        self._hosts = frozenset(name.lower() for name in allowed_hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._metrics_key = _digest(metrics_key.reveal()) if metrics_key else None

    def use(self, mode: AuthMode, keyring: Keyring) -> None:
        """Check keys in this way from now on."""
        self._mode = mode
        self._keyring = keyring
        self._uses += 1

    def state(self) -> tuple[int, int]:
        """What changes whenever the same request may be judged otherwise."""
        return self._uses, self._keyring.version() if self._mode == "keys" else 0

    def check_source(self, exchange: Exchange) -> None:
        """Check Host and Origin; note what a browser may read. For every request, any route."""
        hosts = [value for name, value in exchange.scope["headers"] if name.lower() == b"host"]
        if len(hosts) > 1 or (not hosts and exchange.scope["http_version"] != "1.0"):
            # As after any malformed head: what follows may be meant otherwise, too.
            exchange.extra_headers.append((b"connection", b"close"))
            raise Refusal("host: exactly one Host header is required (RFC 9112 §3.2)")
        origin = exchange.headers.get("origin")
        if origin is not None and origin.lower() in self._origins:
            exchange.extra_headers += cors_headers(origin)
        elif self._local and origin is not None and not _origin_is_local(origin):
            raise Refusal("origin: this origin may not use this server", status=403)
        if self._local and hosts and not self._names_this_machine(hosts[0].decode("latin-1")):
            raise Refusal(
                "host: this server listens on loopback only; set server.allowed_hosts to serve"
                " other names",
                status=403,
            )

    def is_preflight(self, exchange: Exchange) -> bool:
        """Whether a browser asks for leave to call from an allowed origin."""
        return (
            exchange.scope["method"] == "OPTIONS"
            and "access-control-request-method" in exchange.headers
            and exchange.headers.get("origin", "").lower() in self._origins
        )

    def admit(self, exchange: Exchange, access: Access) -> Caller:
        """The caller of a route. Raises ``Refusal`` (401, not to be retried) for a stranger."""
        match access:
            case Access.PUBLIC:
                return NOBODY
            case Access.CALLER:
                return self._admit_caller(exchange)
            case Access.OPERATOR:
                return self._admit_operator(exchange)
            case _:
                assert_never(access)

    def _admit_caller(self, exchange: Exchange) -> Caller:
        if self._mode == "open":
            return Caller("open")
        offered = credentials(exchange)
        if not offered:
            raise _stranger(MISSING_KEY)
        if self._mode == "pass-through":
            digest = _digest(offered[0]).hex()
            return Caller(f"key-{digest[:8]}", credential=offered[0], identity=digest)
        for key in offered:
            name = self._keyring.find(key)
            if name is not None:
                return Caller(name, identity=_digest(key).hex())
        raise _stranger(WRONG_KEY)

    def _admit_operator(self, exchange: Exchange) -> Caller:
        if self.is_operator(exchange):
            return Caller("operator")
        raise _stranger(WRONG_KEY if credentials(exchange) else MISSING_KEY)

    def is_operator(self, exchange: Exchange) -> bool:
        """Whether the request comes from this machine and through no proxy on it, or with the
        metrics key.
        """
        if self._metrics_key is not None:
            for key in credentials(exchange):
                if hmac.compare_digest(_digest(key), self._metrics_key):
                    return True
        client = exchange.scope.get("client")
        forwarded = any(name in exchange.headers for name in FORWARDED)
        return client is not None and is_loopback(client[0]) and not forwarded

    def _names_this_machine(self, host: str) -> bool:
        name = _without_port(host).lower().rstrip(".")
        return is_loopback(name) or name in self._hosts or host.lower() in self._hosts


def credentials(exchange: Exchange) -> list[str]:
    """The keys a request offers, the first to be tried first: ``Authorization: Bearer``, which
    the official SDKs send since October 2026, then ``x-api-key``.
    """
    scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
    offered = [token.strip()] if scheme.lower() == "bearer" else []
    offered.append(exchange.headers.get("x-api-key", "").strip())
    return [key for key in offered if CREDENTIAL.fullmatch(key)]


def cors_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """What lets a page of ``origin`` read the answer."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"request-id, retry-after, deepseek-messages-notes"),
        (b"vary", b"origin"),
    ]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _origin_is_local(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _stranger(message: str) -> Refusal:
    """Claude Code repeats a 401 up to ten times unless told not to."""
    return Refusal(message, status=401, should_retry=False)
