"""Bodies that a server compressed although it was asked not to."""

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zlib import _Decompress

# Decoded at one time at most, however well the input was compressed.
MAX_PIECE = 1024 * 1024


class Inflater:
    """Decodes ``gzip`` and ``deflate`` (RFC 9110 §8.4.1), the latter with or without the zlib
    wrapping, in bounded pieces. Raises ``ValueError`` for bytes that are neither.
    """

    def __init__(self) -> None:
        self._object: _Decompress | None = None
        self._pending = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return the next piece they decode to. Call again with nothing for more."""
        data = self._pending + data
        if not data:
            return b""
        if self._object is None:
            # A zlib header's low four bits are 8 (RFC 1950), gzip begins 1f 8b (RFC 1952).
            wrapped = data[0] == 0x1F or data[0] & 0x0F == 8
            self._object = zlib.decompressobj(47 if wrapped else -15)
        try:
            piece = self._object.decompress(data, MAX_PIECE)
        except zlib.error as error:
            raise ValueError("not compressed as announced") from error
        self._pending = self._object.unconsumed_tail
        return piece

    @property
    def more(self) -> bool:
        """Whether bytes wait to be decoded."""
        return bool(self._pending)

    @property
    def whole(self) -> bool:
        """Whether the compressed data has come to its end (or never began)."""
        return self._object is None or self._object.eof
