"""Conversations with the real Claude Code: text, tools, thinking, resuming."""

import itertools
from pathlib import Path

import pytest

from deepseek_messages.upstreams.double import Call, Double, Text, Think
from tests.conformance.claude_code.stage import (
    BASH,
    NEWEST,
    STRICT,
    Stage,
    call,
    messages,
    run,
    running_stage,
    said,
    succeeded,
)
from tests.support.claude import ClaudeCode
from tests.support.network import Network, reaches


def test_programs_of_the_tests_reach_nothing_but_their_own_loopback(
    network: Network, stage: Stage
) -> None:
    if not network.isolated:
        pytest.skip("this system gives no network namespaces")
    with network.listen() as inside:
        address = inside.getsockname()
        assert network.call(lambda: reaches(address))
        assert not reaches(address)
        assert not network.call(lambda: reaches(("192.0.2.1", 80)))


def test_first_answer(stage: Stage, either: ClaudeCode) -> None:
    stage.double.expect([Think("A greeting."), Text("Hello there.")])
    turn = succeeded(either.turn("Say hi"))
    assert turn.text == "Hello there."
    (seen,) = stage.double.requests
    assert seen.thinking
    assert "x-anthropic-billing-header" not in seen.prompt
    usage = turn.result["usage"]
    told = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert told + usage["cache_creation_input_tokens"] == seen.prompt_tokens
    assert usage["output_tokens"] > 0
    assert turn.result["modelUsage"]["deepseek-chat"]["contextWindow"] == 131_072
    thoughts = [
        block["thinking"]
        for line in turn.of("assistant")
        for block in line["message"]["content"]
        if block["type"] == "thinking"
    ]
    assert thoughts == ["A greeting."]


def test_tool_loop_writes_edits_and_runs_a_file(stage: Stage, either: ClaudeCode) -> None:
    script = either.work / "greet.sh"
    stage.double.expect(
        [Text("I write it."), call("Write", file_path=str(script), content="echo helo\n")],
        call("Edit", file_path=str(script), old_string="helo", new_string="hello from the file"),
        run(f"sh {script}"),
        Text("It works."),
    )
    turn = succeeded(either.turn("Make a greeting script and run it"))
    assert turn.text == "It works."
    assert script.read_text() == "echo hello from the file\n"
    assert stage.count == 4
    results = messages(stage.sent(3), "tool")
    assert len(results) == 3
    assert "hello from the file" in said(results[2])


def test_parallel_tools(stage: Stage, either: ClaudeCode) -> None:
    stage.double.expect([run("echo first"), run("echo second"), run("echo third")], Text("Done."))
    succeeded(either.turn("Run three commands"))
    sent = stage.sent(1)
    (asked,) = messages(sent, "assistant")
    ids = [each["id"] for each in asked["tool_calls"]]
    assert len(set(ids)) == 3
    results = {each["tool_call_id"]: said(each) for each in messages(sent, "tool")}
    assert [results[each] for each in ids] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (run("echo some output; exit 3"), "some output"),
        (call("Read", file_path="/nowhere/at/all"), "does not exist"),
        (call("NoSuchTool", x=1), "NoSuchTool"),
        (call("Bash", wrong=1), "command"),
    ],
    ids=["exit-code", "missing-file", "unknown-tool", "wrong-input"],
)
def test_failing_tool_is_told_to_the_model(
    stage: Stage, claude: ClaudeCode, wrong: Call, complaint: str
) -> None:
    stage.double.expect(wrong, Text("I see."))
    turn = succeeded(claude.turn("Try something", *BASH))
    assert turn.text == "I see."
    results = messages(stage.sent(1), "tool")
    assert len(results) == 1
    assert complaint in said(results[0])


def test_call_whose_arguments_are_no_json_is_asked_for_again(
    stage: Stage, claude: ClaudeCode
) -> None:
    stage.double.expect(Call("Bash", '{"command": "echo', verbatim=True), Text("I see."))
    turn = succeeded(claude.turn("Try something", *BASH))
    assert turn.text == "I see."
    assert messages(stage.sent(1), "assistant") == []


def test_thinking_with_tools_over_five_rounds(stage: Stage, either: ClaudeCode) -> None:
    thoughts = [f"Round {number}: I need the shell." for number in range(5)]
    stage.double.expect(
        *([Think(thought), run(f"echo {n}")] for n, thought in enumerate(thoughts)),
        [Think("Enough."), Text("Five rounds.")],
    )
    turn = succeeded(either.turn("Count"))
    assert turn.text == "Five rounds."
    replayed = messages(stage.sent(5), "assistant")
    assert [message["reasoning_content"] for message in replayed] == thoughts
    prompts = [seen.prompt for seen in stage.double.requests]
    for earlier, later in itertools.pairwise(prompts):
        assert later.startswith(earlier)
    assert all(seen.cached_tokens > 0.9 * seen.prompt_tokens for seen in stage.double.requests[1:])


def test_reasoning_that_is_not_displayed_comes_back(stage: Stage, claude: ClaudeCode) -> None:
    claude.output = ("--output-format", "json")
    stage.double.expect([Think("Hidden thought."), run("echo 1")], [Think("Again."), Text("One.")])
    turn = succeeded(claude.turn("Count to one"))
    assert turn.text == "One."
    (replayed,) = messages(stage.sent(1), "assistant")
    assert replayed["reasoning_content"] == "Hidden thought."


@pytest.mark.parametrize("version", [NEWEST, STRICT])
def test_session_is_resumed_after_the_server_was_restarted(
    network: Network, tmp_path: Path, version: str
) -> None:
    script = [
        [Think("A thought nobody sees."), run("echo 1")],
        [Think("The end."), Text("One.")],
        [Think("More."), Text("Two.")],
    ]
    double = Double(script)
    with running_stage(tmp_path, network, double=double) as before:
        user = before.user(tmp_path, version=version)
        user.output = ("--output-format", "json")
        first = succeeded(user.turn("Count to one"))
    with running_stage(tmp_path, network, double=double) as after:
        user.base_url = after.base_url
        second = succeeded(user.turn("Count on", "--resume", first.result["session_id"]))
        after.check()
    assert (first.text, second.text) == ("One.", "Two.")
    replayed = messages(after.sent(2), "assistant")
    assert [each.get("reasoning_content") for each in replayed] == [
        "A thought nobody sees.",
        "The end.",
    ]
    assert double.requests[2].prompt.startswith(double.requests[1].prompt)
