"""Bodies that are wrong in one place: refused in the envelope, the place named, never a 5xx."""

import json
from collections.abc import Callable

import pytest

from tests.security.malformed import (
    WHOLE,
    cases,
    dotted,
    keys_of,
    made,
    reached,
    sound,
    spoilable,
    untyped,
    with_twice,
)
from tests.support.app import Served
from tests.support.in_pieces import decode_in_pieces, outcome, whole

CASES = list(cases(made()))
PLACES = sorted({place for place, _, _ in CASES})
TWICE = {with_twice(body, path): dotted(path) for body in sound() for path in keys_of(body)}


def test_there_are_enough() -> None:
    assert len(CASES) >= 500


def test_every_property_is_spoilt_that_can_be() -> None:
    document = made()
    assert spoilable(document) - reached(document) == set()


def test_the_body_that_is_spoilt_is_sound(server: Callable[..., Served]) -> None:
    assert server("open").client.post(WHOLE).status == 200


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_type_is_refused_by_its_place(
    server: Callable[..., Served], place: str, path: str
) -> None:
    s = server("open")
    counting = path.endswith("count_tokens")
    for found, kind, body in CASES:
        if found != place or (counting and (place, kind) == ("max_tokens", "null")):
            continue
        reply = s.client.post(body, path)
        status, error, message = reply.error()
        assert (status, error) == (400, "invalid_request_error"), (kind, message)
        assert message.startswith(named(place)), (kind, message)
        assert len(reply.body) < 2_000
    assert s.upstream.played == []


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("part", range(4))
def test_a_key_that_stands_twice_is_refused_by_its_place(
    server: Callable[..., Served], part: int, path: str
) -> None:
    s = server("open")
    for data, place in list(TWICE.items())[part::4]:
        status, error, message = s.client.post(data.encode(), path).error()
        assert (status, error) == (400, "invalid_request_error"), (place, message)
        assert message == f"{place}: This key stands twice in its object"
    assert s.upstream.played == []


def test_in_a_large_body_the_same_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decode_in_pieces(monkeypatch)
    for data in map(str.encode, TWICE):
        assert outcome(data) == whole(data)
    for place, kind, body in CASES:
        data = json.dumps(body).encode()
        assert outcome(data) == whole(data), (place, kind)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("part", range(8))
def test_any_value_where_none_is_described_is_taken_or_refused(
    server: Callable[..., Served], part: int, path: str
) -> None:
    s = server("open")
    for what, body in list(untyped(made()))[part::8]:
        reply = s.client.post(body, path)
        assert reply.status in (200, 400), (what, reply.body)


MANY = 1_000_000

HUGE: dict[str, str] = {
    "a million numbers for messages": "[" + "1," * (MANY - 1) + "1]",
    "a million blocks of no type": '[{"role": "user", "content": [' + "{}," * (MANY - 1) + "{}]}]",
    "a million messages": "[" + '{"role": "user", "content": "a"},' * 300_000 + "{}]",
    "a million deep": "[" * MANY,
    "deep in a message": '[{"role": "user", "content": ' + "[" * 100_000,
    "deep in a block": '[{"role": "user", "content": [{"type": "tool_use", "id": "i", "name": "n",'
    ' "input": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}]}]",
    "a million keys that are nothing": "[{" + ",".join(f'"k{n}": 1' for n in range(300_000)) + "}]",
    "a key of a megabyte": '[{"' + "k" * MANY + '": 1}]',
    "a number of a megabyte": "[" + "9" * MANY + "]",
    "a million escapes": '["' + "\\u0041" * 300_000 + '"]',
}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("messages", HUGE.values(), ids=HUGE)
def test_huge_bodies_are_refused(server: Callable[..., Served], messages: str, path: str) -> None:
    s = server("open")
    body = f'{{"model": "m", "max_tokens": 1, "messages": {messages}}}'.encode()
    reply = s.client.ask("POST", path, body)
    assert reply.error()[:2] == (400, "invalid_request_error")
    assert len(reply.body) < 2_000
    assert s.upstream.played == []


NEARLY = 31 * 1024 * 1024
SAID = '[{"role": "user", "content": '

# Bodies just below the limit of 32 MiB, which are refused before they are decoded.
NEAR_THE_LIMIT: dict[str, tuple[str, str, str]] = {
    "numbers": ("[", "1,", "values"),
    "empty texts": ("[", '"",', "values"),
    "lists in lists": ("", "[", "values"),
    "empty objects": ("[", "{},", "objects"),
    "messages": ("[", '{"role":"user","content":"a"},', "objects"),
    "blocks": (SAID + "[", '{"type":"text","text":"a"},', "objects"),
    "keys": ("[{", '"k":1,', "values"),
    "escapes": (SAID + '"', "\\n", "escapes in its texts"),
    "blanks": ("", " ", "bytes outside of texts"),
    "a number": ("[", "9", "bytes outside of texts"),
}


@pytest.mark.parametrize("case", NEAR_THE_LIMIT.values(), ids=NEAR_THE_LIMIT)
def test_bodies_near_the_limit_are_refused_before_they_are_decoded(
    server: Callable[..., Served], case: tuple[str, str, str]
) -> None:
    s = server("open")
    begin, often, what = case
    messages = begin + often * (NEARLY // len(often))
    body = f'{{"model": "m", "max_tokens": 1, "messages": {messages}'.encode()
    status, kind, message = s.client.ask("POST", "/v1/messages", body).error()
    assert (status, kind) == (400, "invalid_request_error")
    assert message.startswith("The request body holds more than")
    assert message.endswith(what)
    assert s.upstream.played == []


TEXTS = {
    "lone high surrogate": r"\ud800",
    "lone low surrogate": r"\udc00",
    "surrogates in the wrong order": r"\udc00\ud800",
    "half an escape": r"\u12",
    "unknown escape": r"\x41",
    "raw newline": "a\nb",
    "raw NUL": "a\x00b",
    "open string": '"',
}
WHERE = {
    "model": '{"model": "%s", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]}',
    "content": '{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "%s"}]}',
    "block": '{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content":'
    ' [{"type": "text", "text": "%s"}]}]}',
    "key": '{"model": "m", "max_tokens": 1, "%s": 1, "messages": '
    '[{"role": "user", "content": "a"}]}',
    "tool input": '{"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content":'
    ' [{"type": "tool_use", "id": "i", "name": "n", "input": {"a": "%s"}}]}]}',
    "schema": '{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}],'
    ' "tools": [{"name": "t", "input_schema": {"type": "object", "description": "%s"}}]}',
}


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_broken_texts_are_refused(server: Callable[..., Served], text: str, where: str) -> None:
    s = server("open")
    reply = s.client.ask("POST", "/v1/messages", (where % text).encode())
    assert reply.error()[:2] == (400, "invalid_request_error")
    assert s.upstream.played == []


DUPLICATES = {
    "model": b'{"model": "m", "model": 7, "max_tokens": 1, "messages": []}',
    "messages": b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}],'
    b' "messages": []}',
    "type": b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content":'
    b' [{"type": "text", "type": "image", "text": "a"}]}]}',
    "role": b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "role": "nobody",'
    b' "content": "a"}]}',
}


@pytest.mark.parametrize("body", DUPLICATES.values(), ids=DUPLICATES)
def test_the_last_of_two_equal_keys_counts(server: Callable[..., Served], body: bytes) -> None:
    s = server("open")
    assert s.client.ask("POST", "/v1/messages", body).error()[0] == 400
    assert s.upstream.played == []


def named(place: str) -> str:
    """What the message must begin with: the place, or what it is part of by its ``type``."""
    return place.removesuffix(".type")
