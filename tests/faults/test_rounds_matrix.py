"""Every fault at every stage of an answer that takes several calls of the upstream: structured
output that is written anew, a tool of this server, a forced call that is asked for again.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deepseek_messages.translation.faults import FaultKind
from tests.faults.cells import (
    FAULTS,
    FINISH,
    STAGES,
    USAGE_FRAME,
    WAYS,
    at_once,
    fault_told,
    played,
)
from tests.faults.chat_bytes import DONE, delta, tool_delta
from tests.faults.rig import Rig, check, running_rig
from tests.support.client import Reply
from tests.support.servers import Step, chunk

MODELS = b'{"object": "list", "data": [{"id": "deepseek-v4-flash", "object": "model"}]}'

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather now.", "input_schema": SCHEMA}
SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}

FORMAT = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
SEARCHING = {"tools": [SEARCH, WEATHER | {"defer_loading": True}]}
FORCED = {"tools": [WEATHER], "tool_choice": {"type": "any"}}


def ended(*frames: bytes) -> list[Step]:
    """A streamed answer that comes whole."""
    return played(b"".join([*frames, USAGE_FRAME]), [chunk(DONE), chunk(b"")])


def search() -> list[Step]:
    function = {"name": SEARCH["name"], "arguments": json.dumps({"query": "weather"})}
    call = {"index": 0, "id": "call_s", "type": "function", "function": function}
    return ended(delta(tool_calls=[call]), delta("tool_calls"))


NOT_JSON = ended(delta(content="Nope"), FINISH)
CALLED = ended(tool_delta('{"city": "Rome"}', first=True), delta("tool_calls"))

# What is asked for, and how the first call of the upstream ends.
SECOND_CALLS: dict[str, tuple[dict[str, Any], list[Step]]] = {
    "structured output that is written anew": (FORMAT, NOT_JSON),
    "after a search of tools": (SEARCHING, search()),
}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig(MODELS, kind="chat", dialect="deepseek") as running:
        yield running


def calls(rig: Rig, body: object, *scripts: list[Step]) -> tuple[Reply, int]:
    """The answer, and how often the upstream was called for it."""
    before = len(rig.upstream.connections)
    reply = rig.play(scripts, body)
    return reply, len(rig.upstream.connections) - before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("what", SECOND_CALLS)
def test_a_fault_within_the_second_call(
    rig: Rig, what: str, stage: str, fault: str, way: str
) -> None:
    more, first = SECOND_CALLS[what]
    sent, text, complete = STAGES[stage]
    told = fault_told(stage, fault)
    if complete and told is None and more is FORMAT:
        told = FaultKind.GARBAGE  # it is no JSON this time either
    reply, called = calls(rig, WAYS[way] | more, first, played(sent, FAULTS[fault][0]))
    check(reply, rig.recorded, told)
    assert called == 2
    tokens = rig.recorded["tokens"]
    assert tokens["in"] == (14 if "usage," in stage else 7)
    assert tokens["out"] > 3 or not text  # 3 of them are the first call's
    assert b"Nope" not in reply.body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_a_forced_call(rig: Rig, stage: str, fault: str, way: str) -> None:
    """What is no call is asked for anew, and paid for; what broke otherwise is told."""
    sent, text, complete = STAGES[stage]
    told = fault_told(stage, fault)
    held_back = bool(text) and stage != "half a tool call"
    again = held_back and (told is FaultKind.GARBAGE or (complete and told is None))
    first = played(sent, at_once(FAULTS[fault][0], told))
    reply, called = calls(rig, WAYS[way] | FORCED, first, CALLED)
    check(reply, rig.recorded, None if again else told)
    assert called == 1 + again
    assert (b"Rome" in reply.body) == again
    if text:
        assert rig.recorded["tokens"]["out"] > 3 * again
    if "usage," in stage:
        assert rig.recorded["tokens"]["in"] == 7 * called
