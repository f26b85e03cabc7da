"""uvicorn's HTTP protocol with the limits it lacks: on the size and the time of a request's head,
and on how long a client may leave its answer unread. Requests for messages take a shorter way
(``direct``) to the same application.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from deepseek_messages.translation.limits import (
    HEAD_TIMEOUT,
    MAX_FRAMING,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    WRITE_TIMEOUT,
)
from deepseek_messages.web.direct import DirectCycle, Told, last_answer
from deepseek_messages.web.front import Front
from deepseek_messages.web.known_head import KnownHead, known_head
from deepseek_messages.web.offers import declined
from deepseek_messages.web.paths import MESSAGES, MESSAGES_SPELLINGS
from deepseek_messages.web.paused import WatchedFlow
from deepseek_messages.web.short_answer import ShortAnswer
from deepseek_messages.web.strict_head import check_head
from deepseek_messages.web.unread import UnreadWatch
from deepseek_messages.wire.errors import ErrorDetail

# Seconds that a body may come behind its head without a task that waits for it: many clients write
# the two one after the other.
BODY_PATIENCE = 0.1

MALFORMED = ErrorDetail(type="invalid_request_error", message="Malformed HTTP request")
HEAD_TOO_LARGE = ErrorDetail(
    type="invalid_request_error", message="Request header fields are too large"
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Its clocks run only while it waits for the peer."""

    write_timeout = WRITE_TIMEOUT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0  # received and not yet a whole head
        self._fields_size = 0
        self._between = True  # the parser has seen nothing of a request, or all of it
        self._reading_head = True
        self._in_body = False
        self._framing = 0  # bytes of the body that are not paid for by its content
        self._offered = False  # the head offers another protocol
        self._too_large = False
        self._head_clock: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # the first of those in the pipeline
        # Only what is not wrapped in a middleware can be called directly.
        self._short_cut = type(self.app) is Front and self.limit_concurrency is None
        self._short_way = self.app.short if isinstance(self.app, Front) else None
        self._short: ShortAnswer | None = None  # a request that no task serves
        self._first = b""  # what came last, if a request begins with it
        self._known: KnownHead | None = None  # the head of an earlier request
        self._awaits_body = False  # a request's body is to come, and no task waits for it
        self._body_clock: asyncio.TimerHandle | None = None  # runs meanwhile

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection has to send its first head in time."""
        super().connection_made(transport)
        self.flow = self._watched = WatchedFlow(transport, self.loop)
        self._unread = UnreadWatch(transport, self.loop, self.write_timeout)
        self._head_clock = self.loop.call_later(HEAD_TIMEOUT, self._close_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_head_clock()
        self._unread.stop()
        self._watched.stop()
        super().connection_lost(exc)
        self._wait_for_body()  # in vain, as its record will tell
        self._unset_keepalive_if_required()  # uvicorn would keep us for it when the peer resets
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            if isinstance(running, DirectCycle):
                running.client_gone()
        self._short = self._known = None

    def data_received(self, data: bytes) -> None:
        """Count what arrives before the headers are complete."""
        begins = self._between and self._is_free()
        self._first = data if begins else b""
        if begins and self._known is not None and self._serve_shortly(self._known, data):
            return
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + len(data):
                self._refuse(431, HEAD_TOO_LARGE)
                return
            self._time_head()
        elif self._in_body:
            self._framing += len(data)
        self._feed(data)
        self._first = b""
        if self._awaits_body and self._body_clock is None:
            self._body_clock = self.loop.call_later(BODY_PATIENCE, self._wait_for_body)
        if self._in_body and self._framing > MAX_HEAD_BYTES:
            self._refuse(400, MALFORMED)
        else:
            self._time_head()

    def _is_free(self) -> bool:
        """Whether no request is being served or waits."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        return cycle is None or cycle.response_complete

    def _serve_shortly(self, known: KnownHead, data: bytes) -> bool:
        """Serve ``data`` without the parser, if it is a request like an earlier one."""
        if self.flow.write_paused:
            return False  # the ordinary way waits for a client that does not read its answers
        assert self._short_way is not None
        body = known.body(data)
        if body is None:
            return False
        self._first = b""  # not to be tried again
        self._unset_keepalive_if_required()
        self._stop_head_clock()
        self.scope = known.scope  # type: ignore[assignment]
        short = self._short_way.begin(known, body, self._take_up, self._start_task)
        if short is None:
            return False
        self._short = short
        return True

    def _take_up(self) -> DirectCycle:
        """The cycle of a request that has come as a whole."""
        self._unread.stop()
        self.cycle = self._running = cycle = self._direct_cycle(keep_alive=True)
        cycle.more_body = False
        return cycle

    def _start_task(self, work: Coroutine[None, None, None]) -> None:
        """Let the server know of a task, so that it waits for it when it stops."""
        task = self.loop.create_task(work)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def shutdown(self) -> None:
        """The server stops: what runs is finished, by a task that it can wait for."""
        self._wait_for_body()
        if self._short is not None:
            self._short.hand_over()
        super().shutdown()

    def _feed(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as offer:
                    rest = rest[offer.args[0] :]
                    self._decline()
                else:
                    return
        except httptools.HttpParserError:
            self.send_400_response("")

    def _decline(self) -> None:
        """Go on in this protocol: the parser stops at an offer of another one without reading the
        body, so a new one gets the same head without the offer.
        """
        self._offered = False
        head = declined(self.parser, self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(head)

    def on_message_begin(self) -> None:
        """The first byte of a request. Until then the connection is an idle one, whatever else
        comes: what is left of a body whose request was answered, or blank lines.
        """
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._between = False
        self._reading_head = True
        self._fields_size = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field. Trailers count towards the limit and are dropped (RFC 9110 §6.5.1: not
        to be merged into the head, whose checks are done by then).
        """
        self._grow(len(name) + len(value) + 4)
        if self._reading_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; the application takes over. Raises ``ValueError``, which makes the
        parser give up, for what ``check_head`` refuses.
        """
        check_head(self.parser, self.url, self.headers)
        if self.parser.should_upgrade():
            self._offered = True
            return
        self._reading_head = False
        self._in_body = True
        self._framing = 0
        self._head_bytes = 0
        self._stop_head_clock()
        self._unset_keepalive_if_required()  # set if an answer ended while the head came
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110 §10.1.1: not to be answered
        if (
            self._short_cut
            and self.parser.get_method() == b"POST"
            and self.url.partition(b"?")[0] in MESSAGES_SPELLINGS
            and not self.expect_100_continue
        ):
            self._serve_directly()
        else:
            super().on_headers_complete()

    def _serve_directly(self) -> None:
        """As uvicorn does it for any request, with a cycle of ours."""
        before: RequestResponseCycle | None = self.cycle
        version = self.parser.get_http_version()
        self.scope |= {"method": "POST", "path": MESSAGES, "raw_path": self.url}
        self.scope["http_version"] = version
        known, first, self._first = self._known, self._first, b""
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        self.cycle = self._direct_cycle(keep_alive=keep_alive)
        self.scope["direct"] = self.cycle  # type: ignore[typeddict-unknown-key]
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
            return
        if first and self._short_way is not None and keep_alive:
            if known is None or not known.begins(first):
                self._known = known_head(first, self.scope, self.headers)
            self._awaits_body = self._known is not None
        if not self._awaits_body:
            self._start_asgi_task(self.cycle, self.app)

    def _wait_for_body(self) -> None:
        """Let a task wait for a body that was to come at once."""
        if self._awaits_body:
            self._stop_body_clock()
            self._start_asgi_task(self.cycle, self.app)

    def _stop_body_clock(self) -> None:
        self._awaits_body = False
        if self._body_clock is not None:
            self._body_clock.cancel()
            self._body_clock = None

    def _serve_whole(self) -> None:
        """The body of a request with a known head has come soon behind it."""
        cycle, known = self.cycle, self._known
        assert isinstance(cycle, DirectCycle)
        if known is not None and self._short_way is not None and not self.flow.write_paused:
            body = bytes(cycle.body)
            short = self._short_way.begin(known, body, lambda: cycle, self._start_task)
            if short is not None:
                self._stop_body_clock()
                self._unread.stop()
                cycle.body = bytearray()
                self._running, self._short = cycle, short
                return
        self._wait_for_body()

    def _direct_cycle(self, *, keep_alive: bool) -> DirectCycle:
        return DirectCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=Told(),  # type: ignore[arg-type]  # all that is used of an event
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        if not self.flow.write_paused:
            self._unread.stop()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """All of an answer is written; what the system did not take waits for the client."""
        self._short = None
        super().on_response_complete()
        self._time_head()
        if self._running is None or self._running.response_complete:
            self._unread.watch()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._framing -= len(body) * (MAX_FRAMING + 1)
        super().on_body(body)
        if self._awaits_body and len(self.cycle.body) > HIGH_WATER_LIMIT:
            self._wait_for_body()  # which also takes what has come, to make room

    def on_message_complete(self) -> None:
        """The request is whole, unless its head is to be read again."""
        self._in_body = False
        if not self._offered:
            self._between = True
            super().on_message_complete()
            if self._awaits_body:
                self._serve_whole()

    def send_400_response(self, _msg: str) -> None:
        """Answer what the parser refuses, in the envelope instead of plain text."""
        if self._too_large or (self._reading_head and self._head_bytes > MAX_HEAD_BYTES):
            self._refuse(431, HEAD_TOO_LARGE)
        else:
            self._refuse(400, MALFORMED)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        """There is room again."""
        self._unread.stop()
        super().resume_writing()
        if self._running is not None and self._running.response_complete:
            self._unread.watch()

    def _grow(self, size: int) -> None:
        self._fields_size += size
        if self._fields_size > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            self._too_large = True
            raise ValueError("head too large")  # makes the parser give up

    def _refuse(self, status: int, detail: ErrorDetail) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        if self._answering():  # never into the middle of another answer
            if self.cycle.more_body:
                self.transport.close()
            self.cycle.keep_alive = False  # the connection ends behind it
            return
        if self.cycle is not None:
            self.cycle.disconnected = True  # nothing of the application's behind ours
        self.transport.write(last_answer(status, detail))
        self.transport.close()
        self._unread.watch()

    def _answering(self) -> bool:
        """Whether an answer is owed that the bytes just read have no part in."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete:
            return False
        return cycle.response_started or not cycle.more_body or bool(self.pipeline)

    def _close_slow(self) -> None:
        self._head_clock = None
        if not self.transport.is_closing():
            self.transport.close()

    def _time_head(self) -> None:
        """Let a head that has begun come in time, unless an answer before it is to end first."""
        waits = self._reading_head and self._is_free() and not self.transport.is_closing()
        if waits and self._head_clock is None:
            self._head_clock = self.loop.call_later(HEAD_TIMEOUT, self._close_slow)

    def _stop_head_clock(self) -> None:
        if self._head_clock is not None:
            self._head_clock.cancel()
            self._head_clock = None


def bounded_protocol(*, write_timeout: float) -> type[BoundedProtocol]:
    """The protocol with this much patience, in seconds, for clients that do not read."""
    return type("BoundedProtocol", (BoundedProtocol,), {"write_timeout": write_timeout})
