"""One line per request; JSON that machines read; levels."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog

from deepseek_messages.telemetry import logs
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def configured(level: str = "info", style: logs.LogFormat = "json") -> io.StringIO:
    out = io.StringIO()
    logs.configure(level, style, out)
    return out


def record(outcome: Outcome = Outcome.SERVED) -> RequestRecord:
    made = RequestRecord("req_1", method="POST", path="/v1/messages", status=200, outcome=outcome)
    made.model = "deepseek-flash"
    made.tokens = Tokens(input=1, cache_read=2, cache_creation=3, output=4)
    made.notes = ("ignored=top_k",)
    made.mark_first_event()
    made.mark_ended()
    return made


@pytest.mark.usefixtures("restored")
def test_a_request_is_one_line_of_json() -> None:
    out = configured()
    logs.log_request(record())
    (line,) = out.getvalue().splitlines()
    told = json.loads(line)
    assert told["event"] == "request"
    assert told["level"] == "info"
    assert told["request_id"] == "req_1"
    assert told["outcome"] == "served"
    assert told["tokens"] == {"in": 1, "cache_read": 2, "cache_creation": 3, "out": 4}
    assert told["notes"] == ["ignored=top_k"]
    assert told["ms"] >= told["first_event_ms"] >= 0


@pytest.mark.usefixtures("restored")
def test_who_was_tried_before_is_told() -> None:
    out = configured()
    served = record()
    served.upstream, served.tried = "own", ("deepseek=connect",)
    logs.log_request(served)
    told = json.loads(out.getvalue())
    assert (told["upstream"], told["tried"]) == ("own", ["deepseek=connect"])


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("outcome", [Outcome.FAULT, Outcome.BUG])
def test_what_needs_a_look_is_a_warning(outcome: Outcome) -> None:
    out = configured("warning")
    logs.log_request(record())
    logs.log_request(record(outcome))
    assert [json.loads(line)["outcome"] for line in out.getvalue().splitlines()] == [outcome.value]


@pytest.mark.usefixtures("restored")
def test_the_console_is_for_people() -> None:
    out = configured(style="console")
    logs.log_request(record())
    assert "request_id=req_1" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.usefixtures("restored")
def test_libraries_are_heard_from_warnings_on() -> None:
    out = configured("debug")
    logging.getLogger("library").info("not this")
    logging.getLogger("library").warning("but %s", "this")
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["event"] == "but this"
    assert json.loads(line)["logger"] == "library"


@pytest.mark.usefixtures("restored")
def test_values_that_are_no_json_are_told_as_text() -> None:
    out = configured()
    logs.log().info("odd", value=Outcome, other={1, 2})
    assert json.loads(out.getvalue())["event"] == "odd"


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(KeyError):
        logs.configure("loud")


@pytest.mark.usefixtures("restored")
def test_probes_are_only_told_when_they_fail() -> None:
    out = configured()
    for path, outcome in (("/healthz", Outcome.SERVED), ("/readyz", Outcome.REFUSED)):
        probe = record(outcome)
        probe.path = path
        logs.log_request(probe)
    assert [json.loads(line)["path"] for line in out.getvalue().splitlines()] == ["/readyz"]


def test_no_thread_logs_before_the_logs_are_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def set_up(*_: object) -> None:
        calls.append(len(calls))
        if len(calls) == 1:  # meanwhile, in another thread
            thread = threading.Thread(target=logs.log)
            thread.start()
            thread.join()

    monkeypatch.setattr(logs, "_pending", ())
    monkeypatch.setattr(logs, "_set_up", set_up)
    logs.log()
    assert calls == [0, 1]
    logs.log()
    assert calls == [0, 1]


NO_FILES = """
import resource
from deepseek_messages.telemetry import logs
logs.configure("info", "{style}")
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
logs.log().debug("too small to be told")
logs.log().warning("first", why="Bearer sk-canary0123456789", messages="words")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
logs.log().warning("second")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_is_told_also_while_no_file_can_be_opened(style: str) -> None:
    """Which is when something is to be told; structlog is loaded later then."""
    code = NO_FILES.replace("{style}", style)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    told = json.loads(first)
    assert (told["event"], told["level"]) == ("first", "warning")
    assert (told["why"], told["messages"]) == ("[hidden]", "[hidden]")
    assert "second" in second
    assert second.startswith("{") == (style == "json")
