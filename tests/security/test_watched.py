"""What ``tests/canary.py`` watches in every test: here things leak on purpose, and it sees them."""

from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import Secret
from deepseek_messages.telemetry.logs import log
from deepseek_messages.telemetry.metrics import Metrics
from tests.canary import WATCH, Watch
from tests.support.app import served
from tests.support.client import HELLO, Reply
from tests.support.servers import ReadRequest, answer, raw_upstream
from tests.support.serving import serve_program

WORDS = "a conversation that nobody else may read"
KEY = "not-like-a-key-0815"


def prompt(words: str) -> dict[str, Any]:
    content = [{"type": "text", "text": words}]
    return HELLO | {"messages": [{"role": "user", "content": content}]}


ERROR = b'event: error\ndata: {"type":"error","error":{"message":"%b"}}\n\n'

PLACES = {
    "log": lambda words: log().info("event", field=words),
    "metric": lambda words: Metrics(process=False).attempt(words, "served"),
    "error": lambda words: Reply(500, {}, words.encode()),
    "error in a stream": lambda words: Reply(200, {}, ERROR % words.encode()),
    "metrics of another process": lambda words: Reply(200, {}, f"# HELP x {words}".encode()),
    "another process": WATCH.tell,
}


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize("tell", PLACES.values(), ids=PLACES)
def test_what_is_told_fails_the_test(tell, canaries: Watch) -> None:  # type: ignore[no-untyped-def]
    with served() as s:
        assert s.client.post(prompt(WORDS)).status == 200
    assert canaries.leaks() == []
    tell(f"before {WORDS} after")
    assert len(canaries.leaks()) == 1


@pytest.mark.leaks_on_purpose
@pytest.mark.parametrize("tell", PLACES.values(), ids=PLACES)
def test_a_short_word_is_watched_too(tell, canaries: Watch) -> None:  # type: ignore[no-untyped-def]
    with served(auth={"mode": "pass-through"}) as s:
        assert s.client.post(prompt("xyzzy"), x_api_key="k9zq").status == 200
    tell("a xyzzyx k9zqk")
    assert canaries.leaks() == []
    tell("before xyzzy after")
    tell("before k9zq after")
    assert len(canaries.leaks()) == 2


def test_a_word_of_ours_is_nobodys_secret(canaries: Watch) -> None:
    with served() as s:
        assert s.client.post(prompt("requested_model")).status == 200


@pytest.mark.leaks_on_purpose
def test_the_log_of_a_server_in_another_process_is_watched(tmp_path: Path, canaries: Watch) -> None:
    upstream = [ReadRequest(), answer(b"{}")]
    with raw_upstream(upstream, upstream) as below, serve_program(tmp_path, below.url) as program:
        program.client.post(prompt(WORDS))
        with (tmp_path / "log").open("a") as log:
            log.write(WORDS)
    assert len(canaries.leaks()) == 1


@pytest.mark.leaks_on_purpose
def test_a_key_is_watched_wherever_it_is_given(canaries: Watch) -> None:
    with served(auth={"mode": "pass-through"}) as s:
        s.client.post(HELLO, authorization=f"Bearer {KEY}")
    Secret("upstream-key-4711")
    log().info("event", one=KEY, two="upstream-key-4711")
    assert len(canaries.leaks()) == 2
