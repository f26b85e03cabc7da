"""One interactive session in a terminal: greeting, approval, /context, /model, interrupt, exit."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_messages.upstreams.double import Seen, Stall, Text, Think
from deepseek_messages.upstreams.double.script import Answer
from tests.conformance.claude_code.stage import Stage, messages, run, said
from tests.support.claude import ClaudeCode
from tests.support.gates import WAIT_SECONDS
from tests.support.terminal import ENTER, ESCAPE, Terminal, terminal


@contextmanager
def session(user: ClaudeCode, *options: str) -> Iterator[Terminal]:
    """A session of a user who has been through the first start's questions."""
    seen_before = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "projects": {str(user.work): {"hasTrustDialogAccepted": True}},
    }
    (user.folder / "home" / ".claude.json").write_text(json.dumps(seen_before))
    command = [str(user.binary), "--permission-mode", "default", *options]
    with terminal(user.start, command, cwd=user.work, env=user.variables()) as window:
        yield window


def model(seen: Seen) -> Answer:
    """Answers by what the user said last."""
    body = seen.body or {}
    last, role = said(messages(body, "user")[-1]), body["messages"][-1]["role"]
    if "response_format" in body:
        return Text('{"title": "Greetings"}')
    if "make a file" in last and role != "tool":
        return [Think("A file."), Text("I need the shell."), run("touch made-by-the-model")]
    if "make a file" in last:
        return [Think("Made."), Text("The file is there.")]
    if "talk for ever" in last:
        return [Think("On and on."), Text("One, two, three,\nfour"), Stall()]
    return [Think("A greeting."), Text("Good day to you.")]


def test_session(stage: Stage, claude: ClaudeCode) -> None:
    stage.respond = model
    claude.environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = ""  # asks for a title then
    with session(claude) as window:
        window.shows("deepseek-chat")
        window.type("hello there")
        window.press(ENTER)
        window.shows("Good day to you.")
        check_approval(window, claude)
        check_context(window, stage)
        check_interrupt(window, stage)
        check_model(window)
        window.type("/exit")
        window.press(ENTER)
        assert window.ended() == 0
    check_title(stage)


def check_approval(window: Terminal, claude: ClaudeCode) -> None:
    made = claude.work / "made-by-the-model"
    window.type("make a file")
    window.press(ENTER)
    window.shows("Do you want to proceed?")
    assert not made.exists()
    window.answer(ENTER, "Do you want to proceed?")
    window.shows("The file is there.")
    assert made.exists()


def check_context(window: Terminal, stage: Stage) -> None:
    used = stage.double.requests[-1].prompt_tokens
    window.type("/context")
    window.press(ENTER)
    window.shows("/131.1k tokens")
    shown = re.search(r"([\d.]+)k/131.1k tokens", window.text)
    assert shown
    assert abs(float(shown[1]) * 1000 - used) < 1500


def check_interrupt(window: Terminal, stage: Stage) -> None:
    window.type("talk for ever")
    window.press(ENTER)
    window.shows("One, two, three,")
    window.press(ESCAPE)
    window.shows("Interrupted")
    last = stage.double.requests[-1]
    assert last.ended.wait(WAIT_SECONDS)
    assert last.outcome == "client gone"


def check_model(window: Terminal) -> None:
    window.type("/model")
    window.press(ENTER)
    window.shows("Select model")
    assert "deepseek-chat ✔" in window.text
    window.answer(ESCAPE, "Select model")


def check_title(stage: Stage) -> None:
    (title,) = [seen for seen in stage.double.requests if "response_format" in (seen.body or {})]
    assert title.outcome == "whole"
    assert title.body
    assert title.body["response_format"] == {"type": "json_object"}
    assert not title.thinking
