"""What a GGUF file says of itself, read from its header without loading the model.

Source: the GGUF specification (ggml, ``docs/gguf.md``), versions 2 and 3: a magic, counts, then
pairs of a key and a typed value, all little-endian.
"""

import mmap
import struct
from collections.abc import Container
from pathlib import Path
from typing import Any

from msgspec import Struct

MAX_PAIRS = 4096  # real files hold about thirty
MAX_KEY_BYTES = 65_535  # "maximum length of 2^16-1" in the specification
MAX_STRING_BYTES = 4 << 20  # the longest chat templates are some 20 KB

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9

_TEMPLATE = "tokenizer.chat_template"
_FIGURES = (
    "context_length",
    "block_count",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
)


class GgufError(Exception):
    """A file that is not a usable model; the text says why."""


class GgufInfo(Struct, frozen=True, kw_only=True):
    """``context`` is the context the model was trained for, in tokens (0: not said).
    ``cache_bytes`` is the size of one token's keys and values at 16 bits. ``template`` is the
    Jinja chat template (empty: none).
    """

    context: int
    cache_bytes: int
    template: str


class _Reader:
    """Reads forward; every read is checked against the file's end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def scalar(self, code: str) -> Any:
        layout = "<" + code
        (value,) = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return value

    def within(self, size: int) -> int:
        """``size``, if as many bytes are left."""
        if size > len(self.data) - self.at:
            raise GgufError("it is cut off")
        return size

    def take(self, size: int) -> bytes:
        raw = self.data[self.at : self.at + self.within(size)]
        self.at += size
        return raw

    def string(self, limit: int) -> str:
        size = self.scalar("Q")
        if size > limit:
            raise GgufError(f"a text of {size} bytes in the header")
        raw = self.take(size)
        return raw.decode("utf-8", "replace")

    def skip_string(self) -> None:
        size = self.scalar("Q")
        self.at += self.within(size)

    def value(self, kind: int) -> Any:
        """The value; of an array, the largest number in it (0 for other arrays)."""
        if kind == _STRING:
            return self.string(MAX_STRING_BYTES)
        if kind == _ARRAY:
            return self._array()
        return self.scalar(_code(kind))

    def _array(self) -> Any:
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind == _STRING:
            for _ in range(min(count, len(self.data))):
                self.skip_string()
            return 0
        raw = self.take(count * struct.calcsize("<" + _code(kind)))
        return max(struct.unpack(f"<{count}{_code(kind)}", raw), default=0) if count <= 1024 else 0


def _code(kind: int) -> str:
    try:
        return _SCALARS[kind]
    except KeyError:
        raise GgufError(f"value type {kind} is unknown") from None


def read_info(path: Path) -> GgufInfo:
    """What ``path`` says of itself. Raises ``GgufError`` when it is not a GGUF file, is of a
    version that is not known, or is cut off; ``OSError`` when it cannot be read.
    """
    if path.stat().st_size < 24:
        raise GgufError(f"{path} is not a GGUF file: it is too short")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != b"GGUF":
            raise GgufError(f"{path} is not a GGUF file: it does not begin with GGUF")
        try:
            return _info(_pairs(_Reader(data), _Wanted()))
        except (struct.error, OverflowError):
            raise GgufError(f"{path} is no whole GGUF file: it is cut off") from None
        except GgufError as error:
            raise GgufError(f"{path} is no whole GGUF file: {error}") from None


class _Wanted(Container[str]):
    """The keys that are kept; figures stand under the architecture's name."""

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (
            key in {"general.architecture", _TEMPLATE} or key.partition(".")[2] in _FIGURES
        )


def _pairs(reader: _Reader, wanted: Container[str]) -> dict[str, Any]:
    reader.at = 4
    version = reader.scalar("I")
    if version not in {2, 3}:
        raise GgufError(f"version {version} is not known")
    reader.scalar("Q")  # number of tensors
    count = reader.scalar("Q")
    if count > MAX_PAIRS:
        raise GgufError(f"{count} header entries")
    found = {}
    for _ in range(count):
        key = reader.string(MAX_KEY_BYTES)
        value = reader.value(reader.scalar("I"))
        if key in wanted:
            found[key] = value
    return found


def _info(pairs: dict[str, Any]) -> GgufInfo:
    architecture = pairs.get("general.architecture", "")
    context, layers, width, heads, kv_heads, key, value = (
        int(pairs.get(f"{architecture}.{name}", 0)) for name in _FIGURES
    )
    head_width = width // heads if heads else 0
    per_layer = (kv_heads or heads) * ((key or head_width) + (value or head_width))
    return GgufInfo(
        context=context, cache_bytes=layers * per_layer * 2, template=pairs.get(_TEMPLATE, "")
    )
