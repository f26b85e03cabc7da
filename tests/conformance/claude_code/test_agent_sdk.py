"""The Claude Agent SDK, which brings the same Claude Code along."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.upstreams.double import Text, Think
from tests.conformance.claude_code.stage import Stage, call, messages, run, said
from tests.support import toolchain

DRIVER = Path(__file__).parent / "sdk_driver.py"
SECONDS = 600  # only ever reached by a test that fails

JSON = dict[str, Any]


class Agent:
    """A program that uses the SDK, in its own environment and an empty folder."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage = stage
        self.user = stage.user(folder)

    def do(self, scenario: str) -> JSON:
        """Run a scenario to its end; what the SDK handed out."""
        variables = self.user.variables()
        python = toolchain.agent_sdk()
        process = self.stage.network.start(
            [str(python), str(DRIVER), scenario, json.dumps({"env": variables})],
            cwd=self.user.work,
            env={"PATH": "/usr/bin:/bin", "HOME": variables["HOME"], "TMPDIR": variables["TMPDIR"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        assert process.returncode == 0, err[-3000:]
        facts: JSON = json.loads(out)
        return facts


@pytest.fixture
def agent(stage: Stage, tmp_path: Path) -> Agent:
    return Agent(stage, tmp_path)


def texts(facts: JSON) -> list[str]:
    assert [result["error"] for result in facts["results"]] == [False] * len(facts["results"])
    return [result["text"] for result in facts["results"]]


def test_query(stage: Stage, agent: Agent) -> None:
    stage.double.expect([Think("A greeting."), Text("Hello there.")])
    facts = agent.do("ask")
    assert texts(facts) == ["Hello there."]
    assert facts["thinking"] == ["A greeting."]
    (seen,) = stage.double.requests
    usage = facts["results"][0]["usage"]
    inputs = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert sum(usage[name] for name in inputs) == seen.prompt_tokens


@pytest.mark.parametrize("scenario", ["stream_input", "converse"])
def test_several_questions_in_one_session(stage: Stage, agent: Agent, scenario: str) -> None:
    stage.double.expect([Think("One."), Text("First.")], [Think("Two."), Text("Second.")])
    assert texts(agent.do(scenario)) == ["First.", "Second."]
    (replayed,) = messages(stage.sent(1), "assistant")
    assert replayed["reasoning_content"] == "One."
    assert said(messages(stage.sent(1), "user")[-1]) == "Second question"


def test_tools_of_the_program_itself(stage: Stage, agent: Agent) -> None:
    add = call("mcp__sums__add", a=2, b=3.5)
    stage.double.expect([Think("I add."), add], Text("5.5"), Text("Nothing more."))
    facts = agent.do("own_tools")
    assert texts(facts) == ["5.5", "Nothing more."]
    assert facts["calls"] == [["mcp__sums__add", {"a": 2, "b": 3.5}]]
    assert said(messages(stage.sent(1), "tool")[0]) == "The sum is 5.5"


def test_hooks(stage: Stage, agent: Agent) -> None:
    stage.double.expect(
        run("echo fine"), run("touch forbidden"), Text("One done."), Text("Nothing more.")
    )
    facts = agent.do("hooks")
    assert texts(facts)[0] == "One done."
    assert facts["hooks"] == [
        ["PreToolUse", "echo fine"],
        ["PostToolUse", "echo fine"],
        ["PreToolUse", "touch forbidden"],
    ]
    allowed, denied = messages(stage.sent(2), "tool")
    assert said(allowed) == "fine"
    assert "not this one" in said(denied)
    assert not (agent.user.work / "forbidden").exists()


def test_permission_callback(stage: Stage, agent: Agent) -> None:
    stage.double.expect(
        run("touch something"), run("touch forbidden"), Text("One done."), Text("Nothing more.")
    )
    facts = agent.do("permissions")
    assert texts(facts)[0] == "One done."
    assert facts["asked"] == [["Bash", "touch something"], ["Bash", "touch forbidden"]]
    assert [path.name for path in agent.user.work.iterdir()] == ["allowed"]
    assert "no, thank you" in said(messages(stage.sent(2), "tool")[1])


def test_structured_output(stage: Stage, agent: Agent) -> None:
    stage.double.expect(call("StructuredOutput", age=7))
    facts = agent.do("structured")
    assert facts["results"][0]["structured"] == {"age": 7}
