"""Signatures of thinking blocks: what is needed to restore reasoning that did not come back.

Clients may be told to leave reasoning out (``display: "omitted"``) or may send it back empty;
DeepSeek's thinking mode demands it again with every tool call (DeepSeek API guide, thinking
mode). The signature therefore carries the reasoning itself: compressed, encrypted and
authenticated with a key of this server and caller. So no state is kept, every process with the
same key can open it, and nobody else can make one or read another caller's. Equal reasoning gives
equal signatures (SIV is deterministic, RFC 5297), which keeps replayed histories byte-stable.

Form: ``dsm1.`` and base64url without padding. A signature of any other form is another
vendor's, and is accepted and not read.
"""

import base64
import binascii
import hashlib
import hmac
import zlib
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from deepseek_messages.translation.limits import MAX_REASONING_BYTES, MAX_SIGNATURE_CHARS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MARK = "dsm1."

# A derived seal costs microseconds; this many callers at once pay them once.
MAX_REMEMBERED_SEALS = 1024
_CONTEXT = [b"deepseek-messages thinking signature, version 1"]


class Seal:
    """Makes and opens signatures with one secret key (any length; it is stretched to 64 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha512(b"deepseek-messages seal\x00" + key).digest()
        self._of = lru_cache(MAX_REMEMBERED_SEALS)(self._derived)

    @cached_property
    def _cipher(self) -> "AESSIV":
        """Made for the first signature: the library takes 9 MB, and many servers never sign."""
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

        return AESSIV(self._key)

    def of(self, identity: str) -> "Seal":
        """The seal of one caller: nobody else's opens what it made, and it opens nobody else's.
        The same for the same key and identity, so it outlives the process. Without an identity,
        this one.
        """
        return self._of(identity) if identity else self

    def _derived(self, identity: str) -> "Seal":
        return Seal(hmac.digest(self._key, b"caller\x00" + identity.encode(), "sha512"))

    def seal(self, reasoning: str) -> str:
        """The signature that restores ``reasoning``; only the mark when it is too long to carry."""
        packed = zlib.compress(reasoning.encode("utf-8", "replace"), 6)
        sealed = base64.urlsafe_b64encode(self._cipher.encrypt(packed, _CONTEXT)).rstrip(b"=")
        if len(MARK) + len(sealed) > MAX_SIGNATURE_CHARS:
            return MARK
        return MARK + sealed.decode("ascii")

    def open(self, signature: str) -> str | None:
        """The reasoning inside ``signature``; ``None`` when it is not ours, forged or damaged."""
        if not signature.startswith(MARK) or len(signature) > MAX_SIGNATURE_CHARS:
            return None
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as for ``_cipher``

        body = signature[len(MARK) :]
        try:
            sealed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            packed = self._cipher.decrypt(sealed, _CONTEXT)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return _unpack(packed)


def _unpack(packed: bytes) -> str | None:
    """Decompress at most ``MAX_REASONING_BYTES``: an honest seal never holds more."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, MAX_REASONING_BYTES)
    except zlib.error:
        return None
    return text.decode("utf-8", "replace") if inflater.eof else None
