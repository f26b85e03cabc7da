"""Model names as Claude Code sends them, and what differs in a request with each."""

from pathlib import Path

import pytest

from deepseek_messages.settings import AuthSettings, Secret
from deepseek_messages.upstreams.double import Text, Think
from tests.conformance.claude_code.stage import (
    NEWEST,
    STRICT,
    TINY,
    Stage,
    messages,
    run,
    running_stage,
    status,
    succeeded,
)
from tests.support.claude import ClaudeCode
from tests.support.network import Network

FLASH, PRO = "deepseek-flash", "deepseek-v4-pro"
UNSET = {
    f"ANTHROPIC_{name}": ""
    for name in (
        "MODEL",
        "SMALL_FAST_MODEL",
        "DEFAULT_HAIKU_MODEL",
        "DEFAULT_SONNET_MODEL",
        "DEFAULT_OPUS_MODEL",
        "DEFAULT_FABLE_MODEL",
    )
}


@pytest.mark.parametrize(
    ("version", "name", "served"),
    [
        (NEWEST, None, None),
        (NEWEST, "opus", PRO),
        (NEWEST, "haiku", FLASH),
        (NEWEST, "claude-sonnet-4-5", FLASH),
        (NEWEST, "deepseek-reasoner[1m]", FLASH),
        (NEWEST, "somebody/else:model", FLASH),
        (STRICT, "opus", PRO),
        (STRICT, "claude-sonnet-4-5", FLASH),
    ],
)
def test_name_is_served(
    stage: Stage, tmp_path: Path, version: str, name: str | None, served: str | None
) -> None:
    """Nothing is set but the address and the key."""
    user = stage.user(tmp_path, version=version, **UNSET)
    stage.double.expect([Think("One."), run("echo 1")], [Think("Two."), Text("Done.")])
    turn = succeeded(user.turn("Count to one", *(("--model", name) if name else ())))
    assert turn.text == "Done."
    assert {seen.body["model"] for seen in stage.double.requests if seen.body} == (
        {served} if served else {stage.sent(0)["model"]}
    )
    (replayed,) = messages(stage.sent(1), "assistant")
    if stage.double.requests[0].thinking:
        assert replayed["reasoning_content"] == "One."


@pytest.mark.parametrize(("effort", "sent"), [("low", "low"), ("max", "max")])
def test_effort(stage: Stage, claude: ClaudeCode, effort: str, sent: str) -> None:
    stage.double.expect([Think("Well."), Text("Done.")])
    succeeded(claude.turn("Talk", *TINY, "--effort", effort))
    assert stage.sent(0)["reasoning_effort"] == sent


def test_thinking_turned_off(stage: Stage, claude: ClaudeCode) -> None:
    claude.environment["MAX_THINKING_TOKENS"] = "0"
    stage.double.expect([Think("Not to be seen."), Text("Done.")])
    succeeded(claude.turn("Talk", *TINY))
    assert stage.sent(0)["thinking"] == {"type": "disabled"}
    assert not stage.double.requests[0].thinking


def test_fallback_model_is_used_when_the_first_is_busy(network: Network, tmp_path: Path) -> None:
    busy = status(503, "Server overloaded")
    upstream = {"upstream": {"api_key": Secret("sk-own")}, "auth": AuthSettings(mode="open")}
    with running_stage(tmp_path, network, **upstream) as stage:
        stage.double.expect(busy, busy, busy, [Think("Mine."), Text("From the other.")])
        user = stage.user(tmp_path, model=PRO, CLAUDE_CODE_MAX_RETRIES="5")
        turn = succeeded(user.turn("Talk", *TINY, "--fallback-model", FLASH))
        stage.check()
        assert [seen.body["model"] for seen in stage.double.requests if seen.body] == [
            PRO,
            PRO,
            PRO,
            FLASH,
        ]
    assert turn.text == "From the other."
