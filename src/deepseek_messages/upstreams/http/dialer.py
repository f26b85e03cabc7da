"""New connections to one origin."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import aiohappyeyeballs

from deepseek_messages.upstreams.http.origin import Origin

# Seconds between attempts at a host's addresses (RFC 8305 §8: 250 ms).
NEXT_ADDRESS_AFTER = 0.25


class Dialer:
    """Connects to an origin, by whichever of its addresses answers first."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._tls: ssl.SSLContext | None = None

    async def connect(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Connect, past the TLS handshake. Raises ``OSError``; ``ConnectionResetError`` when the
        server took the connection and dropped it.
        """
        loop = asyncio.get_running_loop()
        url = self._origin.base
        assert url.host is not None
        tls = self._tls_context() if url.scheme == "https" else None
        name = url.raw_host if tls is not None else None
        addresses = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        if len(addresses) == 1 and addresses[0][0] == socket.AF_INET:
            # Nothing to race, and several times cheaper.
            host, port = str(addresses[0][4][0]), int(addresses[0][4][1])
            await loop.create_connection(protocol, host, port, ssl=tls, server_hostname=name)
            return
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER, loop=loop
        )
        try:
            await loop.create_connection(protocol, sock=sock, ssl=tls, server_hostname=name)
        except BaseException as error:
            sock.close()
            if tls is None and isinstance(error, OSError):  # it was connected, and is no more
                raise ConnectionResetError from error
            raise

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls
