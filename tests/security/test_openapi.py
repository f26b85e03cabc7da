"""The OpenAPI document is true: whatever is made from it is answered as it says, and so is what
breaks it (``described``). Requests that carry messages have files of their own.
"""

from collections.abc import Iterator

import pytest
from schemathesis.generation import GenerationMode

from deepseek_messages.web.openapi import INTERNAL
from tests.security.described import (
    REQUESTS,
    SHARES,
    Target,
    Way,
    answering,
    ask,
    ask_all,
    operations,
    share,
)
from tests.security.malformed import made

TAKING = {name for name, _ in SHARES}
WAYS = [
    pytest.param(way, id=f"{way[0]}-{way[1].name.lower()}")
    for way in SHARES
    if way[0].startswith("get_")
]


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with answering() as found:
        yield found


@pytest.mark.parametrize("way", WAYS)
def test_requests_made_from_the_document(target: Target, way: Way) -> None:
    lawful = way[1] is GenerationMode.POSITIVE
    expected = {200, 404} if lawful else {400}  # 404: a model of any name
    assert expected & set(ask_all(target, way))


@pytest.mark.parametrize("name", sorted(operations().keys() - TAKING))
def test_operations_without_parameters(target: Target, name: str) -> None:
    ask(target, operations()[name].Case())


def test_two_thousand_requests_are_made() -> None:
    assert operations().keys() > TAKING
    assert sum(map(share, SHARES)) >= REQUESTS >= 2_000


def test_the_document_is_served(target: Target) -> None:
    url, session = target
    served_document = session.get(f"{url}/openapi.json").json()
    assert served_document == made()
    assert served_document["openapi"] == "3.1.0"


def test_internal_types_are_not_shown() -> None:
    assert not INTERNAL & made()["components"]["schemas"].keys()
