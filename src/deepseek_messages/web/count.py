"""``POST /v1/messages/count_tokens``."""

import asyncio

import msgspec
from msgspec import UNSET

from deepseek_messages.service.count import CountTokens
from deepseek_messages.translation.limits import LARGE_BODY
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.web.bodies import read_body
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.notes import notes_header
from deepseek_messages.web.watch import ClientWatch
from deepseek_messages.wire.messages import OriginalCount, TokenCount

_encode = msgspec.json.Encoder().encode


class CountHandler:
    """The size of the prompt that a request would become."""

    def __init__(self, count: CountTokens, *, max_body_bytes: int) -> None:
        self._count = count
        self._max_body_bytes = max_body_bytes

    async def __call__(self, exchange: Exchange) -> None:
        """Raises ``Refusal`` for a request that could not be served either."""
        body, is_text = await read_body(exchange, self._max_body_bytes)
        if len(body) > LARGE_BODY:
            request = await asyncio.to_thread(parse_request, body, counting=True, is_text=is_text)
        else:
            request = parse_request(body, counting=True)
        async with ClientWatch(exchange):
            counted = await self._count(request, exchange.caller, exchange.record)
        notes = notes_header(counted.notes.entries)
        original = counted.original_tokens
        context = UNSET if original is None else OriginalCount(original)
        await exchange.reply(200, _encode(TokenCount(counted.tokens, context)), notes)
