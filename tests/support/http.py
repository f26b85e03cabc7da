"""Raw HTTP/1.1 answers for ``raw_upstream``."""

from collections.abc import Mapping

REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 503: "Service Unavailable"}


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with ``content-length``; JSON unless ``headers`` say otherwise."""
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields |= dict(headers or {})
    return _head(status, fields) + body


def sse_head(headers: Mapping[str, str] | None = None) -> bytes:
    """The head of an event stream that ends when the connection does."""
    fields = {"content-type": "text/event-stream; charset=utf-8", "connection": "close"}
    return _head(200, fields | dict(headers or {}))


def chunked_sse_head(headers: Mapping[str, str] | None = None) -> bytes:
    """The head of an event stream in HTTP chunks: a cut one is seen as cut."""
    fields = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
    return _head(200, fields | dict(headers or {}))


def chunk(data: bytes) -> bytes:
    """One HTTP chunk; an empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
