"""Exact sizes of prompts that hold one that was counted before, for the price of what is new.

A client sends the whole conversation with each request, one turn longer than the last time. To
render and count all of it costs milliseconds, so the sizes of whole prompts are remembered by
digest, and a longer conversation is split where the model began to speak:

    size(old + new) = size(old) + size(Q + new) - size(Q)

where ``old`` ends in what the model was asked, ``new`` begins with what it said, and Q is any short
question. That is exact because the encoder writes an answer in the same way whatever was asked
before, and begins it with a special token, across which no text is tokenized as one. What stands
before that token is the same for Q with and without ``new``, so it is not even looked at.

In the same way a new conversation is split where the user first speaks: what it begins with, tools
and a system prompt, is tens of kilobytes that other conversations had as well.
``tests/property/test_grown.py`` holds it against counting the whole.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, assert_never

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from deepseek_messages.prompt.counting import (
    COUNTER,
    QUICK_TEXT,
    PromptCount,
    SegmentCounter,
    count_images,
)
from deepseek_messages.prompt.encoding import NotEncodable, in_encoder_terms, render, segments
from deepseek_messages.prompt.remembered import MOST_REMEMBERED, RememberedSizes
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    ContentPart,
    FilePart,
    Function,
    FunctionTool,
    ImageUrlPart,
    SystemMessage,
    TextPart,
    UserMessage,
)

if TYPE_CHECKING:
    import deepseek_recipe as recipe

# Conversations above so many characters are not looked up on an event loop: it takes a third of a
# millisecond.
QUICK_LOOK = 256 * 1024

# How far back a beginning is looked for at first: an answer may have been cut, or asked for again.
NEAR = 4

# Sizes of headers that are remembered: a handful of settings decide on them.
MOST_HEADERS = 64

# Conversations of more messages teach nothing about what they begin with: rendering the rest twice
# costs more.
MOST_OPENED = 16

# The special tokens that what is said begins with.
Piece = tuple[str, bool]  # as ``segments`` gives them
ANSWER: Piece = ("<｜Assistant｜>", True)
USER: Piece = ("<｜User｜>", True)

# What stands for what is known already.
QUESTION = UserMessage("x")
ANY_SYSTEM = SystemMessage("x")
ANY_TOOL = [FunctionTool(Function(name="f"))]

_encode = msgspec.json.Encoder().encode


class GrownCounter:
    """Counts prompts and remembers their sizes, each for its ``owner`` alone. Thread-safe."""

    def __init__(
        self, counter: SegmentCounter = COUNTER, *, remembered: int = MOST_REMEMBERED
    ) -> None:
        self.counter = counter
        self.sizes = RememberedSizes(remembered)
        self._headers: dict[bytes, int] = {}

    def of(self, chat: ChatRequest, encoding: Encoding, owner: str = "") -> "GrownPrompt":
        """The size of the prompt that DeepSeek makes of ``chat``, to be found in steps."""
        return GrownPrompt(self, chat, encoding, owner)

    def header(self, asked: ChatRequest, encoding: Encoding) -> int:
        """The size of what stands behind the question of ``asked``: there the model goes on."""
        key = _encode(in_encoder_terms(asked, encoding))
        if (tokens := self._headers.get(key)) is None:
            tokens, texts = self.counter.tally(_from(ANSWER, render(asked, encoding)))
            tokens += sum(map(self.counter.count, texts))
            if len(self._headers) >= MOST_HEADERS:
                self._headers.clear()
            self._headers[key] = tokens
        return tokens


class GrownPrompt:
    """The size of one prompt. ``now`` finds it if that is quick, ``whole`` whatever it takes."""

    def __init__(
        self, memory: GrownCounter, chat: ChatRequest, encoding: Encoding, owner: str
    ) -> None:
        self._memory = memory
        self._chat = chat
        self._encoding = encoding
        self._owner = owner
        self._key: bytes | None = None  # of the whole prompt
        self._opening: _Opening | None = None  # if there is one
        self._grown: _Grown | None = None  # if a beginning is known

    def now(self) -> PromptCount | None:
        """The size, if it takes about a millisecond to tell at most."""
        length = _characters(self._chat.messages, QUICK_LOOK)
        if length > QUICK_LOOK:
            return None
        try:
            if (known := self._look(near=True)) is not None:
                return known
            if self._grown is not None:
                return self._sum(self._grown) if self._grown.is_quick else None
            if length > QUICK_TEXT or self._chat.tools or not TOKENIZER.is_loaded:
                return None
            return self._all()
        except (NotEncodable, UnicodeEncodeError):
            return None

    def whole(self) -> PromptCount:
        """The size. CPU-bound; the first one loads the tokenizer. Raises ``NotEncodable`` when
        DeepSeek's own encoder refuses the request.
        """
        if self._grown is None and (known := self._look(near=False)) is not None:
            return known
        return self._all() if self._grown is None else self._sum(self._grown)

    def _look(self, *, near: bool) -> PromptCount | None:
        """The size if it is known. If a beginning's is, what comes after that is looked up."""
        messages = self._chat.messages
        places = list(islice(_answers(messages), NEAR if near else None))
        opening = _opening(self._chat)
        starts = [] if opening is None else [opening]
        keys = list(self._keys([*starts, *reversed(places), len(messages)]))
        self._key = keys.pop()
        if opening is not None:
            self._opening = _Opening(opening, b"opening" + keys.pop(0))
        if (known := self._memory.sizes.get(self._key)) is not None:
            return known
        if not _splits(self._chat):
            return None
        for place, key in zip(places, reversed(keys), strict=True):
            if (begun := self._memory.sizes.get(key)) is not None:
                self._grown = self._after_answer(begun, place)
                return None
        if self._opening is not None:
            self._grown = self._after_opening(self._opening)
        return None

    def _keys(self, places: Sequence[int]) -> Iterator[bytes]:
        """Keys of the messages before each of ``places``, in order."""
        chat, done = self._chat, 0
        digest = sha256(self._memory.sizes.circumstances(chat, self._encoding, self._owner))
        for place in places:
            if done < place:
                digest.update(memoryview(_encode(chat.messages[done:place]))[1:-1])
                digest.update(b",")  # however they are cut, the same is digested
            done = place
            yield digest.copy().digest()

    def _after_answer(self, begun: PromptCount, place: int) -> "_Grown | None":
        """``None`` if it does not go by splitting."""
        before = self._stand_in(place)
        if before is None:
            return None
        asked = self._like([*before, QUESTION], [])
        try:
            header = self._memory.header(asked, self._encoding)
            added = self._like(asked.messages, self._chat.messages[place:])
            rendered = render(added, self._encoding)
        except NotEncodable:  # may be said of the whole, too
            return None
        grown = self._grown_from(rendered, ANSWER)
        return replace(
            grown, tokens=begun.tokens - header + grown.tokens, exact=begun.exact and grown.exact
        )

    def _stand_in(self, place: int) -> list[ChatMessage] | None:
        """What stands for the messages before ``place``: a system prompt if they hold one. ``None``
        if what comes later would change them: V4 writes all system messages at the beginning, and
        tools are written into the first there is.
        """
        messages = self._chat.messages
        system = any(isinstance(message, SystemMessage) for message in messages[:place])
        later = any(isinstance(message, SystemMessage) for message in messages[place:])
        if later and (self._encoding == "v4" or not system):
            return None
        return [ANY_SYSTEM] if system else []

    def _like(self, before: list[ChatMessage], added: list[ChatMessage]) -> ChatRequest:
        """A conversation in the same circumstances, with other tools."""
        tools = ANY_TOOL if self._chat.tools else None
        return replace(self._chat, messages=before + added, tools=tools)

    def _grown_from(self, rendered: "recipe.RenderedPrompt", token: Piece) -> "_Grown":
        tokens, texts = self._memory.counter.tally(_from(token, rendered))
        return _Grown(tokens, exact=True, texts=texts, images=rendered.image_sources)

    def _after_opening(self, opening: "_Opening") -> "_Grown | None":
        """``None`` if it is not known what the prompt begins with."""
        known = self._memory.sizes.get(opening.key)
        if known is None:
            return None
        grown = self._rest(opening)
        return None if grown is None else replace(grown, tokens=grown.tokens + known.tokens)

    def _rest(self, opening: "_Opening") -> "_Grown | None":
        """The prompt from where the user first speaks; ``None`` if it does not go by splitting."""
        before = self._stand_in(opening.place)
        if before is None:
            return None
        try:
            said = self._like(before, self._chat.messages[opening.place :])
            rendered = render(said, self._encoding)
        except NotEncodable:
            return None
        return self._grown_from(rendered, USER)

    def _all(self) -> PromptCount:
        size = self._memory.counter.count_rendered(render(self._chat, self._encoding))
        opening = self._opening
        if opening and len(self._chat.messages) <= MOST_OPENED and _splits(self._chat):
            rest = self._rest(opening)
            if rest is not None and not rest.images:
                tokens = (
                    size.tokens - rest.tokens - sum(map(self._memory.counter.count, rest.texts))
                )
                self._memory.sizes.keep(opening.key, PromptCount(tokens))
        return self._kept(size)

    def _sum(self, grown: "_Grown") -> PromptCount:
        images = count_images(grown.images)
        tokens = grown.tokens + images.tokens + sum(map(self._memory.counter.count, grown.texts))
        return self._kept(PromptCount(tokens, exact=grown.exact and images.exact))

    def _kept(self, size: PromptCount) -> PromptCount:
        if self._key is not None:
            self._memory.sizes.keep(self._key, size)
        return size


class _Opening(Struct, frozen=True):
    """What a prompt begins with: the place of the message behind it, and its key."""

    place: int
    key: bytes


class _Grown(Struct, frozen=True):
    """A prompt whose beginning is known: what it comes to without its new ``texts`` and images."""

    tokens: int
    exact: bool
    texts: list[str]
    images: "list[recipe.ImageSource]"

    @property
    def is_quick(self) -> bool:
        return not self.images and sum(map(len, self.texts)) <= QUICK_TEXT


def _answers(messages: Sequence[ChatMessage]) -> Iterator[int]:
    """Where the model began to speak after it was asked something, the last one first."""
    for place in range(len(messages) - 1, 0, -1):
        if isinstance(messages[place], AssistantMessage) and not isinstance(
            messages[place - 1], AssistantMessage
        ):
            yield place


def _opening(chat: ChatRequest) -> int | None:
    """Where the user first speaks, if what stands before is long and nothing but tools and a
    system prompt.
    """
    place, system = 0, 0
    if chat.messages and isinstance(first := chat.messages[0], SystemMessage):
        place, system = 1, len(first.content)
    speaks = len(chat.messages) > place and isinstance(chat.messages[place], UserMessage)
    return place if speaks and (chat.tools or system > QUICK_TEXT) else None


def _from(token: Piece, rendered: "recipe.RenderedPrompt") -> Iterator[Piece]:
    """The pieces of a prompt from the first ``token``."""
    return dropwhile(lambda piece: piece != token, segments(rendered))


def _splits(chat: ChatRequest) -> bool:
    """Whether the sizes of its parts add up. What forces a shape on the answer is written at the
    prompt's beginning or end, and names tools: such requests are rare, and counted whole.
    """
    return chat.tool_choice in {None, "auto", "none"} and chat.response_format is None


def _characters(messages: Sequence[ChatMessage], enough: int) -> int:
    """About how long ``messages`` are; looks no further when that is more than ``enough``."""
    total = 0
    for message in messages:
        content = message.content
        if isinstance(content, str):
            total += len(content)
        elif isinstance(content, list):
            total += sum(map(_part_characters, content))
        if isinstance(message, AssistantMessage):
            total += len(message.reasoning_content or message.reasoning or "")
            for call in message.tool_calls or ():
                total += len(call.function.arguments)
        if total > enough:
            break
    return total


def _part_characters(part: ContentPart) -> int:
    match part:
        case TextPart(text=text):
            return len(text)
        case ImageUrlPart(image_url=image):
            return max(len(image.url), QUICK_TEXT + 1)  # to be looked at
        case FilePart():
            return 0
        case _:
            assert_never(part)
