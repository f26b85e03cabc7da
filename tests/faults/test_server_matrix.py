"""Every fault at every stage, through the whole server: what its client gets, what is recorded,
and that nothing is left behind. The upstream's own client is tested cell by cell elsewhere.
"""

from collections.abc import Iterator

import pytest

from tests.faults.cells import (
    BEFORE,
    FAULTS,
    FINISH,
    STAGES,
    STATUSES,
    USAGE_FRAME,
    WAYS,
    WHOLE,
)
from tests.faults.chat_bytes import delta, frame
from tests.faults.rig import Rig, check, running_rig
from tests.support.client import STREAM
from tests.support.servers import (
    Cut,
    ReadRequest,
    Stall,
    answer,
    assert_lawful,
    chunk,
    chunked_sse_head,
    error_of,
)

MODELS = b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}'


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with running_rig(MODELS, kind="chat", dialect="deepseek") as running:
        yield running


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_an_answer(rig: Rig, stage: str, fault: str, way: str) -> None:
    sent, text, complete = STAGES[stage]
    steps, _ = FAULTS[fault]
    script = [ReadRequest(), chunked_sse_head(), *([chunk(sent)] if sent else []), *steps]
    reply = rig.ask(script, WAYS[way])
    error = check(reply, rig.recorded)
    if not complete:
        assert error is not None
    if complete and error is None:
        assert text in reply.body.decode()
    if "usage" in stage.partition(",")[0] and reply.status == 200:
        assert rig.recorded["tokens"]["in"] + rig.recorded["tokens"]["cache_read"] == 7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_an_answer(rig: Rig, fault: str, way: str) -> None:
    steps, _ = BEFORE[fault]
    reply = rig.ask(steps, WAYS[way])
    assert check(reply, rig.recorded) is not None
    assert reply.status >= 500


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_a_whole_answer(rig: Rig, fault: str, way: str) -> None:
    steps, text, _ = WHOLE[fault]
    reply = rig.ask([ReadRequest(), *steps, Cut()], WAYS[way])
    error = check(reply, rig.recorded)
    assert (error is None) == bool(text)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "ours"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error":{"message":"because"}}'])
def test_a_status_that_is_no_success(
    rig: Rig, status: int, ours: int, body: bytes, way: str
) -> None:
    if status == 404 and b"because" in body:
        ours = 404  # explained: it is the model that is not there
    headers = {"location": "http://127.0.0.1:1/elsewhere", "retry-after": "7"}
    script = [ReadRequest(), answer(body, status, headers), Cut()]
    reply = rig.ask(script, WAYS[way])
    found, _, message = reply.error()
    assert found == ours, message
    assert "<html>" not in message
    if ours in (429, 529):
        assert reply.headers["retry-after"] == "7"


def test_usage_that_came_before_a_cut_is_recorded(rig: Rig) -> None:
    sent = delta(content="Hi") + FINISH + USAGE_FRAME
    rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Cut()], STREAM)
    assert rig.recorded["tokens"] == {"in": 7, "cache_read": 0, "cache_creation": 0, "out": 3}


def test_what_was_written_before_a_cut_is_counted(rig: Rig) -> None:
    """Without the upstream's word the answer's size is counted or guessed, never forgotten."""
    sent = delta(content="Hello there, this is the beginning of a long answer. ")
    rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Cut()], STREAM)
    assert rig.recorded["outcome"] == "fault"
    assert rig.recorded["tokens"]["out"] > 5


def test_an_error_inside_a_stream_is_told_in_its_words(rig: Rig) -> None:
    sent = delta(content="Hi") + frame({"error": {"message": "the node died", "code": 500}})
    reply = rig.ask([ReadRequest(), chunked_sse_head(), chunk(sent), Stall()], STREAM)
    error = error_of(assert_lawful(reply.body))
    assert error is not None
    assert "the node died" in error["message"]
