"""Every fault at every stage of an answer in tokens, from each kind of server, through the whole
server: what its client gets, what is recorded, and that nothing is left behind.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.upstreams.tokens.servers import TOKEN_SERVERS
from deepseek_messages.wire.chat import AssistantMessage, FunctionCall, ToolCall
from tests.faults.cells import BEFORE, FAULTS, STATUSES, WAYS, fault_told, played
from tests.faults.chat_bytes import DONE, frame
from tests.faults.rig import Rig, check, running_rig
from tests.support.client import STREAM
from tests.support.servers import (
    Cut,
    ReadRequest,
    Stall,
    Step,
    answer,
    assert_lawful,
    chunk,
    chunked_sse_head,
    error_of,
)
from tests.support.token_route import chat, written
from tests.support.token_server import TokenServerFake

SERVERS = sorted(TOKEN_SERVERS)
TOOL = {"name": "get_weather", "input_schema": {"type": "object"}}
THINKING = {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}


@cache
def call_text() -> str:
    """A call as the model writes it, cut inside an argument."""
    call = ToolCall("c", FunctionCall("get_weather", '{"city": "Paris"}'))
    text = written(chat(), AssistantMessage(content="", tool_calls=[call]), "v4.1")
    return text[: text.index("Paris") + 3]


def events(kind: str, text: str) -> list[bytes]:
    """The frames of a whole answer."""
    fake = TokenServerFake(kind, text)
    fake.asked = [{"prompt": [1] * 7}]
    return [frame(each) for each in fake.events()]


def begun(kind: str, text: str) -> bytes:
    """Frames of an answer that has come as far as ``text`` and goes on."""
    every = events(kind, text)
    end = {"vllm": 2, "sglang": 1, "llama.cpp": 2}[kind]
    return b"".join(every[:-end])


def finished(kind: str) -> bytes:
    """Frames up to the finish reason; its figures come apart with vLLM only."""
    every = events(kind, "Hi")
    return b"".join(every[:-1] if kind == "vllm" else every)


# The stage's name: the frames sent so far, whether the answer has its end, what is asked for.
STAGES: dict[str, tuple[Any, bool, dict[str, Any]]] = {
    "after headers": (lambda kind: b"", False, {}),
    "inside the first frame": (lambda kind: events(kind, "never whole")[0][:25], False, {}),
    "mid text": (lambda kind: begun(kind, "Hello there, my friend"), False, {}),
    "mid thinking": (lambda kind: begun(kind, "Let me see"), False, THINKING),
    "half a tool call": (lambda kind: begun(kind, call_text()), False, {"tools": [TOOL]}),
    "after finish, before usage": (finished, True, {}),
    "after usage, before [DONE]": (lambda kind: b"".join(events(kind, "Hi")), True, {}),
}
COUNTED = tuple(STAGES)[2:]  # what was seen of the answer has tokens


def piece(kind: str, ids: list[Any], **more: Any) -> bytes:
    """One event with these token ids."""
    match kind:
        case "vllm":
            return frame({"choices": [{"index": 0, "text": "", "token_ids": ids}], **more})
        case "sglang":
            meta = {"completion_tokens": 99, "finish_reason": None, **more}
            return frame({"text": "", "output_ids": ids, "meta_info": meta})
        case _:
            return frame({"content": "", "tokens": ids, "stop": False, **more})


# What comes, and which fault it is by itself; the end of the body follows.
OWN: dict[str, tuple[Callable[[str], bytes], FaultKind | None]] = {
    "a token that does not exist": (lambda kind: piece(kind, [10**12]), FaultKind.GARBAGE),
    "a negative token": (lambda kind: piece(kind, [-1]), FaultKind.GARBAGE),
    "tokens that are no numbers": (lambda kind: piece(kind, ["a", None, 1.5]), None),
    "an error in the stream": (
        lambda kind: frame({"error": {"message": "the node died"}}),
        FaultKind.REPORTED,
    ),
    "an HTML page": (lambda kind: b"<!doctype html><p>502\n\n", None),
    "invalid UTF-8": (lambda kind: b'data: {"text":"\xff"}\n\n', FaultKind.GARBAGE),
    "NaN": (lambda kind: b'data: {"usage":{"prompt_tokens":NaN}}\n\n', FaultKind.GARBAGE),
    "negative usage": (
        lambda kind: piece(
            kind, [], usage={"prompt_tokens": -7, "completion_tokens": -3}, tokens_predicted=-3
        ),
        None,
    ),
    "a second answer": (lambda kind: b"".join(events(kind, "Again")), None),
}


def own_told(stage: str, fault: str) -> FaultKind | None:
    """Which fault the client hears of; ``None``: the answer is whole."""
    complete, (_, own) = STAGES[stage][1], OWN[fault]
    if stage == "inside the first frame":
        return FaultKind.GARBAGE
    if own is not None:
        return own
    if fault == "a second answer":  # an end is an end, but for half a call
        return FaultKind.GARBAGE if stage == "half a tool call" else None
    return None if complete else FaultKind.CUT


def read_told(stage: str, fault: str) -> FaultKind | None:
    """As ``fault_told``, for this reader: an empty body is an answer without an end."""
    empty = (stage, fault) == ("after headers", "body ends")
    return FaultKind.CUT if empty else fault_told(stage, fault)


@pytest.fixture(scope="module", params=SERVERS)
def rig(request: pytest.FixtureRequest) -> Iterator[tuple[str, Rig]]:
    kind = request.param
    models = json.dumps(TokenServerFake(kind).listing()).encode()
    with running_rig(models, kind="tokens", server=kind) as running:
        yield kind, running


def play(
    rig: tuple[str, Rig], stage: str, way: str, steps: Sequence[Step], told: FaultKind | None
) -> None:
    """The client is told of this fault, and it is recorded."""
    kind, at = rig
    made, complete, more = STAGES[stage]
    reply = at.ask(played(made(kind), steps), WAYS[way] | more)
    check(reply, at.recorded, told)
    if complete and told is None:
        assert "Hi" in reply.body.decode()
        assert at.recorded["tokens"]["in"] + at.recorded["tokens"]["cache_read"] > 0
    if stage in COUNTED:
        assert at.recorded["tokens"]["out"] > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_an_answer(rig: tuple[str, Rig], stage: str, fault: str, way: str) -> None:
    play(rig, stage, way, FAULTS[fault][0], read_told(stage, fault))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", OWN)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_of_its_own_kind(rig: tuple[str, Rig], stage: str, fault: str, way: str) -> None:
    """Followed by the end of the body: whatever came, the answer ends and is no one else's."""
    made = chunk(b"\n\n" + OWN[fault][0](rig[0]))
    play(rig, stage, way, [made, chunk(DONE), chunk(b"")], own_told(stage, fault))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_an_answer(rig: tuple[str, Rig], fault: str, way: str) -> None:
    steps, kind = BEFORE[fault]
    reply = rig[1].ask(steps, WAYS[way])
    check(reply, rig[1].recorded, kind)
    assert reply.status >= 500


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "ours"), STATUSES)
def test_a_status_that_is_no_success(
    rig: tuple[str, Rig], status: int, ours: int, way: str
) -> None:
    headers = {"location": "http://127.0.0.1:1/elsewhere", "retry-after": "7"}
    reply = rig[1].ask(
        [ReadRequest(), answer(b"<html>no</html>", status, headers), Cut()], WAYS[way]
    )
    found, _, message = reply.error()
    assert found == ours, message
    assert rig[1].recorded["fault"] == "refused"
    assert "<html>" not in message
    assert ("redirect" in message) == (300 <= status < 400)
    if ours in (429, 529):
        assert reply.headers["retry-after"] == "7"


def test_what_an_abort_in_the_stream_says_is_told(rig: tuple[str, Rig]) -> None:
    kind, at = rig
    abort = {"type": "abort", "message": "the node died"}
    said = (
        frame({"text": "", "meta_info": {"finish_reason": abort}})
        if kind == "sglang"
        else frame({"error": {"message": "the node died"}})
    )
    sent = begun(kind, "Hello there, my friend") + said
    reply = at.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Stall()], STREAM)
    error = error_of(assert_lawful(reply.body))
    assert error is not None
    assert "the node died" in error["message"]
