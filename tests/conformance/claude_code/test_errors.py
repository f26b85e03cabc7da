"""Failures, as Claude Code meets them: what it repeats, what it tells, when it stops."""

import signal
from pathlib import Path

import pytest

from deepseek_messages.settings import ServerSettings
from deepseek_messages.upstreams.double import (
    Call,
    Cut,
    Delay,
    Double,
    Finish,
    Frame,
    Stall,
    Status,
    Step,
    Text,
    Think,
)
from tests.conformance.claude_code.stage import (
    BASH,
    TINY,
    Stage,
    conversation,
    messages,
    running_stage,
    status,
    succeeded,
)
from tests.support.claude import ClaudeCode, Turn
from tests.support.client import HELLO
from tests.support.gates import WAIT_SECONDS
from tests.support.network import Network


def failed(turn: Turn) -> str:
    """What the user reads when the turn ended in an error."""
    assert turn.exit_code == 1
    assert turn.result["is_error"] is True
    return turn.text


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (status(429, "Rate limit reached", retry_after="0"), 429),
        (status(503, "Server overloaded"), 529),
        (status(500, "Server error"), 500),
        (Status(502, b"<html><h1>502 Bad Gateway</h1></html>", {"content-type": "text/html"}), 502),
    ],
    ids=["429", "503", "500", "502-html"],
)
def test_passing_trouble_is_tried_again(
    stage: Stage, claude: ClaudeCode, answer: Status, shown: int
) -> None:
    stage.double.expect(answer, Text("Now it works."))
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == "Now it works."
    (retry,) = turn.of("system", "api_retry")
    assert retry["error_status"] == shown
    assert stage.count == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (status(429, "Rate limit reached for you", retry_after="0"), "Rate limit reached for you"),
        (status(503, "No capacity today"), "No capacity today"),
    ],
    ids=["429", "503"],
)
def test_trouble_that_stays_is_told_in_the_upstreams_words(
    stage: Stage, claude: ClaudeCode, answer: Status, words: str
) -> None:
    stage.double.expect(answer, answer)
    assert words in failed(claude.turn("Talk", *TINY))
    assert stage.count == 2


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        ("sk-invalid-key", 401, "Authentication Fails"),
        ("sk-empty-balance", 402, "Insufficient Balance"),
    ],
)
def test_key_that_cannot_be_used_ends_the_turn_at_once(
    network: Network, tmp_path: Path, key: str, code: int, words: str
) -> None:
    with running_stage(tmp_path, network) as stage:
        user = stage.user(tmp_path)
        user.key = key
        turn = user.turn("Talk", *TINY)
        assert words in failed(turn)
        assert turn.result["api_error_status"] == code
        assert turn.of("system", "api_retry") == []
        assert stage.count == 1


ERROR = Frame('{"error": {"message": "The engine fell over", "type": "server_error"}}')


@pytest.mark.parametrize("broken", [[ERROR], [Cut()]], ids=["error", "cut"])
def test_answer_that_breaks_before_its_first_word_is_asked_again(
    stage: Stage, claude: ClaudeCode, broken: list[Step]
) -> None:
    stage.double.expect(broken, Text("Whole."))
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == "Whole."
    assert stage.count == 2


@pytest.mark.parametrize("end", [ERROR, Cut()], ids=["error", "cut"])
def test_answer_that_breaks_in_the_middle_is_finished(
    stage: Stage, claude: ClaudeCode, end: Step
) -> None:
    stage.double.expect([Think("Well."), Text("One, two,"), end], Text("three."))
    turn = succeeded(claude.turn("Count to three", *TINY))
    assert turn.text.endswith("three.")
    assert stage.count == 2


@pytest.mark.parametrize("written", ['{"command": "touch ran', '{"command": "touch ran"'])
def test_tool_call_that_breaks_is_not_run(stage: Stage, claude: ClaudeCode, written: str) -> None:
    """Half a command may be a different, harmful command."""
    half = Call("Bash", written, verbatim=True)
    stage.double.expect([half, Cut()], Text("Not done."))
    turn = succeeded(claude.turn("Make a file", *BASH))
    assert turn.text == "Not done."
    assert not list(claude.work.iterdir())
    assert stage.count == 2
    assert messages(stage.sent(1), "assistant") == [], "the half call is no part of the history"


def test_silent_upstream_is_given_up_and_asked_again(network: Network, tmp_path: Path) -> None:
    double = Double([[Think("Well"), Stall()], Text("Awake.")])
    limits = {"idle_timeout": 10.0}  # far more than the answer that is asked for again takes
    with running_stage(tmp_path, network, double=double, upstream=limits) as stage:
        turn = succeeded(stage.user(tmp_path).turn("Talk", *TINY))
        stage.check()
    assert turn.text == "Awake."
    assert double.requests[0].ended.wait(WAIT_SECONDS)
    assert double.requests[0].outcome == "client gone"


def test_slow_prompt_is_bridged_by_an_early_start_and_pings(
    network: Network, tmp_path: Path
) -> None:
    """The client would give up after ten seconds without headers."""
    double = Double([Text("Warm."), [Delay(12.0), Text("At last.")]])
    pace = ServerSettings(commit_after=0.2, ping_interval=0.2)
    with running_stage(tmp_path, network, double=double, server=pace) as stage:
        assert stage.ask("/v1/messages", HELLO).status == 200  # all is loaded
        user = stage.user(tmp_path, API_TIMEOUT_MS="10000")
        turn = succeeded(user.turn("Talk", *TINY))
        stage.check()
    assert turn.text == "At last."
    assert turn.of("system", "api_retry") == []
    assert len(double.requests) == 2


@pytest.mark.parametrize("step", [Stall(), Delay(600.0)], ids=["mid-answer", "before-answer"])
def test_interrupt_stops_the_upstream(stage: Stage, claude: ClaudeCode, step: Step) -> None:
    stage.double.expect([step] if isinstance(step, Delay) else [Text("One, two"), step])
    running = claude.begin("Count", *TINY)
    try:
        seen = stage.double.request(0)
        running.process.send_signal(signal.SIGINT)
        assert seen.ended.wait(WAIT_SECONDS), "the upstream still works"
        assert seen.outcome == "client gone"
    finally:
        running.turn()
    assert stage.count == 1


def test_answer_stopped_by_the_content_filter_is_told(stage: Stage, claude: ClaudeCode) -> None:
    filtered = [Text("I may not say"), Finish("content_filter")]
    stage.double.expect(filtered, filtered)
    turn = claude.turn("Talk", *TINY)
    assert turn.result["stop_reason"] == "refusal"
    assert turn.result["safety_stops"] == 2
    assert "can't help" in failed(turn)


def test_answer_without_words_is_asked_for_again(stage: Stage, claude: ClaudeCode) -> None:
    stage.double.expect([Think("Only a thought.")], [Think("Now."), Text("A word.")])
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == "A word."
    assert "no visible output" in conversation(stage.sent(1))
