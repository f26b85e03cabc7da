"""The ``encrypted_index`` of a web search citation: which passages it quotes, of which result.

Clients send it back with the citation, and from it the model's own marks are made again. It names
the result by the search's id and place, and the passages by their place in the result, so that it
holds wherever the conversation now begins. It carries no text and no secret: whoever makes one up
gets a mark in their own prompt.

Form: ``dsi1.`` and base64url without padding. An index of any other form is another vendor's, and
is accepted and not read.
"""

import base64
import binascii

import msgspec
from msgspec import Struct

MARK = "dsi1."

# Ours are shorter: the id of a call has at most 64 characters.
MAX_INDEX_CHARS = 400


class Span(Struct, frozen=True, array_like=True):
    """Passages ``first`` to ``last`` of result number ``result`` of the search ``call``; all
    count from 0.
    """

    call: str
    result: int
    first: int
    last: int


_decode = msgspec.json.Decoder(Span).decode


def to_index(span: Span) -> str:
    """``span`` as clients carry it."""
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(span)).rstrip(b"=").decode()


def from_index(index: str) -> Span | None:
    """What an index stands for; ``None`` when it is not ours, or damaged."""
    if not index.startswith(MARK) or len(index) > MAX_INDEX_CHARS:
        return None
    body = index[len(MARK) :]
    try:
        return _decode(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_"))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
