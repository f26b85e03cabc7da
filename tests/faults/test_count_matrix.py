"""Every fault of an upstream that is asked how long a prompt is: then it is guessed."""

from collections.abc import Iterator, Sequence

import pytest

from tests.faults.cells import STATUSES
from tests.faults.rig import Rig, running_rig
from tests.faults.test_models_matrix import FAULTS
from tests.support.client import HELLO, Reply
from tests.support.servers import Cut, ReadRequest, Step, answer

SERVERS = ["vllm", "sglang", "llama.cpp"]
LISTED = b'{"object": "list", "data": [{"id": "my-model", "object": "model"}]}'
COUNT = HELLO | {"system": "Be brief."}


@pytest.fixture(scope="module", params=SERVERS)
def counting(request: pytest.FixtureRequest) -> Iterator[Rig]:
    with running_rig(LISTED, kind="chat", dialect=request.param) as rig:
        yield rig


def count(rig: Rig, steps: Sequence[Step]) -> Reply:
    path = "/v1/messages/count_tokens"
    return rig.during([steps], lambda: rig.client.post(COUNT, path))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_count_that_breaks_is_a_guess(counting: Rig, fault: str) -> None:
    reply = count(counting, FAULTS[fault][0])
    assert reply.status == 200
    assert 0 < reply.json()["input_tokens"] < 100
    assert "estimated=input_tokens" in reply.headers["deepseek-messages-notes"]


@pytest.mark.parametrize("status", [status for status, _ in STATUSES])
def test_a_count_that_is_refused_is_a_guess(counting: Rig, status: int) -> None:
    reply = count(counting, [ReadRequest(), answer(b"{}", status), Cut()])
    assert reply.status == 200
    assert "estimated=input_tokens" in reply.headers["deepseek-messages-notes"]
