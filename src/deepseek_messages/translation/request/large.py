"""Large bodies: looked over in slices before they are decoded.

While a decoder works, no other thread does, and what it takes is not a matter of bytes alone: 32
MiB are one picture or ten million empty strings. So what nobody's request holds is refused here,
and the rest is told apart: what one call decodes in some milliseconds, and what is decoded a few
messages at a time.
"""

from collections.abc import Iterator, Sequence

from msgspec import Raw, Struct

from deepseek_messages.translation.limits import (
    DENSE_BODY,
    DENSE_PARTS,
    LARGE_BODY,
    MAX_ESCAPES,
    MAX_MESSAGE_OBJECTS,
    MAX_OBJECTS,
    MAX_SETTINGS_VALUES,
    MAX_STRUCTURE_BYTES,
    MAX_VALUES,
)
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.structure import SLICE, outside_strings
from deepseek_messages.wire.messages import MessagesRequest

# What one call decodes in about 10 ms, measured: 65 ns a string, 60 a value of a small message, up
# to 2.4 ns a byte of text.
ONE_CALL_VALUES = 150_000
ONE_CALL_BYTES = 8 * 1024 * 1024

# Messages that are decoded in one call.
_BATCH_BYTES = 256 * 1024
_BATCH_ITEMS = 2_000

_CONTINUES = range(0x80, 0xC0)
_NO_UTF8 = "The request body is not valid UTF-8 (byte {})"


class Size(Struct):
    """What some JSON holds: values are the items of lists and the members of objects."""

    values: int = 0
    objects: int = 0


def is_large(size: int, request: MessagesRequest) -> bool:
    """Whether a request of so many bytes takes more than some milliseconds to translate."""
    if size <= DENSE_BODY or size > LARGE_BODY:
        return size > LARGE_BODY
    parts = len(request.messages) + len(request.tools or ())
    for message in request.messages:
        if type(message.content) is list:
            parts += len(message.content)
    return parts > DENSE_PARTS


def looked_over(body: bytes, *, is_text: bool = False) -> Size | None:
    """What is in a body that one call would take too long for; ``None`` for any other. Raises
    ``Refusal`` (400) for text that is no UTF-8, unless ``is_text`` says that it is, and for more
    than a request may hold.
    """
    if not is_text:
        _check_utf8(body)
    if len(body) > ONE_CALL_BYTES:
        _check_escapes(body)
    elif not _may_hold_more(body, ONE_CALL_VALUES):
        return None
    size = size_of(body)
    return size if size.values > ONE_CALL_VALUES or len(body) > ONE_CALL_BYTES else None


def size_of(data: bytes | Raw) -> Size:
    """Raises ``Refusal`` (400) for more than a request may hold."""
    size = Size()
    structure = 0
    for text in outside_strings(data):
        objects = text.count(b"{")
        size.objects += objects
        size.values += objects + text.count(b"[") + text.count(b",")
        structure += len(text)
        if size.objects > MAX_OBJECTS:
            raise Refusal(f"The request body holds more than {MAX_OBJECTS} objects")
        if size.values > MAX_VALUES:
            raise Refusal(f"The request body holds more than {MAX_VALUES} values")
        if structure > MAX_STRUCTURE_BYTES:
            raise Refusal(
                f"The request body holds more than {MAX_STRUCTURE_BYTES} bytes outside of texts"
            )
    return size


def check_settings(size: Size, messages: Raw) -> None:
    """Refuse a body of ``size`` that holds too much beside its messages."""
    if size.values - size_of(messages).values > MAX_SETTINGS_VALUES:
        raise Refusal(
            f"The request body holds more than {MAX_SETTINGS_VALUES} values beside its messages"
        )


def batches(messages: Sequence[Raw]) -> Iterator[tuple[int, Sequence[Raw]]]:
    """A few messages each, and the index of their first. Raises ``Refusal`` for a message that one
    call would take too long for.
    """
    first = size = 0
    for index, message in enumerate(messages):
        if index > first and (size + len(message) > _BATCH_BYTES or index - first == _BATCH_ITEMS):
            yield first, messages[first:index]
            first, size = index, 0
        size += len(message)
        if len(message) > _BATCH_BYTES and _may_hold_more(message, MAX_MESSAGE_OBJECTS):
            _check_message(index, message)
    if messages:
        yield first, messages[first:]


def _check_message(index: int, message: Raw) -> None:
    if size_of(message).objects > MAX_MESSAGE_OBJECTS:
        raise Refusal(f"holds more than {MAX_MESSAGE_OBJECTS} objects", path=f"messages.{index}")


def _may_hold_more(data: bytes | Raw, values: int) -> bool:
    """Whether there are so many commas, which divide values; those in texts count here, too."""
    view = memoryview(data)
    found = 0
    for start in range(0, len(view), SLICE):
        piece = bytes(view[start : start + SLICE])
        found += len(piece) - len(piece.replace(b",", b""))  # ``count`` looks at each byte
        if found > values:
            return True
    return False


def _check_escapes(body: bytes) -> None:
    found = 0
    for start in range(0, len(body), SLICE):
        if body.find(b"\\", start, start + SLICE) < 0:  # several times faster than a count
            continue
        found += body.count(b"\\", start, start + SLICE)
        if found > MAX_ESCAPES:
            raise Refusal(f"The request body holds more than {MAX_ESCAPES} escapes in its texts")


def _check_utf8(body: bytes) -> None:
    if body.isascii():
        return
    start = 0
    while start < len(body):
        end = min(start + SLICE, len(body))
        for _ in range(3):  # no character is cut
            if end < len(body) and body[end] in _CONTINUES:
                end -= 1
        try:
            body[start:end].decode()
        except UnicodeDecodeError as error:
            raise Refusal(_NO_UTF8.format(start + error.start)) from None
        start = end
