"""``POST /v1/messages``."""

import asyncio
from collections.abc import Mapping

import msgspec

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.service.callers import Caller
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.telemetry.record import RequestRecord
from deepseek_messages.translation.limits import LARGE_BODY
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.large import is_large
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.web.bodies import read_body
from deepseek_messages.web.exchange import Exchange
from deepseek_messages.web.notes import notes_header
from deepseek_messages.web.streaming import Pace, stream_answer
from deepseek_messages.web.watch import ClientWatch

_encode = msgspec.json.Encoder().encode

# One per conversation of Claude Code: requests with the same one share their prompt's beginning.
SESSION_HEADER = "x-claude-code-session-id"


class MessagesHandler:
    """Answers whole or as a stream, as the body's ``stream`` says; nothing else decides."""

    def __init__(
        self, answerer: Answerer, *, max_body_bytes: int, pace: Pace, metrics: Metrics
    ) -> None:
        self._answerer = answerer
        self._max_body_bytes = max_body_bytes
        self.pace = pace
        self.metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        """Raises ``Refusal`` and ``Fault`` as long as the status has not gone out."""
        body, is_text = await read_body(exchange, self._max_body_bytes)
        by_thread = len(body) > LARGE_BODY
        session = exchange.headers.get(SESSION_HEADER)
        async with ClientWatch(exchange):
            request = (
                await asyncio.to_thread(parse_request, body, is_text=is_text)
                if by_thread
                else parse_request(body)
            )
            large = is_large(len(body), request)
            answer = await self._answerer.answer(
                request, exchange.caller, exchange.record, session, large=large
            )
            await self._conclude(exchange, answer)

    def at_once(
        self,
        body: bytes,
        caller: Caller,
        record: RequestRecord,
        headers: Mapping[str, str],
    ) -> Answer | None:
        """The answer to a request that can be had without waiting; ``None`` for any other, also
        for one that is to be refused. Whoever has it calls ``conclude``, or closes it.
        """
        if len(body) > min(self._max_body_bytes, LARGE_BODY):
            return None
        try:
            request = parse_request(body)
        except Refusal:
            return None
        if is_large(len(body), request):
            return None
        return self._answerer.answer_now(request, caller, record, headers.get(SESSION_HEADER))

    async def conclude(self, exchange: Exchange, answer: Answer) -> None:
        """Send ``answer``, wherever it is on its way. Raises as a call does."""
        async with ClientWatch(exchange):
            await self._conclude(exchange, answer)

    async def _conclude(self, exchange: Exchange, answer: Answer) -> None:
        try:
            if answer.streams:
                self.metrics.open_streams += 1
                try:
                    await stream_answer(exchange, answer, self.pace)
                finally:
                    self.metrics.open_streams -= 1
                return
            await answer.opened()
            message = await answer.whole()
        finally:
            await answer.aclose()
        await exchange.reply(200, _encode(message), notes_header(answer.notes.entries))
