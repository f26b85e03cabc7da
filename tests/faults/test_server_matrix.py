"""Every fault at every stage, through the whole server: what its client gets, what is recorded,
and that nothing is left behind. The upstream's own client is tested cell by cell elsewhere.
"""

from collections.abc import Iterator

import pytest

from tests.faults.cells import (
    BEFORE,
    CONTENT,
    FAULTS,
    FINISH,
    PACKED,
    STAGES,
    STATUSES,
    USAGE_FRAME,
    WAYS,
    WHOLE,
    content_told,
    fault_told,
    packed,
    played,
    whole_told,
)
from tests.faults.chat_bytes import DONE, delta, frame
from tests.faults.rig import Rig, check, running_rig
from tests.support.client import STREAM, Reply
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

MODELS = b'{"object": "list", "data": [{"id": "deepseek-v4-flash", "object": "model"}]}'


@pytest.fixture(scope="module", params=[False, True], ids=["without a task", "by a task"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    options = {"kind": "chat", "dialect": "deepseek"}
    with running_rig(MODELS, chunked=request.param, **options) as running:
        yield running


def check_stage(rig: Rig, reply: Reply, stage: str, way: str, fault: str = "") -> None:
    """What came of the answer is told, if it became whole, and recorded."""
    _, text, complete = STAGES[stage]
    if complete and rig.recorded["outcome"] == "served":
        assert text in reply.body.decode()
    if text:
        assert rig.recorded["tokens"]["out"] > 0
        # The prompt of a streamed answer is counted here, where the upstream does not tell it.
        assert rig.recorded["tokens"]["in"] > 0 or way == "whole"
    if "usage," in stage and fault != "huge usage":
        tokens = {"in": 7, "cache_read": 0, "cache_creation": 0, "out": 3}
        assert rig.recorded["tokens"] == tokens


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_an_answer(rig: Rig, stage: str, fault: str, way: str) -> None:
    reply = rig.ask(played(STAGES[stage][0], FAULTS[fault][0]), WAYS[way])
    check(reply, rig.recorded, fault_told(stage, fault))
    check_stage(rig, reply, stage, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", CONTENT)
@pytest.mark.parametrize("stage", STAGES)
def test_content_that_is_none(rig: Rig, stage: str, fault: str, way: str) -> None:
    steps = [chunk(b"\n\n" + CONTENT[fault][0]), chunk(DONE), chunk(b"")]
    reply = rig.ask(played(STAGES[stage][0], steps), WAYS[way])
    check(reply, rig.recorded, content_told(stage, fault))
    check_stage(rig, reply, stage, way, fault)
    assert b"Again" not in reply.body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", PACKED)
@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_within_a_compressed_answer(rig: Rig, stage: str, fault: str, way: str) -> None:
    steps, kind = PACKED[fault]
    reply = rig.ask(packed(STAGES[stage][0], steps), WAYS[way])
    check(reply, rig.recorded, kind)
    check_stage(rig, reply, stage, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", BEFORE)
def test_a_fault_before_an_answer(rig: Rig, fault: str, way: str) -> None:
    steps, kind = BEFORE[fault]
    reply = rig.ask(steps, WAYS[way])
    check(reply, rig.recorded, kind)
    assert reply.status >= 500


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", WHOLE)
def test_a_fault_in_a_whole_answer(rig: Rig, fault: str, way: str) -> None:
    reply = rig.ask([ReadRequest(), *WHOLE[fault][0], Cut()], WAYS[way])
    check(reply, rig.recorded, whole_told(fault))


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
    assert rig.recorded["fault"] == "refused"
    assert "<html>" not in message
    assert ("redirect" in message) == (300 <= status < 400)
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
