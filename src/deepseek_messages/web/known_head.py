"""The head of a request that its connection has sent before.

Clients that keep a connection send the same head with every request, but for the length of the
body. Once the parser has read such a head, the same bytes mean the same again, and so do the
checks of it: only the length is read anew. Heads that could mean anything else another time
(framing of other kinds, an Origin, an expectation) are never remembered.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_messages.service.callers import Caller
from deepseek_messages.web.exchange import Header, Scope, first_values

# A body whose length has more digits comes the ordinary way.
MOST_DIGITS = 9

# Of a request's ASGI scope, what is the same in the next one and is looked at.
_KEPT = ("type", "http_version", "method", "path", "client", "headers")

# What nearly all clients say with every request, and what goes without saying (RFC 9112 §9.3).
_KEEP_ALIVE = b"keep-alive"

# Fields that decide how a request is framed, or that are looked at anew in each request.
_NEVER = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"origin",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


class KnownHead:
    """A head up to the digits of its length (``before``), and from there on (``after``)."""

    __slots__ = ("_headers", "admitted", "after", "before", "caller", "scope")

    def __init__(self, before: bytes, after: bytes, scope: Mapping[str, Any]) -> None:
        self.before = before
        self.after = after
        self.scope: Scope = {name: scope[name] for name in _KEPT if name in scope}
        self._headers: dict[str, str] | None = None
        self.caller: Caller | None = None
        self.admitted: object = None  # the guard's state when ``caller`` was let in, or was not

    @property
    def headers(self) -> dict[str, str]:
        """The first value of each field, names in lower case."""
        if self._headers is None:  # most connections of some clients have one request only
            self._headers = first_values(self.scope["headers"])
        return self._headers

    def begins(self, data: bytes) -> bool:
        """Whether ``data`` begins with this head."""
        return self._length(data)[1] > 0

    def body(self, data: bytes) -> bytes | None:
        """The body of the request that ``data`` is, if that is one request with this head and no
        byte less or more.
        """
        length, start = self._length(data)
        return data[start:] if start and len(data) - start == length else None

    def _length(self, data: bytes) -> tuple[int, int]:
        """The length that the head at the beginning of ``data`` tells, and where it ends; zeros if
        it is another head.
        """
        start = len(self.before)
        if not data.startswith(self.before):
            return 0, 0
        end = data.find(b"\r", start, start + MOST_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self.after, end):
            return 0, 0
        return int(digits), end + len(self.after)


def known_head(
    data: bytes, scope: Mapping[str, Any], headers: Sequence[Header]
) -> KnownHead | None:
    """What is worth remembering of the request at the beginning of ``data``, which the parser read
    as these ``headers``; ``None`` if it may mean something else another time.
    """
    head, blank, _ = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = [name for name, _ in headers]
    if (
        not blank
        or len(lines) != len(headers) + 1
        or any(b"\n" in line or line.startswith((b" ", b"\t")) for line in lines)
        or names.count(b"content-length") != 1
        or not _NEVER.isdisjoint(names)
        or any(n == b"connection" and v.lower() != _KEEP_ALIVE for n, v in headers)
    ):
        return None
    place = names.index(b"content-length")
    name, _, value = lines[place + 1].partition(b":")
    if name.lower() != b"content-length" or not value.strip(b" ").isdigit():
        return None
    before = b"\r\n".join([*lines[: place + 1], name + b":"]) + value[: -len(value.lstrip(b" "))]
    rest = b"".join(b"\r\n" + line for line in lines[place + 2 :])
    if value.endswith(b" "):
        return None
    return KnownHead(before, rest + b"\r\n\r\n", scope)
