"""An upstream that stands for another one and passes everything on to it."""

from collections.abc import Sequence

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.upstreams.base import ChatStream, Readiness, Upstream, UpstreamCall


class PassingOn:
    """Each does as the other one's."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @property
    def name(self) -> str:
        """Its own."""
        return self._upstream.name

    @property
    def dialect(self) -> Dialect:
        """Its own."""
        return self._upstream.dialect

    async def open(self, call: UpstreamCall) -> ChatStream:
        """As itself."""
        return await self._upstream.open(call)

    async def models(self) -> Sequence[Model]:
        """As itself."""
        return await self._upstream.models()

    async def count_tokens(self, call: UpstreamCall) -> int | None:
        """As itself."""
        return await self._upstream.count_tokens(call)

    async def readiness(self) -> Readiness:
        """As itself."""
        return await self._upstream.readiness()

    async def start(self) -> None:
        """As itself."""
        await self._upstream.start()

    async def aclose(self) -> None:
        """As itself."""
        await self._upstream.aclose()
