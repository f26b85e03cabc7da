"""``POST /v1/messages``."""

import msgspec

from deepseek_messages.service.answer import Answerer
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.translation.parse import parse_request
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
        self._pace = pace
        self._metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        """Raises ``Refusal`` and ``Fault`` as long as the status has not gone out."""
        request = parse_request(await read_body(exchange, self._max_body_bytes))
        session = exchange.headers.get(SESSION_HEADER)
        async with ClientWatch(exchange):
            answer = await self._answerer.answer(request, exchange.caller, exchange.record, session)
            try:
                if request.stream:
                    with self._metrics.open_streams.track_inprogress():
                        await stream_answer(exchange, answer, self._pace)
                    return
                await answer.opened()
                message = await answer.whole()
            finally:
                await answer.aclose()
            await exchange.reply(200, _encode(message), notes_header(answer.notes.entries))
