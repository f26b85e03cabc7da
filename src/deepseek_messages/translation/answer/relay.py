"""More of the open block, bytes to bytes.

Nearly all of a stream is frames that follow one pattern (``runs``) and add to the block that is
open. Of such a frame only the text matters, and its spelling is ours already, so the client's
frame is the same text between other bytes. What was passed on is kept, and told to the stream of
events before anything else happens to it (``end``). Whatever is not certainly such a frame goes
the ordinary way, which gives the same bytes.
"""

from collections.abc import Callable

import msgspec

from deepseek_messages.translation.answer.runs import Pattern

_decode_texts = msgspec.json.Decoder(list[str]).decode

# What a text may end in that could be the beginning of a tool call's mark-up (``dsml``).
_BREAKS = (b"\\n", b"\\r")


# Texts that wait to be told: each piece alone takes more memory than many together.
MOST_KEPT = 16


class Relay:
    """Turns frames of ``pattern`` into frames that begin with ``start`` and end with ``end``.

    ``guarded``: text that could begin a tool call's mark-up is not passed on. ``room`` is how many
    bytes of text may be. ``line_safe`` makes frames safe that are not ASCII. ``tell`` hears the
    texts that were passed on, at the latest before anything else happens.
    """

    __slots__ = (
        "_between",
        "_end",
        "_guarded",
        "_line_safe",
        "_pattern",
        "_pieces",
        "_room",
        "_start",
        "_tell",
    )

    def __init__(
        self,
        pattern: Pattern,
        start: bytes,
        end: bytes,
        *,
        guarded: bool,
        room: int,
        line_safe: Callable[[bytes], bytes],
        tell: Callable[[list[str]], None],
    ) -> None:
        self._pattern = pattern
        self._start = start
        self._end = end
        self._between = end + start
        self._guarded = guarded
        self._room = room
        self._line_safe = line_safe
        self._pieces: list[bytes] = []
        self._tell = tell

    def take(self, data: bytes) -> bytes | None:
        """The client's frames for ``data``; ``None``, and nothing has happened, when ``data`` is
        anything but whole frames of the pattern.
        """
        if (text := self._pattern.only_text(data)) is not None:
            pieces = [text]
        else:
            pieces, size = self._pattern.cut(data)
            if size != len(data) or not size:
                return None
            text = b"".join(pieces)
        if len(text) > self._room:
            return None
        if self._guarded and (b"<" in text or any(map(_may_break, pieces))):
            return None
        plain = text.isascii()
        if not (plain or _is_utf8(pieces)):
            return None
        self._room -= len(text)
        self._pieces += pieces
        if len(self._pieces) > MOST_KEPT:
            self.end()
        frames = self._start + self._between.join(pieces) + self._end
        return frames if plain else self._line_safe(frames)

    def end(self) -> None:
        """Tell the texts that were passed on since the last time."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._tell(_decode_texts(b'["' + b'","'.join(pieces) + b'"]'))


def _is_utf8(pieces: list[bytes]) -> bool:
    """Whether each piece is; bytes that are not are replaced, which is no passing on."""
    try:
        b"\n".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_break(piece: bytes) -> bool:
    return piece.endswith(_BREAKS)
