"""Small questions to an upstream beside the chat itself: JSON in, JSON out, a short deadline."""

import asyncio
from typing import Any

import msgspec
from yarl import URL

from deepseek_messages.translation.faults import Fault, from_status
from deepseek_messages.translation.limits import (
    CONNECT_TIMEOUT,
    MAX_ERROR_BODY_BYTES,
    MAX_LIST_BYTES,
    PROBE_TIMEOUT,
)
from deepseek_messages.upstreams.http.client import Deadlines, HttpClient, HttpReply
from deepseek_messages.upstreams.http.faults import (
    first_byte_timeout,
    garbage_fault,
    redirect_fault,
)


class Said(msgspec.Struct, frozen=True):
    """What a server answered: decoded JSON, and the name in its ``server`` header."""

    value: Any
    server: str


class Probe:
    """Asks one origin, with the upstream's own key unless another is given."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.origin = client.origin

    async def ask(
        self,
        method: str,
        url: URL,
        payload: object = None,
        *,
        credential: str | None = None,
        within: float = PROBE_TIMEOUT,
    ) -> Said:
        """The JSON answered with a 200 within so many seconds. Raises ``Fault`` for all else."""
        body = None if payload is None else msgspec.json.encode(payload)
        limits = Deadlines(connect=min(within, CONNECT_TIMEOUT), first_byte=within, idle=within)
        reply: HttpReply | None = None
        try:
            async with asyncio.timeout(within):
                reply = await self.client.send(
                    method, url, body=body, credential=credential, deadlines=limits
                )
                return await self._answer(reply, credential)
        except TimeoutError as error:
            raise first_byte_timeout(self.origin.label, within) from error
        finally:
            if reply is not None:
                reply.close()

    async def _answer(self, reply: HttpReply, credential: str | None) -> Said:
        origin = self.origin.label
        if 300 <= reply.status < 400:
            raise redirect_fault(origin, reply.status)
        if reply.status >= 400:
            said = await reply.read_all(MAX_ERROR_BODY_BYTES)
            raise from_status(
                reply.status,
                reply.headers,
                self.client.without_key(said[:MAX_ERROR_BODY_BYTES], credential),
                own_credential=not credential,
            )
        body = await reply.read_all(MAX_LIST_BYTES)
        if reply.status != 200 or len(body) > MAX_LIST_BYTES:
            raise garbage_fault(origin, f"an unusable list (status {reply.status})")
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise garbage_fault(origin, "something that is not JSON") from error
        return Said(value, reply.headers.get("server", ""))

    async def ask_or_none(self, method: str, url: URL, payload: object = None) -> Any:
        """Like ``ask``, but ``None`` where the server has no such answer."""
        try:
            return (await self.ask(method, url, payload)).value
        except Fault:
            return None
