"""How a request begins, for the choice of a server that has the beginning in its cache.

A prompt is tools, system prompt and messages, in this order, and a cache holds beginnings of
prompts. Marks that clients move from turn to turn (``cache_control``) are no part of it.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b

from msgspec.json import encode

from deepseek_messages.upstreams.route import Beginning
from deepseek_messages.wire.content import ContentBlock, TextBlock
from deepseek_messages.wire.messages import MessagesRequest

# A beginning that is worth going back for, in bytes: some 4,000 tokens, which take a GPU about a
# second to read. Shorter ones are read anew faster than they are looked for.
LONG = 16 * 1024

# Parts of a prompt that are looked at, and bytes of each: what comes later shares its server with
# them. This is done on the event loop.
MOST_PARTS = 64
MOST_BYTES = 256 * 1024

_CACHE_CONTROL = re.compile(rb',?"cache_control":(?:\{[^{}]*\}|null)')


def beginning_of(request: MessagesRequest, caller: str) -> Beginning:
    """The beginning of ``request``; ``caller`` keeps conversations of several callers apart."""
    digest = blake2b(digest_size=16)
    conversation = blake2b(digest_size=16)
    user = request.metadata.user_id if request.metadata else None
    conversation.update(encode([caller, user]))
    size = 0
    prefixes: list[bytes] = []
    for number, (message, part) in enumerate(_parts(request)):
        if number == MOST_PARTS:
            break
        framed = b"%d:%b" % (len(part), part)
        digest.update(framed)
        if message <= 0:
            conversation.update(framed)
        size += len(part)
        if size >= LONG:
            prefixes.append(digest.digest())
    return Beginning(conversation=conversation.digest(), prefixes=prefixes)


def _parts(request: MessagesRequest) -> Iterator[tuple[int, bytes]]:
    """The prompt's parts, each with the index of its message; -1 before the first one."""
    yield -1, _plain(encode(request.tools))
    for each in _blocks(request.system):
        yield -1, each
    for number, message in enumerate(request.messages):
        yield number, message.role.encode()
        for each in _blocks(message.content):
            yield number, each


def _blocks(content: str | list[ContentBlock] | list[TextBlock] | None) -> Iterator[bytes]:
    """A text is the same alone and in a block."""
    if isinstance(content, str):
        yield _text(content)
        return
    for block in content or ():
        if isinstance(block, TextBlock):
            yield _text(block.text)
        else:
            yield _plain(encode(block))


def _text(text: str) -> bytes:
    return text[:MOST_BYTES].encode("utf-8", "surrogatepass")


def _plain(data: bytes) -> bytes:
    return _CACHE_CONTROL.sub(b"", data[:MOST_BYTES])
