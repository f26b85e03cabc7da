"""uvicorn's HTTP protocol with the limits it lacks: on the size and the time of a request's head,
and on how long a client may leave its answer unread.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from deepseek_messages.web.errors import envelope
from deepseek_messages.web.ids import request_id
from deepseek_messages.wire.errors import ErrorDetail

# nginx: large_client_header_buffers, 4 of 8k; request lines with long queries included.
MAX_HEAD_BYTES = 32 * 1024

# httptools hands over header by header; Apache's LimitRequestFields is 100.
MAX_HEADERS = 200

# Seconds. Apache's RequestReadTimeout for headers is 20 to 40; nginx's is 60.
HEAD_TIMEOUT = 30.0

# Seconds without room in the buffer for a client that does not read (nginx: send_timeout 60).
WRITE_TIMEOUT = 60.0

MALFORMED = ErrorDetail(type="invalid_request_error", message="Malformed HTTP request")
HEAD_TOO_LARGE = ErrorDetail(
    type="invalid_request_error", message="Request header fields are too large"
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Its clocks run only while it waits for the peer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0  # received and not yet a whole head
        self._fields_size = 0
        self._reading_head = True
        self._too_large = False
        self._head_clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection has to send its first head in time."""
        super().connection_made(transport)
        self._head_clock = self.loop.call_later(HEAD_TIMEOUT, self._close_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_head_clock()
        self._stop_write_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what arrives before the headers are complete."""
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + len(data):
                self._refuse(431, HEAD_TOO_LARGE)
                return
            if self._head_clock is None:
                self._head_clock = self.loop.call_later(HEAD_TIMEOUT, self._close_slow)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._reading_head = True
        self._fields_size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._grow(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; the application takes over."""
        self._reading_head = False
        self._head_bytes = 0
        self._stop_head_clock()
        super().on_headers_complete()

    def send_400_response(self, _msg: str) -> None:
        """Answer what the parser refuses, in the envelope instead of plain text."""
        if self._too_large:
            self._refuse(431, HEAD_TOO_LARGE)
        else:
            self._refuse(400, MALFORMED)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        super().pause_writing()
        if self._write_clock is None:
            self._write_clock = self.loop.call_later(WRITE_TIMEOUT, self._abort)

    def resume_writing(self) -> None:
        """There is room again."""
        self._stop_write_clock()
        super().resume_writing()

    def _grow(self, size: int) -> None:
        self._fields_size += size
        if self._fields_size > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._too_large = True
            raise ValueError("head too large")  # makes the parser give up

    def _refuse(self, status: int, detail: ErrorDetail) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        if self._answering():
            self.transport.close()  # never into the middle of another answer
            return
        name = request_id()
        body = envelope(detail, name)
        head = (
            b"content-type: application/json\r\n"
            b"content-length: %d\r\nrequest-id: %s\r\nconnection: close\r\n\r\n"
        ) % (len(body), name.encode())
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _close_slow(self) -> None:
        self._head_clock = None
        if not self.transport.is_closing():
            self.transport.close()

    def _abort(self) -> None:
        self._write_clock = None
        self.transport.abort()

    def _stop_head_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None

    def _stop_write_clock(self) -> None:
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
