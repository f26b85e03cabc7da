"""What search providers answer, whatever its shape."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.service.web_tools.network import Network, WebError
from deepseek_messages.service.web_tools.providers import (
    Brave,
    DeepSeekTools,
    Fetcher,
    Query,
    Searcher,
    Searxng,
    Tavily,
)
from tests.support.servers import Cut, ReadRequest, answer, raw_upstream

QUERY = Query(text="whales")
RESULT = {"url": "https://a.test/", "title": "A", "content": "Whales sing."}
NESTED = b'{"results":' + b"[" * 100_000


def searchers(network: Any, url: str = "http://s.test") -> dict[str, Searcher]:
    return {
        "deepseek": DeepSeekTools(network, url, "key"),
        "searxng": Searxng(network, url),
        "tavily": Tavily(network, url, "key"),
        "brave": Brave(network, url, "key"),
    }


class Says:
    """A network on which everybody answers the same."""

    def __init__(self, value: Any) -> None:
        self.value = value

    async def ask(self, *_: object, **__: object) -> Any:
        return self.value

    def check(self, _url: str) -> None:
        pass


@pytest.mark.parametrize("body", [b"7", b"null", b"[]", b'"results"', b'["results"]', b"x", NESTED])
@pytest.mark.parametrize("name", searchers(None))
def test_an_answer_that_is_no_object_is_a_failure_of_the_provider(name: str, body: bytes) -> None:
    with raw_upstream([ReadRequest(), answer(body), Cut()]) as server:
        network = Network(private=True, timeout=30)
        with pytest.raises(WebError) as caught:
            asyncio.run(searchers(network, server.url)[name].search(QUERY))
    assert caught.value.code == "unavailable"


def test_nor_is_a_page() -> None:
    with raw_upstream([ReadRequest(), answer(b"7"), Cut()]) as server:
        reader: Fetcher = DeepSeekTools(Network(private=True, timeout=30), server.url, "key")
        with pytest.raises(WebError) as caught:
            asyncio.run(reader.fetch("https://1.1.1.1/", lambda _: True, None))
    assert caught.value.code == "unavailable"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(RESULT),
    lambda each: st.lists(each) | st.dictionaries(
        st.sampled_from(["results", "data", "items", "web", "url", "title", "content"]), each
    ),
    max_leaves=8,
)  # fmt: skip


@given(ANY.filter(lambda value: isinstance(value, dict)))
def test_an_object_of_any_shape_has_results_or_none(value: Any) -> None:
    for searcher in searchers(Says(value)).values():
        for found in asyncio.run(searcher.search(QUERY)):
            json.dumps([found.url, found.title, found.text])
