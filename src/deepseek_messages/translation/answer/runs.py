"""The commonest chunk, many at a time: frames that differ in one piece of text and nothing else.

A server writes all chunks of a stretch of text by one pattern: the same JSON before the text, the
same after it. Once a chunk was decoded, its pattern is known, and the frames that follow it are
cut out of the bytes whole, without decoding each. What a *run* of them holds is still one piece
per frame: each becomes an event of its own, so that nothing depends on how the network cut the
bytes. Whatever does not follow the pattern to the byte is decoded as any chunk.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Literal

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChunkChoice
from deepseek_messages.wire.events import ContentBlockDelta, StreamEvent, TextDelta, ThinkingDelta

Field = Literal["content", "reasoning_content", "reasoning"]
FIELDS: tuple[Field, ...] = ("content", "reasoning_content", "reasoning")

# The insides of JSON strings, one a line, spelled as our own encoder spells them: characters as
# they are, the escapes that JSON demands, and none of those it merely allows.
_SPELLED = rb'[^"\\\x00-\x1f]*(?:\\["\\bfnrt][^"\\\x00-\x1f]*)*'
_ONE = re.compile(_SPELLED).fullmatch
_MANY = re.compile(_SPELLED + rb"(?:\n" + _SPELLED + rb")*").fullmatch

# What needs a closer look: quotation marks, backslashes, control characters.
_DOUBTFUL = b'"\\' + bytes(range(0x20))
_DOUBTFUL_IN_LINES = _DOUBTFUL.replace(b"\n", b"")

# Bytes that are looked at together: as many as stay in a processor's nearer caches.
MOST_AT_ONCE = 32 * 1024

_decode_chunk = msgspec.json.Decoder(ChatChunk).decode
_decode_texts = msgspec.json.Decoder(list[str]).decode


class TextRun(ChatChunk, frozen=True):
    """Chunks of one pattern, as one chunk with all their text. ``texts`` holds the pieces and
    ``spelled`` the same as the insides of JSON strings.
    """

    field: Field = "content"
    texts: list[str] = []
    spelled: list[bytes] = []


class RunDelta(ContentBlockDelta, tag="content_block_delta", frozen=True):
    """The events of a run, as one event with all their text."""

    spelled: list[bytes] = []


class Pattern:
    """How a server writes chunks of text: what stands before the text, and what after it."""

    def __init__(self, field: Field, before: bytes, after: bytes) -> None:
        self.field: Field = field
        self._head = b"data: " + before
        self._tail = after
        self._last = after + b"\n\n"
        self._joint = self._last + self._head
        self._start, self._end = len(self._head), -len(after)

    def only_text(self, data: bytes) -> bytes | None:
        """The text of the frame that ``data`` is, if that is one frame of this pattern."""
        if not (data.startswith(self._head) and data.endswith(self._last)):
            return None
        text = data[self._start : -len(self._last)]
        if len(text.translate(None, _DOUBTFUL)) != len(text) and _ONE(text) is None:
            return None
        return text or None

    def cut(self, data: bytes) -> tuple[list[bytes], int]:
        """The texts of the frames of this pattern that ``data`` begins with, each as the inside of
        a JSON string and none of them empty, and how many bytes those frames are.
        """
        start, end = self._start, self._end
        if not data.startswith(self._head):
            return [], 0
        data = data[:MOST_AT_ONCE]
        # Every other line is empty; whether it is so shows below. The last is no whole frame.
        frames = data.split(b"\n")[:-1:2]
        while frames and not self._fits(frames[-1]):
            frames.pop()
        pieces = [frame[start:end] for frame in frames]
        # Together again, they must be what came: as good as a look at each, and quicker.
        if not self._are(pieces, data):
            pieces = [frame[start:end] for frame in takewhile(self._fits, frames)]
            if not self._are(pieces, data):
                del pieces[-1:]  # its empty line is missing, or something else stands there
                if not self._are(pieces, data):
                    return [], 0
        if b"" in pieces:
            del pieces[pieces.index(b"") :]
        # A line end of the upstream's own ends its data there (sse.FrameParser).
        lines = b"\n".join(pieces)
        if lines.count(b"\n") >= len(pieces) or not _is_plain(lines):
            return [], 0
        return pieces, len(pieces) * len(self._joint) + sum(map(len, pieces))

    def _are(self, pieces: list[bytes], data: bytes) -> bool:
        return data.startswith(self._head + self._joint.join(pieces) + self._last)

    def _fits(self, frame: bytes) -> bool:
        return (
            frame.startswith(self._head)
            and frame.endswith(self._tail)
            and len(frame) > self._start - self._end
        )

    def take(self, data: bytes) -> tuple[TextRun | None, bytes]:
        """The frames of this pattern that ``data`` begins with, and what comes after them."""
        pieces, size = self.cut(data)
        if not pieces:
            return None, data
        lines = b"\n".join(pieces)
        try:
            if b"\\" in lines:
                texts = _decode_texts(b'["' + b'","'.join(pieces) + b'"]')
            else:
                texts = lines.decode().split("\n")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None, data
        return _run(self.field, texts, pieces), data[size:]


def _is_plain(lines: bytes) -> bool:
    """Whether every line is the inside of a JSON string, spelled as ours are."""
    return len(lines.translate(None, _DOUBTFUL_IN_LINES)) == len(lines) or _MANY(lines) is not None


def pattern_of(frame: bytes, chunk: ChatChunk) -> Pattern | None:
    """The pattern of ``frame``, which was decoded to ``chunk``, if it is one piece of text and
    nothing else, in the form that nearly all servers give their frames.
    """
    field = _only_field(chunk)
    if field is None or not frame.startswith(b"data: ") or not frame.endswith(b"\n\n"):
        return None
    payload = frame[6:-2]
    key = re.search(rb'"%b":[ ]?"' % field.encode(), payload)
    if key is None or b"\n" in payload or b"\r" in payload:
        return None
    before = payload[: key.end()]
    inside = re.match(_SPELLED + rb'(?=")', payload[key.end() :])
    if inside is None:
        return None
    after = payload[key.end() + inside.end() :]
    try:
        proof = _decode_chunk(before + b"?" + after)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    delta = _delta(field, "?")
    assert chunk.choices is not None
    expected = replace(chunk, choices=[replace(chunk.choices[0], delta=delta)])
    return Pattern(field, before, after) if proof == expected else None


def _only_field(chunk: ChatChunk) -> Field | None:
    """The field that holds the chunk's one piece of text."""
    choices = chunk.choices
    if not choices or len(choices) != 1 or chunk.usage is not None or chunk.error is not UNSET:
        return None
    delta = choices[0].delta
    if delta is None or choices[0].index or choices[0].finish_reason:
        return None
    for field in FIELDS:
        if (text := getattr(delta, field)) and delta == _delta(field, text):
            return field
    return None


def _run(field: Field, texts: list[str], spelled: list[bytes]) -> TextRun:
    delta = _delta(field, texts[0] if len(texts) == 1 else "".join(texts))
    choices = [ChunkChoice(index=0, delta=delta)]
    return TextRun(choices=choices, field=field, texts=texts, spelled=spelled)


def _delta(field: Field, text: str) -> ChatDelta:
    match field:
        case "content":
            return ChatDelta(content=text)
        case "reasoning_content":
            return ChatDelta(reasoning_content=text)
        case "reasoning":
            return ChatDelta(reasoning=text)


def single_chunks(chunk: ChatChunk) -> Iterator[ChatChunk]:
    """The chunks that a chunk stands for: of a run, one for each piece."""
    if not isinstance(chunk, TextRun):
        yield chunk
        return
    for text in chunk.texts:
        yield ChatChunk(choices=[ChunkChoice(index=0, delta=_delta(chunk.field, text))])


def single_events(events: Iterable[StreamEvent]) -> Iterator[StreamEvent]:
    """The events as a client sees them: of a run, one for each piece."""
    for event in events:
        if not isinstance(event, RunDelta):
            yield event
            continue
        for text in _decode_texts(b'["' + b'","'.join(event.spelled) + b'"]'):
            kind = TextDelta(text=text) if isinstance(event.delta, TextDelta) else None
            yield ContentBlockDelta(index=event.index, delta=kind or ThinkingDelta(thinking=text))
