# ruff: noqa: E501 - a table: one line for one case
"""Hostile bytes on a connection, and what may come back: a table that any server must pass.

``Case.status`` holds the statuses that are lawful for the first answer; 0 is an answerless close.
``Case.closes`` says that the connection must end without the client's doing.
"""

import json
from dataclasses import dataclass

HOST = b"host: localhost\r\n"
PROMPT = json.dumps(
    {
        "model": "deepseek-chat",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
    }
).encode()
LENGTH = b"content-length: %d\r\n" % len(PROMPT)
POST = b"POST /v1/messages HTTP/1.1\r\n" + HOST
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
SMUGGLED = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """What is sent, and what may come back."""

    name: str
    sent: bytes
    status: frozenset[int]
    closes: bool = True


def case(name: str, sent: bytes, *status: int, closes: bool = True) -> Case:
    return Case(name, sent, frozenset(status), closes)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


REFUSED = (400,)
# A request that is harmless in itself may also be answered; a close without a word is lawful too.
SMUGGLING = [
    case("length and chunks", POST + LENGTH + CHUNKED + b"\r\n" + PROMPT, *REFUSED),
    case("chunks and length", POST + CHUNKED + b"content-length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED, *REFUSED),
    case("two lengths that differ", POST + LENGTH + b"content-length: 1\r\n\r\n" + PROMPT, *REFUSED),
    case("two lengths that agree", POST + LENGTH + LENGTH + b"\r\n" + PROMPT, *REFUSED),
    case("lengths in a list", POST + b"content-length: 5, 5\r\n\r\nhello", *REFUSED),
    case("length with a sign", POST + b"content-length: +5\r\n\r\nhello", *REFUSED),
    case("negative length", POST + b"content-length: -5\r\n\r\nhello", *REFUSED),
    case("hexadecimal length", POST + b"content-length: 0x5\r\n\r\nhello", *REFUSED),
    case("fractional length", POST + b"content-length: 5.0\r\n\r\nhello", *REFUSED),
    case("empty length", POST + b"content-length:\r\n\r\nhello", *REFUSED),
    case("length over 64 bits", POST + b"content-length: 18446744073709551617\r\n\r\nx", 400, 413),
    case("length of 400 digits", POST + b"content-length: " + b"9" * 400 + b"\r\n\r\nx", 400, 413),
    case("length with a blank inside", POST + b"content-length: 1 1\r\n\r\n" + b"x" * 11, *REFUSED),
    case("length with other digits", POST + "content-length: \u0665\r\n\r\nhello".encode(), *REFUSED),
    case("coding that is not chunked", POST + b"transfer-encoding: gzip\r\n\r\n" + PROMPT, 400, 501),
    case("chunked is not last", POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, 501),
    case("chunked twice", POST + CHUNKED * 2 + b"\r\n0\r\n\r\n", *REFUSED),
    case("chunked with a tail", POST + b"transfer-encoding: chunkedfoo\r\n\r\n0\r\n\r\n", 400, 501),
    case("chunked behind a tab", POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400, 501),
    case("chunked in quotes", POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 400, 501),
    case("identity and length", POST + b"transfer-encoding: identity\r\n" + LENGTH + b"\r\n" + PROMPT, 400, 501),
    case("identity and chunked", POST + b"transfer-encoding: identity\r\n" + CHUNKED + b"\r\n" + chunks(PROMPT) + b"0\r\n\r\n" + SMUGGLED, *REFUSED),
    case("a coding before chunked", POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + chunks(PROMPT) + b"0\r\n\r\n" + SMUGGLED, 400, 501),
    case("nothing before chunked", POST + b"transfer-encoding: ,chunked\r\n\r\n" + chunks(PROMPT) + b"0\r\n\r\n" + SMUGGLED, *REFUSED),
    case("chunked with parameters", POST + b"transfer-encoding: chunked;a=b\r\n\r\n" + chunks(PROMPT) + b"0\r\n\r\n" + SMUGGLED, 400, 501),
    case("chunks in HTTP/1.0", POST.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED + b"\r\n" + chunks(PROMPT) + b"0\r\n\r\n" + SMUGGLED, *REFUSED),
    case("blank before the colon", POST + b"content-length : 5\r\n\r\nhello", *REFUSED),
    case("blank in a name", POST + b"content length: 5\r\n\r\nhello", *REFUSED),
    case("folded field", POST + b"x-a: b\r\n c: d\r\n\r\n", *REFUSED),
    case("folded length", POST + b"content-length:\r\n 5\r\n\r\nhello", *REFUSED),
    case("folded coding", POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", *REFUSED),
    case("first field is folded", b"POST /v1/messages HTTP/1.1\r\n x: y\r\n" + HOST + b"\r\n", *REFUSED),
    case("bare LF between fields", b"GET /healthz HTTP/1.1\nhost: localhost\n\n", *REFUSED),
    case("bare CR in a value", GET + b"x-a: b\rtransfer-encoding: chunked\r\n\r\n", *REFUSED),
    case("NUL in a value", GET + b"x-a: b\x00c\r\n\r\n", *REFUSED),
    case("NUL in a name", GET + b"x\x00a: b\r\n\r\n", *REFUSED),
    case("NUL in the path", b"GET /heal\x00thz HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("control character in a value", GET + b"x-a: b\x01\x7f\r\n\r\n", *REFUSED),
    case("empty name", GET + b": b\r\n\r\n", *REFUSED),
    case("no colon", GET + b"nonsense\r\n\r\n", *REFUSED),
    case("GET with chunks and length", GET + LENGTH + CHUNKED + b"\r\n0\r\n\r\n", *REFUSED),
]  # fmt: skip

HOSTS = [
    case("two hosts", b"GET /healthz HTTP/1.1\r\n" + HOST + b"host: evil.example\r\n\r\n", *REFUSED),
    case("two equal hosts", b"GET /healthz HTTP/1.1\r\n" + HOST * 2 + b"\r\n", *REFUSED),
    case("no host", b"GET /healthz HTTP/1.1\r\n\r\n", *REFUSED),
    case("hosts in a list", b"GET /healthz HTTP/1.1\r\nhost: localhost, evil.example\r\n\r\n", 400, 403, closes=False),
    case("host with a path", b"GET /healthz HTTP/1.1\r\nhost: localhost/evil\r\n\r\n", 400, 403, closes=False),
    case("host with a user", b"GET /healthz HTTP/1.1\r\nhost: localhost@evil.example\r\n\r\n", 400, 403, closes=False),
    case("host behind another in its port", b"GET /healthz HTTP/1.1\r\nhost: evil.example:localhost\r\n\r\n", 400, 403, closes=False),
    case("absolute form, this host", b"GET http://localhost/healthz HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("absolute form, foreign host", b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("absolute form, protected path", b"GET http://evil.example/v1/models HTTP/1.1\r\nhost: evil.example\r\n\r\n", *REFUSED),
    case("absolute form of messages", b"POST http://evil.example/v1/messages HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + PROMPT, *REFUSED),
    case("absolute form with an offer", b"GET http://evil.example/healthz HTTP/1.1\r\n" + HOST + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n", *REFUSED),
    case("two hosts before messages", POST + b"host: evil.example\r\n" + LENGTH + b"\r\n" + PROMPT, *REFUSED),
    case("authority form", b"GET localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("asterisk form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, 405, closes=False),
    case("asterisk with GET", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, closes=False),
    case("connect", b"CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n", 400, 403, 404, 405),
]  # fmt: skip

LINES = [
    case("HTTP/0.9", b"GET /healthz\r\n\r\n", 400, 0),
    case("HTTP/1.0 with keep-alive", b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n", 200),
    case("HTTP/1.2", b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n", 200, 400, 505, closes=False),
    case("HTTP/2.0", b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n", 400, 505),
    case("HTTP/9.9", b"GET /healthz HTTP/9.9\r\n" + HOST + b"\r\n", 400, 505),
    case("HTTP/11.1", b"GET /healthz HTTP/11.1\r\n" + HOST + b"\r\n", 400, 505),
    case("HTTP/1", b"GET /healthz HTTP/1\r\n" + HOST + b"\r\n", 400, 505),
    case("lower case protocol", b"GET /healthz http/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("another protocol", b"GET sip:healthz SIP/2.0\r\n" + HOST + b"\r\n", *REFUSED),
    case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9, 400, 505),
    case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, *REFUSED),
    case("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", *REFUSED),
    case("SMTP", b"EHLO mail.example\r\n", *REFUSED),
    case("binary", bytes(range(256)) * 4, *REFUSED),
    case("lower case method", b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400, 405, 501),
    case("unknown method", b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 400, 405, 501),
    case("no method", b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("two blanks", b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200, 400, closes=False),
    case("tab instead of a blank", b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("blank in the path", b"GET /heal thz HTTP/1.1\r\n" + HOST + b"\r\n", *REFUSED),
    case("path outside ASCII", "GET /h\u00e9althz HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400, 404, closes=False),
    case("path of broken escapes", b"GET /%zz%c0%ae%00 HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, closes=False),
    case("path that climbs", b"GET /v1/../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, closes=False),
    case("path that climbs in escapes", b"GET /v1/models/%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 400, 404, closes=False),
    case("line of a megabyte", b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400, 414, 431, 0),
    case("method of a megabyte", b"G" * 1_000_000, 400, 414, 431, 0),
    case("query of a megabyte", b"GET /healthz?" + b"a=b&" * 250_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400, 414, 431, 0),
    case("field of a megabyte", GET + b"x-a: " + b"b" * 1_000_000 + b"\r\n\r\n", 400, 431, 0),
    case("name of a megabyte", GET + b"x" * 1_000_000 + b": y\r\n\r\n", 400, 431, 0),
    case("ten thousand fields", GET + b"x: y\r\n" * 10_000 + b"\r\n", 400, 431, 0),
    case("cookies of a megabyte", GET + b"cookie: a=b\r\n" * 80_000 + b"\r\n", 400, 431, 0),
]  # fmt: skip

BODIES = [
    case("chunk size over 64 bits", POST + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\nx", *REFUSED),
    case("chunk size of a megabyte", POST + CHUNKED + b"\r\n" + b"0" * 1_000_000, 400, 413, 0),
    case("chunk size is no number", POST + CHUNKED + b"\r\nxyz\r\nhello\r\n0\r\n\r\n", *REFUSED),
    case("chunk size with a prefix", POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n", *REFUSED),
    case("negative chunk size", POST + CHUNKED + b"\r\n-5\r\nhello\r\n0\r\n\r\n", *REFUSED),
    case("empty chunk size", POST + CHUNKED + b"\r\n\r\nhello\r\n0\r\n\r\n", *REFUSED),
    case("chunk longer than told", POST + CHUNKED + b"\r\n3\r\nhello\r\n0\r\n\r\n", *REFUSED),
    case("chunk without its line end", POST + CHUNKED + b"\r\n5\r\nhello0\r\n\r\n", *REFUSED),
    case("chunk ends in LF only", POST + CHUNKED + b"\r\n5\nhello\n0\n\n", *REFUSED),
    case("chunk extension of a megabyte", POST + CHUNKED + b"\r\n5;a=" + b"b" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n", 400, 413, 431, 0),
    case("chunk extension", POST + CHUNKED + CLOSE + b"\r\n%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(PROMPT), PROMPT), 200, 400),
    case("a long extension for every byte", POST + CHUNKED + CLOSE + b"\r\n" + b"".join(b"1;a=%s\r\n%c\r\n" % (b"b" * 100, byte) for byte in PROMPT + b" " * 2_000) + b"0\r\n\r\n", *REFUSED),
    case("trailer", POST + CHUNKED + CLOSE + b"\r\n" + chunks(PROMPT) + b"0\r\nx-api-key: other\r\n\r\n", 200, 400),
    case("trailers of a megabyte", POST + CHUNKED + b"\r\n" + chunks(PROMPT) + b"0\r\n" + b"x: y\r\n" * 170_000 + b"\r\n", 200, 400, 431, 0),
    case("trailer with a length", POST + CHUNKED + CLOSE + b"\r\n" + chunks(PROMPT) + b"0\r\ncontent-length: 1\r\n\r\n", 200, 400),
    case("chunks of one byte", POST + CHUNKED + CLOSE + b"\r\n" + chunks(*(bytes([b]) for b in PROMPT)) + b"0\r\n\r\n", 200),
    case("body over the limit, declared", POST + b"content-length: 900000000\r\n\r\n" + b"x" * 1000, 413),
    case("body on GET", GET + b"content-length: 5\r\n" + CLOSE + b"\r\nhello", 200, 400),
    case("gzip", POST + b"content-encoding: gzip\r\n" + LENGTH + CLOSE + b"\r\n" + PROMPT, 400, 415),
    case("expectation that cannot be met", POST + b"expect: a-miracle\r\n" + LENGTH + CLOSE + b"\r\n" + PROMPT, 200, 417),
    case("upgrade to WebSocket", GET + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 200, 400, 403, 426, closes=False),
    case("upgrade to HTTP/2", GET + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n", 200, 400, closes=False),
]  # fmt: skip

CASES = [*SMUGGLING, *HOSTS, *LINES, *BODIES]
