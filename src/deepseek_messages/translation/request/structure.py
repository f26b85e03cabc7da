"""What JSON text looks like without its strings, read in slices and without a decoder.

Both functions are exact for valid JSON. In anything else they are so up to the first fault, which
is as far as a decoder reads.
"""

from array import array
from collections.abc import Iterator
from itertools import accumulate

from msgspec import Raw

# A slice takes a fraction of a millisecond, and between two of them other threads have their turn.
SLICE = 128 * 1024

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def outside_strings(data: bytes | Raw) -> Iterator[bytes]:
    """What stands outside of strings, slice by slice."""
    view = memoryview(data)
    inside = 0
    start = 0
    while start < len(view):
        piece = bytes(view[start : start + SLICE])
        start += len(piece)
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # what it escapes belongs to it
            piece += view[start : start + 1]
            start += 1
        if b'"' not in piece:
            yield b"" if inside else piece
            continue
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        yield b"".join(parts[inside::2])
        inside = (inside + len(parts) - 1) % 2


def deeper_than(levels: int, data: bytes | Raw) -> bool:
    """Whether objects and lists stand in each other deeper than that."""
    depth = 0
    for piece in outside_strings(data):
        steps = array("b", piece.translate(_STEPS, _NO_BRACKETS))
        if max(accumulate(steps, initial=depth)) > levels:
            return True
        depth += sum(steps)
    return False
