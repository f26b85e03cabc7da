"""The context window: what Claude Code is told of it, compaction, and limits of the answer."""

from pathlib import Path

import pytest

from deepseek_messages.settings import AuthSettings, Secret
from deepseek_messages.upstreams.double import (
    AUTUMN_2025,
    Double,
    Finish,
    Seen,
    Text,
    Think,
)
from deepseek_messages.upstreams.double.script import Answer
from tests.conformance.claude_code.stage import (
    BASH,
    NEWEST,
    STRICT,
    TINY,
    Stage,
    messages,
    run,
    running_stage,
    said,
    status,
    succeeded,
)
from tests.support.claude import ClaudeCode
from tests.support.network import Network

SUMMARY = "<summary>The user counts. So far: numbers.</summary>"


def is_compaction(seen: Seen) -> bool:
    last = said(messages(seen.body or {}, "user")[-1])
    return "summary" in last and "<summary>" in last


class Counting:
    """A model that calls a tool with a long result ``rounds`` times, and summarises when asked.
    ``refusals`` are answers given instead, by the number of the request.
    """

    def __init__(self, rounds: int, refusals: dict[int, Answer] | None = None) -> None:
        self.left = rounds
        self.refusals = refusals or {}
        self.asked = 0
        self.compactions: list[Seen] = []

    def __call__(self, seen: Seen) -> Answer:
        self.asked += 1
        if self.asked in self.refusals:
            return self.refusals[self.asked]
        if is_compaction(seen):
            self.compactions.append(seen)
            return [Think("I sum up."), Text(SUMMARY)]
        if self.left == 0:
            return [Think("That is all."), Text("Counted.")]
        self.left -= 1
        return [Think(f"{self.left} more."), run("seq 1 4000")]


def test_compaction_by_count(stage: Stage, claude: ClaudeCode) -> None:
    claude.environment["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] = "60000"
    stage.respond = model = Counting(4)
    turn = succeeded(claude.turn("Count", *BASH))
    assert turn.text == "Counted."
    (compaction,) = model.compactions
    (boundary,) = turn.of("system", "compact_boundary")
    assert boundary["compact_metadata"]["trigger"] == "auto"
    number = stage.double.requests.index(compaction)
    assert stage.double.requests[number - 1].prompt_tokens < 60_000 - 33_000
    assert stage.double.requests[number + 1].prompt_tokens < compaction.prompt_tokens
    assert compaction.cached_tokens > 0.8 * compaction.prompt_tokens
    assert "numbers." in stage.double.requests[-1].prompt


def test_compaction_when_the_prompt_is_too_long(stage: Stage, claude: ClaudeCode) -> None:
    said_by_deepseek = (
        "This model's maximum context length is 131072 tokens. However, you requested 172000 "
        "tokens (140000 in the messages, 32000 in the completion). Please reduce the length of "
        "the messages or completion."
    )
    stage.respond = model = Counting(4, {4: status(400, said_by_deepseek)})
    turn = succeeded(claude.turn("Count", *BASH))
    assert turn.text == "Counted."
    assert len(model.compactions) == 1
    assert len(turn.of("system", "compact_boundary")) == 1
    assert "numbers." in stage.double.requests[-1].prompt


def test_largest_answer_is_lowered_to_what_the_model_gives(
    stage: Stage, claude: ClaudeCode
) -> None:
    said_by_deepseek = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
    stage.double.expect(status(400, said_by_deepseek), Text("Short."))
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == "Short."
    assert [seen.max_tokens for seen in stage.double.requests] == [32_000, 8_192]


def test_largest_answer_is_lowered_to_the_room_that_is_left(
    stage: Stage, claude: ClaudeCode
) -> None:
    said_by_deepseek = (
        "This model's maximum context length is 131072 tokens. However, you requested 132000 "
        "tokens (100000 in the messages, 32000 in the completion). Please reduce the length of "
        "the messages or completion."
    )
    stage.double.expect(status(400, said_by_deepseek), Text("Short."))
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == "Short."
    assert [seen.max_tokens for seen in stage.double.requests] == [32_000, 131_072 - 101_000]


def test_answer_that_was_cut_by_its_length_is_continued(stage: Stage, claude: ClaudeCode) -> None:
    stage.double.expect([Text("Half of the"), Finish("length")], Text(" answer."))
    turn = succeeded(claude.turn("Talk", *TINY))
    assert turn.text == " answer."
    first, second = stage.double.requests
    assert second.max_tokens > first.max_tokens
    assert said(messages(stage.sent(1), "assistant")[0]) == "Half of the"


@pytest.mark.parametrize("version", [NEWEST, STRICT])
def test_small_model_of_2025(network: Network, tmp_path: Path, version: str) -> None:
    """Answers of at most 8,192 tokens, no tools while thinking, a window of 128K."""
    double = Double([run("echo 1"), Text("One.")], models=AUTUMN_2025, enlarged_models=False)
    own_key = {"upstream": {"api_key": Secret("sk-own")}, "auth": AuthSettings(mode="open")}
    with running_stage(tmp_path, network, double=double, **own_key) as stage:
        turn = succeeded(stage.user(tmp_path, version=version).turn("Count to one"))
        stage.check()
    assert turn.text == "One."
    assert [seen.max_tokens for seen in double.requests] == [8_192, 8_192]
