"""One spelling for every path."""

import pytest

from deepseek_messages.web.paths import normalise
from tests.support.app import served
from tests.support.client import HELLO

SPELLINGS = [
    ("/v1/messages", "/v1/messages"),
    ("/anthropic/v1/messages", "/v1/messages"),
    ("/messages", "/v1/messages"),
    ("/anthropic/messages", "/v1/messages"),
    ("//v1//messages", "/v1/messages"),
    ("/anthropic//v1/messages", "/v1/messages"),
    ("//anthropic/v1/messages", "/v1/messages"),
    ("/v1/messages/", "/v1/messages"),
    ("/v1/messages//", "/v1/messages"),
    ("/v1/v1/messages", "/v1/messages"),
    ("/messages/count_tokens", "/v1/messages/count_tokens"),
    ("/models", "/v1/models"),
    ("/models/a/b:c", "/v1/models/a/b:c"),
    ("/anthropic", "/"),
    ("/anthropic/", "/"),
    ("/", "/"),
    ("//", "/"),
    ("", "/"),
    ("/anthropic/api/hello", "/api/hello"),
    ("/anthropic/healthz", "/healthz"),
    ("/anthropical/v1/messages", "/anthropical/v1/messages"),
    ("/messagesx", "/messagesx"),
    ("/v2/messages", "/v2/messages"),
]


@pytest.mark.parametrize(("path", "expected"), SPELLINGS)
def test_spellings(path: str, expected: str) -> None:
    assert normalise(path) == expected


@pytest.mark.parametrize("path", [path for path, to in SPELLINGS if to == "/v1/messages"])
def test_each_spelling_is_served(path: str) -> None:
    with served() as s:
        assert s.client.post(HELLO, path + "?beta=true").status == 200
