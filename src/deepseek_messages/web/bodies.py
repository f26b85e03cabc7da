"""Reading a request's body: whole, bounded in size and time."""

import asyncio

from deepseek_messages.translation.limits import (
    BODY_DISCARD_FACTOR,
    BODY_IDLE_TIMEOUT,
    BODY_TIMEOUT,
    LARGE_BODY,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.web.exchange import ClientGoneError, Exchange

CLOSE = (b"connection", b"close")


async def read_body(exchange: Exchange, limit: int) -> bytes:
    """The whole body. Raises ``Refusal``: 413 above ``limit`` bytes, 400 for a content coding,
    408 when it does not come in time. Raises ``ClientGoneError`` when the client leaves half-way.
    """
    _refuse_coding(exchange)
    if (whole := exchange.whole_body()) is not None:
        if len(whole) > limit:
            exchange.extra_headers.append(CLOSE)
            raise _too_large(limit)
        return whole
    declared = _declared_length(exchange)
    if declared > limit:
        await _discard(exchange, declared, limit)
        raise _too_large(limit)
    try:
        body = await _receive_all(exchange, limit)
    except TimeoutError:
        exchange.extra_headers.append(CLOSE)
        raise Refusal(
            "The request body did not arrive in time.", status=408, should_retry=True
        ) from None
    return body


async def _receive_all(exchange: Exchange, limit: int) -> bytes:
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
            if size <= limit:
                pieces.append(piece)
            elif size > limit * BODY_DISCARD_FACTOR:
                break
            if not message.get("more_body", False):
                break
    if size > limit:
        exchange.extra_headers.append(CLOSE)
        raise _too_large(limit)
    if len(pieces) == 1:
        return pieces[0]
    if size > LARGE_BODY:  # which takes some milliseconds, without the interpreter's lock
        return await asyncio.to_thread(b"".join, pieces)
    return b"".join(pieces)


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
