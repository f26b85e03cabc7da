"""Reading a request's body: whole, bounded in size and time."""

import asyncio
import codecs
from typing import NamedTuple

from deepseek_messages.translation.limits import (
    BODY_DISCARD_FACTOR,
    BODY_IDLE_TIMEOUT,
    BODY_TIMEOUT,
    LARGE_BODY,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.exchange import ClientGoneError, Exchange

CLOSE = (b"connection", b"close")


class Body(NamedTuple):
    """A whole body, and whether it is known to be UTF-8: of most nothing is known."""

    data: bytes
    is_text: bool = False


class _Text:
    """Whether what arrives is UTF-8. While a large body is on its way there is time to look."""

    def __init__(self) -> None:
        self.holds = True
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._in_character = False

    def take(self, piece: bytes, *, last: bool) -> None:
        """The next piece."""
        if not self.holds or (piece.isascii() and not self._in_character):
            return
        try:
            self._decoder.decode(piece, last)
        except UnicodeDecodeError:
            self.holds = False
        else:
            self._in_character = self._decoder.getstate()[0] != b""


async def read_body(exchange: Exchange, limit: int) -> Body:
    """The whole body. Raises ``Refusal``: 413 above ``limit`` bytes, 400 for a content coding,
    408 when it does not come in time. Raises ``ClientGoneError`` when the client leaves half-way.
    """
    _refuse_coding(exchange)
    if (whole := exchange.whole_body()) is not None:
        if len(whole) > limit:
            exchange.extra_headers.append(CLOSE)
            raise _too_large(limit)
        return Body(whole)
    declared = _declared_length(exchange)
    if declared > limit:
        await _discard(exchange, declared, limit)
        raise _too_large(limit)
    try:
        return await _receive_all(exchange, limit, _Text() if declared > LARGE_BODY else None)
    except TimeoutError:
        exchange.extra_headers.append(CLOSE)
        raise Refusal(
            "The request body did not arrive in time.", status=408, should_retry=True
        ) from None


async def _receive_all(exchange: Exchange, limit: int, text: _Text | None) -> Body:
    loop = asyncio.get_running_loop()
    end = loop.time() + BODY_TIMEOUT
    pieces: list[bytes] = []
    size = 0
    async with asyncio.timeout_at(None) as clock:
        while True:
            clock.reschedule(min(loop.time() + BODY_IDLE_TIMEOUT, end))
            message = await exchange.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece = message.get("body", b"")
            size += len(piece)
            last = not message.get("more_body", False)
            if size <= limit:
                pieces.append(piece)
                if text is not None:
                    text.take(piece, last=last)
            elif size > limit * BODY_DISCARD_FACTOR:
                break
            if last:
                break
    if size > limit:
        exchange.extra_headers.append(CLOSE)
        raise _too_large(limit)
    is_text = text is not None and text.holds
    if size > LARGE_BODY:  # which takes some milliseconds, without the interpreter's lock
        return Body(await asyncio.to_thread(b"".join, pieces), is_text)
    return Body(b"".join(pieces), is_text)


async def _discard(exchange: Exchange, declared: int, limit: int) -> None:
    """Read a declared body away, unless it is absurd or slow; then the connection ends."""
    exchange.extra_headers.append(CLOSE)
    if declared > limit * BODY_DISCARD_FACTOR or "expect" in exchange.headers:
        return
    try:
        async with asyncio.timeout(BODY_IDLE_TIMEOUT):
            while True:
                message = await exchange.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _declared_length(exchange: Exchange) -> int:
    text = exchange.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _refuse_coding(exchange: Exchange) -> None:
    coding = exchange.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise Refusal(
            f"content-encoding: request bodies are read uncompressed, not as {coding[:40]!r}",
            error_code="request_body_encoding_unsupported",
        )


def _too_large(limit: int) -> Refusal:
    return Refusal(f"Request exceeds the maximum size of {limit} bytes", status=413)
