"""Offers of another protocol (RFC 9110 §7.8), which are declined by going on in this one. Java's
HTTP client offers HTTP/2 with every plain request.
"""

from collections.abc import Sequence

import httptools

from deepseek_messages.web.exchange import Header

# Fields that offer another protocol, and belong to this connection only.
OFFERS = frozenset({b"upgrade", b"connection", b"http2-settings"})


def declined(parser: httptools.HttpRequestParser, url: bytes, headers: Sequence[Header]) -> bytes:
    """The head that ``parser`` has just read, without the offer."""
    version = parser.get_http_version().encode()
    lines = [b"%s %s HTTP/%s\r\n" % (parser.get_method(), url, version)]
    lines += [b"%s: %s\r\n" % field for field in headers if field[0] not in OFFERS]
    if not parser.should_keep_alive():
        lines.append(b"connection: close\r\n")
    return b"".join([*lines, b"\r\n"])
