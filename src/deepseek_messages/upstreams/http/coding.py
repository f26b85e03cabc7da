"""Bodies that a server compressed although it was asked not to."""

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zlib import _Decompress

# Decoded at one time at most, however well the input was compressed.
MAX_PIECE = 1024 * 1024


class Inflater:
    """Decodes ``gzip`` and ``deflate`` (RFC 9110 §8.4.1), the latter with or without the zlib
    wrapping, in bounded pieces. Raises ``ValueError`` for bytes that are neither, once what came
    before them was returned: what a client sees depends on no cut of the bytes.
    """

    def __init__(self) -> None:
        self._object: _Decompress | None = None
        self._pending = b""
        self._broken = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return the next piece they decode to. Call again with nothing for more."""
        if self._broken:
            raise ValueError("not compressed as announced")
        data = self._pending + data
        if not data:
            return b""
        if self._object is None:
            # A zlib header's low four bits are 8 (RFC 1950), gzip begins 1f 8b (RFC 1952).
            wrapped = data[0] == 0x1F or data[0] & 0x0F == 8
            self._object = zlib.decompressobj(47 if wrapped else -15)
        before = self._object.copy()
        try:
            piece = self._object.decompress(data, MAX_PIECE)
            self._pending = self._object.unconsumed_tail
        except zlib.error as error:
            self._broken, self._pending = True, b""
            if not (piece := _sound_part(before, data)):
                raise ValueError("not compressed as announced") from error
        return piece

    @property
    def more(self) -> bool:
        """Whether bytes wait to be decoded, or to be told that they cannot be."""
        return bool(self._pending) or self._broken

    @property
    def whole(self) -> bool:
        """Whether the compressed data has come to its end (or never began)."""
        return self._object is None or self._object.eof


def _sound_part(decoder: "_Decompress", data: bytes) -> bytes:
    """What ``data`` decodes to before the byte that does not fit: less than ``MAX_PIECE``."""
    sound = bytearray()
    with suppress(zlib.error):
        for at in range(len(data)):
            sound += decoder.decompress(data[at : at + 1])
    return bytes(sound)
