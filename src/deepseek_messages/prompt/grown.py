"""Exact sizes of prompts that hold one that was counted before, for the price of what is new.

A client sends the whole conversation with each request, one turn longer than the last time. To
render and count all of it costs milliseconds, so the sizes of whole prompts are remembered by
digest, and a longer conversation is split where the model began to speak:

    size(old + new) = size(old) + size(Q + new) - size(Q)

where ``old`` ends in what the model was asked, ``new`` begins with what it said, and Q is any short
question. That is exact because the encoder writes an answer in the same way whatever was asked
before, and begins it with a special token, across which no text is tokenized as one. What stands
before that token is the same for Q with and without ``new``, so it is not even looked at.
``tests/property/test_grown.py`` holds it against counting the whole.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import dropwhile
from secrets import token_bytes
from threading import Lock
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
    TextPart,
    UserMessage,
)

if TYPE_CHECKING:
    import deepseek_recipe as recipe

# How many sizes are remembered, about 150 bytes each: the last turns of so many conversations.
MOST_REMEMBERED = 8192

# Lists of tools whose digests are remembered, by identity, and the most bytes of one.
MOST_TOOL_LISTS = 32
LARGEST_TOOL_LIST = 256 * 1024

# Conversations above so many characters are not looked up on an event loop: it takes a third of a
# millisecond.
QUICK_LOOK = 256 * 1024

# How far back a beginning is looked for at first: an answer may have been cut, or asked for again.
NEAR = 4

# Sizes of headers that are remembered: a handful of settings decide on them.
MOST_HEADERS = 64

# The special token that an answer begins with (``segments``).
ANSWER = ("<｜Assistant｜>", True)

QUESTION = UserMessage("x")
ANY_TOOL = [FunctionTool(Function(name="f"))]

_encode = msgspec.json.Encoder().encode


class GrownCounter:
    """Counts prompts and remembers their sizes, each for its ``owner`` alone. Thread-safe."""

    def __init__(
        self, counter: SegmentCounter = COUNTER, *, remembered: int = MOST_REMEMBERED
    ) -> None:
        self.counter = counter
        self._remembered = remembered
        self._sizes: OrderedDict[bytes, PromptCount] = OrderedDict()
        self._headers: dict[bytes, int] = {}
        self._tools = _ToolDigests()
        self._key = token_bytes(32)
        self._lock = Lock()

    def of(self, chat: ChatRequest, encoding: Encoding, owner: str = "") -> "PromptSize":
        """The size of the prompt that DeepSeek makes of ``chat``, to be found in steps."""
        return PromptSize(self, chat, encoding, owner)

    def get(self, key: bytes) -> PromptCount | None:
        """A size that was kept."""
        with self._lock:
            if (size := self._sizes.get(key)) is not None:
                self._sizes.move_to_end(key)
        return size

    def keep(self, key: bytes, size: PromptCount) -> None:
        """Remember a size."""
        with self._lock:
            self._sizes[key] = size
            if len(self._sizes) > self._remembered:
                self._sizes.popitem(last=False)

    def circumstances(self, chat: ChatRequest, encoding: Encoding, owner: str) -> bytes:
        """What besides the messages decides on a size, and whose it is. Raises
        ``UnicodeEncodeError`` for a lone surrogate.
        """
        bare = in_encoder_terms(replace(chat, messages=[], tools=None), encoding)
        tools = self._tools.digest(chat.tools) if chat.tools else b""
        return b"".join((self._key, owner.encode(), b"\0", tools, _encode(bare)))

    def header(self, asked: ChatRequest, encoding: Encoding) -> int:
        """The size of what stands behind the question of ``asked``: there the model goes on."""
        key = _encode(in_encoder_terms(asked, encoding))
        if (tokens := self._headers.get(key)) is None:
            tokens, texts = self.counter.tally(_from_answer(render(asked, encoding)))
            tokens += sum(map(self.counter.count, texts))
            if len(self._headers) >= MOST_HEADERS:
                self._headers.clear()
            self._headers[key] = tokens
        return tokens


class PromptSize:
    """The size of one prompt. ``now`` finds it if that is quick, ``whole`` whatever it takes."""

    def __init__(
        self, memory: GrownCounter, chat: ChatRequest, encoding: Encoding, owner: str
    ) -> None:
        self._memory = memory
        self._chat = chat
        self._encoding = encoding
        self._owner = owner
        self._key: bytes | None = None  # of the whole prompt
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
        places = list(_answers(messages))
        if near:
            places = places[:NEAR]
        keys = list(self._keys([*reversed(places), len(messages)]))
        self._key = keys.pop()
        if (known := self._memory.get(self._key)) is not None:
            return known
        if not _splits(self._chat):
            return None
        for place, key in zip(places, reversed(keys), strict=True):
            if (begun := self._memory.get(key)) is not None:
                self._grown = self._grow(begun, messages[place:])
                break
        return None

    def _keys(self, places: Sequence[int]) -> Iterator[bytes]:
        """Keys of the messages before each of ``places``, in order."""
        chat, done = self._chat, 0
        digest = sha256(self._memory.circumstances(chat, self._encoding, self._owner))
        for place in places:
            if done < place:
                digest.update(memoryview(_encode(chat.messages[done:place]))[1:-1])
                digest.update(b",")  # however they are cut, the same is digested
            done = place
            yield digest.copy().digest()

    def _grow(self, begun: PromptCount, added: list[ChatMessage]) -> "_Grown | None":
        """``None`` if the encoder refuses what was added: then it goes without splitting."""
        tools = ANY_TOOL if self._chat.tools else None
        asked = replace(self._chat, messages=[QUESTION], tools=tools)
        chat = replace(asked, messages=[QUESTION, *added])
        try:
            header = self._memory.header(asked, self._encoding)
            rendered = render(chat, self._encoding)
        except NotEncodable:
            return None
        tokens, texts = self._memory.counter.tally(_from_answer(rendered))
        images = rendered.image_sources
        return _Grown(begun.tokens + tokens - header, begun.exact, texts, images)

    def _all(self) -> PromptCount:
        size = self._memory.counter.count_rendered(render(self._chat, self._encoding))
        return self._kept(size)

    def _sum(self, grown: "_Grown") -> PromptCount:
        images = count_images(grown.images)
        tokens = grown.tokens + images.tokens + sum(map(self._memory.counter.count, grown.texts))
        return self._kept(PromptCount(tokens, exact=grown.exact and images.exact))

    def _kept(self, size: PromptCount) -> PromptCount:
        if self._key is not None:
            self._memory.keep(self._key, size)
        return size


class _Grown(Struct, frozen=True):
    """A prompt whose beginning is known: what it comes to without its new ``texts``."""

    tokens: int
    exact: bool
    texts: list[str]
    images: "list[recipe.ImageSource]"

    @property
    def is_quick(self) -> bool:
        return not self.images and sum(map(len, self.texts)) <= QUICK_TEXT


class _ToolDigests:
    """Digests of lists of tools, which are the same objects in request after request
    (``translation/offer.py``): found by identity.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], tuple[list[FunctionTool], bytes]] = OrderedDict()
        self._lock = Lock()

    def digest(self, tools: list[FunctionTool]) -> bytes:
        key = tuple(map(id, tools))
        if (known := self._known.get(key)) is not None:  # it holds them, so that they are the same
            return known[1]
        text = _encode(tools)
        digest = sha256(text).digest()
        if len(text) <= LARGEST_TOOL_LIST:
            with self._lock:
                self._known[key] = list(tools), digest
                if len(self._known) > MOST_TOOL_LISTS:
                    self._known.popitem(last=False)
        return digest


def _answers(messages: Sequence[ChatMessage]) -> Iterator[int]:
    """Where the model began to speak after it was asked something, the last one first."""
    for place in range(len(messages) - 1, 0, -1):
        if isinstance(messages[place], AssistantMessage) and not isinstance(
            messages[place - 1], AssistantMessage
        ):
            yield place


def _from_answer(rendered: "recipe.RenderedPrompt") -> Iterator[tuple[str, bool]]:
    """The pieces of a prompt from where the model speaks first."""
    return dropwhile(lambda piece: piece != ANSWER, segments(rendered))


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
