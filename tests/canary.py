"""Keys and prompts are in no log line, no metric and no error: watched in every test.

Whatever a test sends through ``tests.support.client``, or any client to a server of this process,
is a canary, and so is every ``Secret`` of its settings. Logs of every test pass through the real
redaction into a sink; they, every metric, the bodies of errors and the error events of streams are
searched when it ends. So is what servers in processes of their own write to stderr, and what they
answer to ``GET /metrics``.
"""

import gc
import logging
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

import deepseek_messages
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.settings import Secret
from deepseek_messages.telemetry import logs
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.wire.messages import MessagesRequest
from tests.support.client import Client, Reply, Stream

# Shorter words mean something else as well ("a", "me"), and so do numbers and words of ours.
SHORTEST_KEY = 4
SHORTEST_PROMPT = 5
LASTING_KEY = 6

MOST_PROMPTS = 2_000

# From this length on a word is looked for within others, too.
LONG = 12

SOURCE = Path(deepseek_messages.__file__).parent

CREDENTIALS = ("x-api-key", "authorization", "proxy-authorization")

# A test that makes a line hold a secret on purpose, to see what is watched.
MARK = "leaks_on_purpose"


class Watch:
    """What was said and what was told. One for the whole run; prompts are a test's own."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.prompts: set[str] = set()
        self.models: set[str] = set()  # names of models are told; some tests say the same words
        self.told: list[str] = []
        self.metrics: weakref.WeakSet[Metrics] = weakref.WeakSet()
        self.recent: list[Metrics] = []  # made by this test, which may have dropped them
        self.found: list[str] = []  # by this test, before it forgot what it had said

    def sent(self, body: object, headers: Any = None) -> None:
        """A request: its words and its credentials must not be told."""
        for name, value in dict(headers or {}).items():
            if str(name).lower() in CREDENTIALS:
                self.key(str(value).removeprefix("Bearer ").strip())
        if len(self.prompts) > MOST_PROMPTS:  # some tests send thousands of requests
            self.found = self.leaks()
            self.prompts.clear()
            self.told.clear()
        if isinstance(body, dict):
            self.models.add(str(body.get("model")))
            for name in ("system", "messages", "tools", "metadata"):
                self.prompts.update(_words(body.get(name)))

    def tell(self, text: str) -> None:
        """What a server told whoever may read its logs, metrics and errors."""
        self.told.append(text)

    def answered(self, status: int, body: bytes) -> None:
        """An answer: errors tell, also within a stream, and so do metrics."""
        text = body.decode("utf-8", "replace")
        if status >= 400 or text.startswith("# HELP"):
            self.tell(text)
        for event in text.split("\n\n"):
            if event.startswith("event: error"):
                self.tell(event)

    def key(self, value: str) -> None:
        """A credential."""
        if len(value) >= SHORTEST_KEY:
            self.keys.add(value)

    def leaks(self) -> list[str]:
        """Every key or prompt that was told, with the beginning of where."""
        places = dict.fromkeys([*self.told, *self._metrics()])
        names = "\0".join(self.models)
        prompts = [prompt for prompt in self.prompts if prompt not in names]
        keys = self.keys - self.models  # generated requests take their words from other tests
        return self.found + [
            f"{secret!r} in {place[:200]!r}"
            for place in places
            for secret in (*keys, *prompts)
            if secret in place and _stands_in(secret, place) and not _is_ours(secret)
        ]

    def _metrics(self) -> Iterator[str]:
        for metrics in {id(each): each for each in (*self.metrics, *self.recent)}.values():
            for family in metrics._registry.collect():
                for sample in family.samples:
                    yield " ".join(sample.labels.values())

    def forget(self) -> None:
        """The test has ended. Keys stay, since what was made for several tests is still in use; but
        for short ones, which are other tests' words.
        """
        self.keys = {key for key in self.keys if len(key) >= LASTING_KEY}
        self.prompts.clear()
        self.models.clear()
        self.told.clear()
        self.recent.clear()
        self.found.clear()


def _stands_in(secret: str, place: str) -> bool:
    """A short one counts only where it is a word of its own."""
    if len(secret) >= LONG:
        return True
    return re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", place) is not None


@lru_cache(maxsize=100_000)
def _is_ours(word: str) -> bool:
    """A number, or a word that this server says by itself: generated requests say them, too."""
    return word.isdecimal() or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", _source()) is not None


@cache
def _source() -> str:
    return "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))


def _words(value: object) -> Iterator[str]:
    """What a person or a tool said, in any depth; not the API's own words."""
    if isinstance(value, list):
        for each in value:
            yield from _words(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in ("type", "name", "role", "id", "tool_use_id", "media_type", "data"):
                yield from _words(each)
    elif isinstance(value, str) and len(value) >= SHORTEST_PROMPT:
        yield value


WATCH = Watch()


class _Tee:
    """Where a test wants its logs, with us reading along."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, text: str) -> Any:
        WATCH.tell(text)
        return self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


class _Sink:
    """A place for logs that nobody else wants."""

    def write(self, text: str) -> None:
        WATCH.tell(text)

    def flush(self) -> None:
        pass


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: the watched sink is to find something")
    _follow(Client, "send", lambda _, _method, _path, body=None, headers=None: (body, headers))
    _follow_answers()
    made_secret, made_metrics, configured = Secret.__init__, Metrics.__init__, logs.configure
    captured = structlog.testing.LogCapture.__call__

    def secret(self: Secret, value: str) -> None:
        made_secret(self, value)
        WATCH.key(value.strip())

    def metrics(self: Metrics, **options: Any) -> None:
        made_metrics(self, **options)
        WATCH.metrics.add(self)
        WATCH.recent.append(self)

    def configure(level: str = "info", style: Any = "console", out: Any = None) -> None:
        configured(level, style, None if out is None else _Tee(out))  # type: ignore[arg-type]

    def capture(self: Any, logger: Any, name: str, event: Any) -> Any:
        WATCH.tell(logs._as_json(logger, name, logs._redacted(logger, name, dict(event))))
        return captured(self, logger, name, event)

    _put(Secret, "__init__", secret)
    _put(Metrics, "__init__", metrics)
    _put(logs, "configure", configure)
    _put(structlog.testing.LogCapture, "__call__", capture)


def _put(place: Any, name: str, value: Any) -> None:
    setattr(place, name, value)


def _follow(place: Any, name: str, asked: Any) -> None:
    original = getattr(place, name)

    def sent(self: Any, *args: Any, **more: Any) -> Any:
        body, headers = asked(self, *args, **more)
        WATCH.sent(body, {**self.headers, **(headers or {})})
        return original(self, *args, **more)

    _put(place, name, sent)


def _follow_answers() -> None:
    """What reaches the answerer, whichever way: the SDKs, Claude Code, raw sockets. And what
    clients are told in errors.
    """
    original, quick, whole = Answerer.answer, Answerer.answer_now, Reply.__init__
    event = Stream.next

    async def answer(
        self: Any, request: MessagesRequest, caller: Any, *args: Any, **more: Any
    ) -> Any:
        WATCH.sent(msgspec.json.decode(msgspec.json.encode(request)))
        WATCH.key(caller.credential or "")
        return await original(self, request, caller, *args, **more)

    def answer_now(self: Any, request: MessagesRequest, caller: Any, *args: Any) -> Any:
        WATCH.sent(msgspec.json.decode(msgspec.json.encode(request)))
        WATCH.key(caller.credential or "")
        return quick(self, request, caller, *args)

    def reply(self: Any, status: int, headers: Any, body: bytes) -> None:
        whole(self, status, headers, body)
        WATCH.answered(status, body)

    _put(Answerer, "answer", answer)
    _put(Answerer, "answer_now", answer_now)

    def next_event(self: Any) -> Any:
        found = event(self)
        if found is not None and found["type"] == "error":
            WATCH.tell(str(found))
        return found

    _put(Reply, "__init__", reply)
    _put(Stream, "next", next_event)


@contextmanager
def _logs_read_along() -> Iterator[None]:
    """Logs go to the sink, unless a fixture of several tests captures them (seen there, too)."""
    logs._json_info, logs._pending = False, None  # of a server that ran in this process before
    processors = structlog.get_config()["processors"]
    if any(isinstance(each, structlog.testing.LogCapture) for each in processors):
        yield
        return
    structlog.configure(
        processors=[structlog.processors.add_log_level, logs._redacted, logs._as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=_Sink()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    forward = logs._Forward()
    logging.getLogger().addHandler(forward)
    yield
    logging.getLogger().removeHandler(forward)
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def canaries(request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Fails the test when something that was sent is told in a log, a metric or an error."""
    with _logs_read_along():
        yield WATCH
    logs.flush()
    leaks = WATCH.leaks()
    WATCH.forget()
    on_purpose = request.node.get_closest_marker(MARK) is not None
    if on_purpose:
        gc.collect()  # the metrics that hold it, or the next test would find them
    assert bool(leaks) == on_purpose, leaks
