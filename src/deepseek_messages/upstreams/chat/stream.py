"""One answer of a chat server: bytes off the network in, typed chunks out.

What was asked for and what comes may differ (a whole answer where a stream was asked, an HTML
page with a 200), so the first visible byte decides how the body is read:

    START ──"{"──▶ WHOLE ──end──▶ ENDED
      │                             ▲
      ├──"<"──▶ fault               │
      └──else─▶ FRAMES ──[DONE], end┘
"""

from collections.abc import Callable, Sequence
from enum import Enum

from deepseek_messages.translation.answer.chat_json import decode_answer
from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.response import chunks_of
from deepseek_messages.translation.answer.runs import Pattern
from deepseek_messages.translation.answer.sse import ChunkReader
from deepseek_messages.translation.limits import MAX_ANSWER_BYTES
from deepseek_messages.upstreams.http.client import HttpReply
from deepseek_messages.upstreams.http.faults import garbage_fault
from deepseek_messages.wire.chat import ChatChunk


class _State(Enum):
    START = "start"  # nothing but blanks so far
    FRAMES = "frames"
    WHOLE = "whole"
    ENDED = "ended"


class HttpChatStream:
    """A ``ChatStream`` over one HTTP answer with status 200. Closes it on every path."""

    def __init__(self, reply: HttpReply) -> None:
        self._reply = reply
        self._state = _State.START
        self._reader = ChunkReader()
        self._whole = bytearray()

    async def read(self) -> Sequence[ChatChunk]:
        """The chunks that arrived together; empty when the answer ended. Raises ``Fault``."""
        try:
            while (chunks := self._next()) is None:
                data = await self._reply.read()
                if (chunks := self._taken(data)) is not None:
                    break
        except BaseException:
            self._give_up()
            raise
        return chunks

    def read_now(self) -> Sequence[ChatChunk] | None:
        """As ``read``; ``None`` where that would wait. Raises ``Fault``."""
        try:
            while (chunks := self._next()) is None:
                data = self._reply.read_now()
                if data is None:
                    return None
                if (chunks := self._taken(data)) is not None:
                    break
        except BaseException:
            self._give_up()
            raise
        return chunks

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """As ``HttpReply.when_ready``."""
        return self._reply.when_ready(tell)

    @property
    def pattern(self) -> Pattern | None:
        """What the next frames follow if the answer goes on as it did, if that is known."""
        return self._reader.pattern if self._state is _State.FRAMES else None

    def relay_now(self, relay: Relay) -> bytes | None:
        """What ``relay`` makes of all that is there; ``None`` if that is to be read instead."""
        return self._reply.relay_now(relay)

    def _next(self) -> Sequence[ChatChunk] | None:
        """What is known without another byte: a fault, or the end."""
        if self._reader.broken is not None:
            raise self._reader.broken
        return [] if self._state is _State.ENDED else None

    def _taken(self, data: bytes) -> Sequence[ChatChunk] | None:
        """The chunks that ``data`` completes; ``None`` when more is needed."""
        chunks = self._take(data) if data else self._end()
        return chunks if chunks or self._state is _State.ENDED else None

    def _give_up(self) -> None:
        self._state = _State.ENDED
        self._reply.close()

    async def aclose(self) -> None:
        """Close the connection unless the answer is complete."""
        self.close()

    def close(self) -> None:
        """As ``aclose``."""
        if self._state is not _State.ENDED:
            self._state = _State.ENDED
            self._reply.close()

    def _take(self, data: bytes) -> list[ChatChunk]:
        match self._state:
            case _State.START:
                return self._first(data)
            case _State.FRAMES:
                return self._frames(data)
            case _:
                return self._more(data)

    def _first(self, data: bytes) -> list[ChatChunk]:
        """Leading blank lines are how DeepSeek keeps a waiting request alive."""
        visible = data.lstrip()
        if not visible:
            return []
        if visible.startswith(b"<"):
            raise garbage_fault(self._reply.origin, "a web page instead of a chat completion")
        if visible.startswith((b"{", b"[")):
            self._state = _State.WHOLE
            self._reply.begun()  # once: it was written in one piece, and is not to trickle for ever
            return self._more(visible)
        self._state = _State.FRAMES
        return self._frames(data)

    def _frames(self, data: bytes) -> list[ChatChunk]:
        chunks = self._reader.feed(data)
        if chunks:
            self._reply.begun()
        if self._reader.done:
            self._finish()
        return chunks

    def _more(self, data: bytes) -> list[ChatChunk]:
        self._whole += data
        if len(self._whole) > MAX_ANSWER_BYTES:
            raise garbage_fault(self._reply.origin, "a body larger than any chat completion")
        return []

    def _end(self) -> list[ChatChunk]:
        """The body ended. Whether a stream was whole is for its reader to judge."""
        match self._state:
            case _State.START:
                raise garbage_fault(self._reply.origin, "an empty body")
            case _State.WHOLE:
                self._finish()
                return chunks_of(decode_answer(bytes(self._whole)))
            case _:
                self._finish()
                return self._reader.end()

    def _finish(self) -> None:
        self._state = _State.ENDED
        self._reply.settle()
