"""What ``tests/canary.py`` watches in every test: here things leak on purpose, and it sees them."""

import pytest

from deepseek_messages.settings import Secret
from deepseek_messages.telemetry.logs import log
from deepseek_messages.telemetry.metrics import Metrics
from tests.canary import Watch
from tests.support.app import served
from tests.support.client import HELLO, Reply

WORDS = "a conversation that nobody else may read"
KEY = "not-like-a-key-0815"
PROMPT = HELLO | {"messages": [{"role": "user", "content": [{"type": "text", "text": WORDS}]}]}

PLACES = {
    "log": lambda words: log().info("event", field=words),
    "metric": lambda words: Metrics(process=False).attempt(words, "served"),
    "error": lambda words: Reply(500, {}, words.encode()),
}


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize("tell", PLACES.values(), ids=PLACES)
def test_what_is_told_fails_the_test(tell, canaries: Watch) -> None:  # type: ignore[no-untyped-def]
    with served() as s:
        assert s.client.post(PROMPT).status == 200
    assert canaries.leaks() == []
    tell(f"before {WORDS} after")
    assert len(canaries.leaks()) == 1


@pytest.mark.leaks_on_purpose
def test_a_key_is_watched_wherever_it_is_given(canaries: Watch) -> None:
    with served(auth={"mode": "pass-through"}) as s:
        s.client.post(HELLO, authorization=f"Bearer {KEY}")
    Secret("upstream-key-4711")
    log().info("event", one=KEY, two="upstream-key-4711")
    assert len(canaries.leaks()) == 2
