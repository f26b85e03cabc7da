"""Keys and the words of a conversation are in no log line, no metric and no error."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from deepseek_messages.telemetry import logs
from deepseek_messages.translation.faults import Fault, FaultKind
from tests.support.app import served
from tests.support.client import HELLO, STREAM
from tests.support.fake import FINISH, OPEN, FakeUpstream, text

KEY = "sk-canary0123456789abcdef"
WORDS = "canary-words-of-a-conversation"

SECRETS = [KEY, WORDS]

PROMPT = HELLO | {
    "system": WORDS,
    "messages": [{"role": "user", "content": WORDS}],
    "metadata": {"user_id": WORDS},
    "tools": [{"name": "t", "description": WORDS, "input_schema": {"type": "object"}}],
}

SCRIPTS = {
    "whole": [text(WORDS), FINISH],
    "fault": [Fault(FaultKind.REFUSED, "slow down", status=429), OPEN],
    "cut": [text(WORDS)],
    "bug": [text("a"), ValueError(f"{WORDS} {KEY}")],
    "bug while opening": [ValueError(f"{WORDS} {KEY}"), OPEN],
}


@pytest.fixture(params=["json", "console"])
def log_lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    logs.configure("debug", request.param, out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_answers(script: list[object], stream: bool, log_lines: io.StringIO) -> None:
    body = PROMPT | {"stream": stream}
    upstream = FakeUpstream(script)  # type: ignore[arg-type]
    with served(upstream, auth={"mode": "pass-through"}) as s:
        reply = s.client.ask("POST", f"/v1/messages?key={KEY}", body, {"x-api-key": KEY})
        metrics = s.client.get("/metrics").body.decode()
    told = log_lines.getvalue() + metrics
    assert reply.headers["request-id"] in told
    if reply.status != 200:
        told += reply.body.decode()
    for secret in SECRETS:
        assert secret not in told
    assert KEY not in reply.body.decode()


REFUSED = {
    "no JSON": f'{{"messages": "{WORDS}" {KEY}'.encode(),
    "wrong type": {"model": "m", "max_tokens": 1, "messages": WORDS},
    "wrong content": HELLO | {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    "wrong role": HELLO | {"messages": [{"role": "nobody", "content": WORDS}]},
    "unknown block": HELLO
    | {"messages": [{"role": "user", "content": [{"type": "text", "text": 7, "x": WORDS}]}]},
    "no messages": HELLO | {"messages": [], "system": WORDS},
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refusals(body: object, log_lines: io.StringIO) -> None:
    with served(auth={"mode": "pass-through"}) as s:
        reply = s.client.ask("POST", "/v1/messages", body, {"authorization": f"Bearer {KEY}"})
        told = log_lines.getvalue() + s.client.get("/metrics").body.decode()
    assert reply.status == 400
    told += reply.body.decode()
    for secret in SECRETS:
        assert secret not in told


def test_a_wrong_key_is_not_repeated(log_lines: io.StringIO) -> None:
    with served(auth={"mode": "keys"}) as s:
        reply = s.client.ask("POST", "/v1/messages", PROMPT, {"authorization": f"Bearer {KEY}"})
        told = log_lines.getvalue() + s.client.get("/metrics").body.decode()
    assert reply.status == 401
    assert KEY not in told + reply.body.decode() + str(reply.headers)


def test_what_libraries_log_is_redacted_too(log_lines: io.StringIO) -> None:
    library = logging.getLogger("some.package")
    library.warning("connecting with Bearer %s", KEY)
    try:
        int(f"{WORDS} {KEY}")
    except ValueError:
        library.exception("it failed")
    told = log_lines.getvalue()
    assert "it failed" in told
    assert "ValueError" in told
    for secret in SECRETS:
        assert secret not in told


def test_a_stream_that_ends_badly_does_not_repeat_the_bug(log_lines: io.StringIO) -> None:
    with served(FakeUpstream(SCRIPTS["bug"])) as s:  # type: ignore[arg-type]
        body = s.client.post(STREAM).body.decode()
    assert WORDS not in body + log_lines.getvalue()
