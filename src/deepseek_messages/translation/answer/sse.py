"""Server-sent events: the upstream's bytes to data payloads, our events to bytes.

Source of the line rules: WHATWG HTML, "Interpreting an event stream". Everything works on
bytes, so a character that is cut in two by the network is whole again before it is decoded.
"""

from collections.abc import Callable, Iterable

import msgspec

from deepseek_messages.translation.answer.chat_json import decode_chunk
from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.runs import Pattern, RunDelta, TextRun, pattern_of
from deepseek_messages.translation.faults import Fault, garbage
from deepseek_messages.translation.limits import MAX_FRAME_BYTES
from deepseek_messages.wire.chat import ChatChunk
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    InputJsonDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
)

__all__ = ["DONE", "ChunkReader", "FrameParser", "decode_chunk", "encode_events", "relay"]

DONE = b"[DONE]"  # the payload that ends a stream of chat completions

# In how many frames of a stream a pattern is looked for: few are needed for its reasoning and its
# text, more for servers that change what is around the text (a time stamp).
MAX_LESSONS = 32

_BOM = b"\xef\xbb\xbf"


class FrameParser:
    """Cuts a byte stream into the data payloads of its events, in time linear in the bytes.

    ``data:`` counts with or without a space; lines may end in LF, CRLF or CR; several data lines
    of one event are joined by a newline; comments, ``event:``, ``id:``, ``retry:`` and unknown
    fields are skipped. Raises ``Fault`` (garbage) when a line, or the data of one event, passes
    ``limit`` bytes, once the payloads before it were returned: what a client sees depends on no
    cut of the bytes.
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._line: list[bytes] = []  # the pieces of the unfinished line
        self._line_size = 0
        self._data: list[bytes] = []  # the data lines of the unfinished event
        self._data_size = 0
        self._after_cr = False  # an LF that comes next belongs to the CR before it
        self._start = b""  # the first bytes while they may be a byte order mark
        self._begun = False
        self._fault: Fault | None = None  # to be raised once what came before it was returned

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the payloads of the events that are complete now."""
        if self._fault is not None:
            raise self._fault
        if not self._begun:
            data = self._without_bom(data)
        if not data:
            return []
        if self._after_cr and data[0] == 0x0A:
            data = data[1:]
            self._after_cr = False
            if not data:
                return []
        if b"\r" in data:
            self._after_cr = data[-1] == 0x0D
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            self._after_cr = False
        payloads: list[bytes] = []
        try:
            self._take_lines(data, payloads)
        except Fault as fault:
            self._fault = fault
            if not payloads:
                raise
        return payloads

    @property
    def between(self) -> bool:
        """Whether nothing of an event that is not complete has been taken."""
        return self._begun and not (self._line or self._data or self._after_cr or self._fault)

    def end(self) -> list[bytes]:
        """What an ending without its empty line left behind: at most one payload."""
        if self._fault is not None:
            raise self._fault
        payloads: list[bytes] = []
        self._take_line(b"", payloads)
        self._take_line(b"", payloads)
        return payloads

    def _without_bom(self, data: bytes) -> bytes:
        data = self._start + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._begun = True
        self._start = b""
        return data.removeprefix(_BOM)

    def _take_lines(self, data: bytes, payloads: list[bytes]) -> None:
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._take_line(line, payloads)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check(self._line_size)

    def _take_line(self, line: bytes, payloads: list[bytes]) -> None:
        if self._line:
            self._line.append(line)
            line = b"".join(self._line)
            self._line.clear()
            self._line_size = 0
        self._check(len(line))
        if not line:
            if self._data:
                payloads.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                self._data_size = 0
        elif line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._data_size += len(value)
            self._check(self._data_size)
        elif line == b"data":
            self._data.append(b"")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise garbage(f"the upstream sent an event of more than {self._limit} bytes")


class ChunkReader:
    """A stream of chat completions, from bytes to chunks, and runs of them (``runs``).

    ``done`` turns true at ``data: [DONE]``; whatever follows it is ignored.
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._frames = FrameParser(limit)
        self._fault: Fault | None = None  # to be raised once what came before it was returned
        self._pattern: Pattern | None = None
        self._lessons = MAX_LESSONS
        self.done = False

    def feed(self, data: bytes) -> list[ChatChunk]:
        """Take bytes; return the chunks that are complete now. Raises ``Fault`` (garbage)."""
        if self._fault is not None:
            raise self._fault
        if self.done:
            return []
        chunks: list[ChatChunk] = []
        while data and not self._over:
            run: TextRun | None = None
            if self._pattern is not None and self._frames.between:
                run, data = self._pattern.take(data)
            if run is not None:
                chunks.append(run)
                continue
            size = self._one_frame(data)
            try:
                chunks += self._chunks(self._frames.feed(data[:size]))
            except Fault as fault:
                if not chunks:
                    raise
                self._fault = fault
            if self._lessons and chunks and self._frames.between:
                self._pattern = pattern_of(data[:size], chunks[-1]) or self._pattern
            data = data[size:]
        return chunks

    @property
    def pattern(self) -> Pattern | None:
        """What the next bytes follow if the stream goes on as it did; ``None`` in the middle of a
        frame, or when a pattern is not known.
        """
        return self._pattern if self._frames.between and not self._over else None

    @property
    def _over(self) -> bool:
        return self.done or self._fault is not None

    @property
    def broken(self) -> Fault | None:
        """What the next ``feed`` would raise, whatever it is fed."""
        return self._fault

    def _one_frame(self, data: bytes) -> int:
        """How many bytes to decode now: one frame while a pattern may be learned, or to finish one
        that is begun before a run; else all.
        """
        size = data.find(b"\n\n") + 2
        if size < 2:
            return len(data)
        if self._lessons:
            self._lessons -= 1
            return size
        return size if self._pattern is not None and not self._frames.between else len(data)

    def end(self) -> list[ChatChunk]:
        """The bytes ended: the chunk whose closing empty line is missing, if it is whole. What
        was cut in the middle is dropped; the stream's missing end tells.
        """
        if self._fault is not None:
            raise self._fault
        if self.done:
            return []
        return self._chunks(payload for payload in self._frames.end() if _is_chunk(payload))

    def _chunks(self, payloads: Iterable[bytes]) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        for payload in payloads:
            stripped = payload.strip()
            if stripped == DONE:
                self.done = True
                break
            if not stripped:
                continue
            try:
                chunks.append(decode_chunk(stripped))
            except Fault as fault:
                self._fault = fault
                if not chunks:
                    raise
                break
        return chunks


def _is_chunk(payload: bytes) -> bool:
    if payload.strip() == DONE:
        return True
    try:
        decode_chunk(payload)
    except Fault:
        return False
    return True


# --- our events -----------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode


def encode_events(events: Iterable[StreamEvent]) -> bytes:
    """The events as one buffer for one write.

    U+2028, U+2029 and U+0085 are escaped: they are no line ends in this format, but some
    clients split lines as Unicode does.
    """
    return b"".join([_frame(event) for event in events])


def _frame(event: StreamEvent) -> bytes:
    if type(event) is RunDelta:
        return _run(event)
    if type(event) is ContentBlockDelta:
        common = _COMMON_DELTAS.get(type(event.delta))
        if common is not None:
            return common(event)
    name = event.__struct_config__.tag
    return b"event: %b\ndata: %b\n\n" % (str(name).encode(), _line_safe(_encode(event)))


_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_TEXT = _DELTA + b'{"type":"text_delta","text":%b}}\n\n'
_THINKING = _DELTA + b'{"type":"thinking_delta","thinking":%b}}\n\n'
_INPUT = _DELTA + b'{"type":"input_json_delta","partial_json":%b}}\n\n'


_TEXT_START = _TEXT.removesuffix(b"%b}}\n\n") + b'"'
_THINKING_START = _THINKING.removesuffix(b"%b}}\n\n") + b'"'
_END = b'"}}\n\n'


def relay(
    pattern: Pattern, index: int, *, guarded: bool, room: int, tell: Callable[[list[str]], None]
) -> Relay:
    """What turns the frames of ``pattern`` into ours, for the block of that ``index``."""
    start = (_TEXT_START if pattern.field == "content" else _THINKING_START) % index
    return Relay(pattern, start, _END, guarded=guarded, room=room, line_safe=_line_safe, tell=tell)


def _run(event: RunDelta) -> bytes:
    """All frames of a run; its texts are spelled as ours already."""
    start = _TEXT_START if type(event.delta) is TextDelta else _THINKING_START
    start = start % event.index
    frames = start + (_END + start).join(event.spelled) + _END
    return frames if frames.isascii() else _line_safe(frames)


def _text(event: ContentBlockDelta) -> bytes:
    return _TEXT % (event.index, _string(event.delta.text))  # type: ignore[union-attr]


def _thinking(event: ContentBlockDelta) -> bytes:
    return _THINKING % (event.index, _string(event.delta.thinking))  # type: ignore[union-attr]


def _input(event: ContentBlockDelta) -> bytes:
    return _INPUT % (event.index, _string(event.delta.partial_json))  # type: ignore[union-attr]


_COMMON_DELTAS: dict[type, Callable[[ContentBlockDelta], bytes]] = {
    TextDelta: _text,
    ThinkingDelta: _thinking,
    InputJsonDelta: _input,
}


def _string(text: str) -> bytes:
    return _encode(text) if text.isascii() else _line_safe(_encode(text))


def _line_safe(json: bytes) -> bytes:
    if b"\xe2\x80" in json:
        json = json.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return json.replace(b"\xc2\x85", b"\\u0085")
