"""What the parser takes for a request's head, and this server refuses: whatever somebody between
the client and here may take for another request than this server does.
"""

from collections.abc import Sequence

import httptools

from deepseek_messages.web.exchange import Header

VERSIONS = ("1.0", "1.1")


def check_head(parser: httptools.HttpRequestParser, url: bytes, headers: Sequence[Header]) -> None:
    """Look at the head that ``parser`` has just read. Raises ``ValueError`` for a version that is
    not spoken here; for a target that is no path (RFC 9112 §3.2), as those for proxies, which name
    a host besides the one that is checked; and for a transfer coding that is not just ``chunked``,
    once, in HTTP/1.1 (§6.1).
    """
    version = parser.get_http_version()
    if version not in VERSIONS:
        raise ValueError("unknown version")
    if (not url.startswith(b"/") and url != b"*") or parser.get_method() == b"CONNECT":
        raise ValueError("not a proxy")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise ValueError("unknown transfer coding")
