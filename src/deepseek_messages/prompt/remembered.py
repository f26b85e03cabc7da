"""The sizes of prompts that were counted, by digests of what they hold and whose they are."""

from collections import OrderedDict
from hashlib import sha256
from secrets import token_bytes
from threading import Lock

import msgspec
from msgspec.structs import replace

from deepseek_messages.prompt.counting import PromptCount
from deepseek_messages.prompt.encoding import in_encoder_terms
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.wire.chat import ChatRequest, FunctionTool

# How many sizes are remembered, about 150 bytes each: the last turns of so many conversations.
MOST_REMEMBERED = 8192

# Lists of tools whose digests are remembered, by identity, and the most bytes of one.
MOST_TOOL_LISTS = 32
LARGEST_TOOL_LIST = 256 * 1024

_encode = msgspec.json.Encoder().encode


class RememberedSizes:
    """The last ``most`` sizes, found by digests. What users wrote is not kept. Thread-safe."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._sizes: OrderedDict[bytes, PromptCount] = OrderedDict()
        self._tools = _ToolDigests()
        self._key = token_bytes(32)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._sizes)

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
            if len(self._sizes) > self._most:
                self._sizes.popitem(last=False)

    def circumstances(self, chat: ChatRequest, encoding: Encoding, owner: str) -> bytes:
        """What besides the messages decides on a size, and whose it is. Raises
        ``UnicodeEncodeError`` for a lone surrogate.
        """
        bare = in_encoder_terms(replace(chat, messages=[], tools=None), encoding)
        tools = self._tools.digest(chat.tools) if chat.tools else b""
        return b"".join((self._key, owner.encode(), b"\0", tools, _encode(bare)))


class _ToolDigests:
    """Digests of lists of tools, which are the same objects in request after request
    (``translation/tools/offer.py``): found by identity.
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
