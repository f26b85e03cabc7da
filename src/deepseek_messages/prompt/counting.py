"""Exact prompt sizes in DeepSeek's tokens.

A rendered prompt is cut at its explicit special tokens; the text between them is tokenized by
itself, so each piece of text is counted once and remembered. A conversation that grew by one turn
costs the tokenizing of that turn.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from deepseek_messages.prompt.encoding import render, segments
from deepseek_messages.prompt.images import count_image
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import ChatRequest

if TYPE_CHECKING:
    import deepseek_recipe as recipe

# How many pieces of text are remembered, about 150 bytes each: the histories of some hundred
# conversations.
REMEMBERED_SEGMENTS = 50_000

# How many characters of new text are counted on an event loop: half a millisecond, a whole one at
# the worst. A thread costs 0.15.
QUICK_TEXT = 2_000

# Longer texts are remembered by their digest, so that memory does not hold what users wrote.
LONGEST_KEY = 32


class TextCounter(Protocol):
    """What counts tokens: plain text, and special tokens by their spelling."""

    def count(self, text: str) -> int: ...

    def count_special(self, spelling: str) -> int: ...


class PromptCount(Struct, frozen=True):
    """A prompt's size in tokens. ``exact`` is false when it holds an image whose size only the
    upstream can see; then the count is the most it can be.
    """

    tokens: int
    exact: bool = True


class SegmentCounter:
    """Counts pieces of text and remembers the last ones counted. Thread-safe."""

    def __init__(self, tokenizer: TextCounter, *, remembered: int = REMEMBERED_SEGMENTS) -> None:
        self._tokenizer = tokenizer
        self._remembered = remembered
        self._counts: OrderedDict[str | bytes, int] = OrderedDict()
        self._lock = Lock()

    def count(self, text: str) -> int:
        """Tokens of ``text`` as plain text."""
        if (known := self.known(text)) is not None:
            return known
        tokens = self._tokenizer.count(text)
        with self._lock:
            self._counts[_key(text)] = tokens
            while len(self._counts) > self._remembered:
                self._counts.popitem(last=False)
        return tokens

    def known(self, text: str) -> int | None:
        """Tokens of ``text``, if it was counted before."""
        key = _key(text)
        with self._lock:
            if (tokens := self._counts.get(key)) is not None:
                self._counts.move_to_end(key)
        return tokens

    def tally(self, pieces: Iterable[tuple[str, bool]]) -> tuple[int, list[str]]:
        """Tokens of those pieces of a prompt (``segments``) that need no counting: special tokens,
        and text that was counted before. And the texts that are left.
        """
        tokens, left = 0, []
        for text, special in pieces:
            if special:
                tokens += self._tokenizer.count_special(text)
            elif (known := self.known(text)) is not None:
                tokens += known
            else:
                left.append(text)
        return tokens, left

    def count_rendered(self, rendered: "recipe.RenderedPrompt") -> PromptCount:
        """The size of a rendered prompt: its text, its special tokens, its images."""
        tokens, texts = self.tally(segments(rendered))
        tokens += sum(map(self.count, texts))
        images = count_images(rendered.image_sources)
        return PromptCount(tokens + images.tokens, exact=images.exact)


def count_images(sources: "Sequence[recipe.ImageSource]") -> PromptCount:
    """What the images of a prompt take besides the one token that stands for each in its text."""
    images = [count_image(source) for source in sources]
    return PromptCount(
        sum(image.tokens - 1 for image in images), exact=all(image.exact for image in images)
    )


def _key(text: str) -> str | bytes:
    if len(text) <= LONGEST_KEY:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


COUNTER = SegmentCounter(TOKENIZER)


def measure_prompt(chat: ChatRequest, encoding: Encoding) -> PromptCount:
    """The size of the prompt that DeepSeek makes of ``chat``, and whether it is exact. CPU-bound
    and thread-safe; the first call loads the tokenizer. Raises ``NotEncodable`` when DeepSeek's
    own encoder refuses the request.
    """
    return COUNTER.count_rendered(render(chat, encoding))


def count_prompt(chat: ChatRequest, encoding: Encoding) -> int:
    """``measure_prompt``'s tokens alone. Raises ``NotEncodable``."""
    return measure_prompt(chat, encoding).tokens


def count_text(text: str) -> int:
    """Tokens of a piece of plain text in DeepSeek's V4 vocabulary."""
    return COUNTER.count(text)


class NotQuick(Exception):
    """A text is too long to be counted while others wait."""


class QuickCount:
    """Counts texts on an event loop: those that were counted before, and ``most`` characters of
    others, once the vocabulary is there.
    """

    def __init__(self, most: int = QUICK_TEXT, counter: SegmentCounter = COUNTER) -> None:
        self._left = most
        self._counter = counter

    def __call__(self, text: str) -> int:
        """Tokens of ``text``. Raises ``NotQuick``."""
        if (known := self._counter.known(text)) is not None:
            return known
        self._left -= len(text)
        if self._left < 0 or not TOKENIZER.is_loaded:
            raise NotQuick
        return self._counter.count(text)
