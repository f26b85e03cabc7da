"""Every fault of an upstream that is asked which models it serves."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.wire.errors import STATUS_TO_TYPE
from tests.faults.cells import BEFORE, STATUSES, WHOLE
from tests.faults.rig import Rig, check, running_rig
from tests.support.client import HELLO, STREAM, Reply
from tests.support.servers import Cut, ReadRequest, Step, answer

# Whatever comes whole of a chat is no list.
FAULTS: dict[str, tuple[Sequence[Step], FaultKind]] = BEFORE | {
    name: (
        [ReadRequest(), *steps, Cut()],
        ends if isinstance(ends, FaultKind) else FaultKind.GARBAGE,
    )
    for name, (steps, _, ends) in WHOLE.items()
}

ASKED: dict[str, Callable[[Rig], Reply]] = {
    "the list of models": lambda rig: rig.client.get("/v1/models"),
    "one model": lambda rig: rig.client.get("/v1/models/deepseek-chat"),
    "a whole answer": lambda rig: rig.post(HELLO),
    "a streamed answer": lambda rig: rig.post(STREAM),
}


@pytest.fixture(scope="module")
def unlisted() -> Iterator[Rig]:
    """What it serves is not known yet."""
    with running_rig(None, kind="chat", dialect="deepseek") as rig:
        yield rig


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_list_of_models_that_breaks(unlisted: Rig, fault: str, asked: str) -> None:
    steps, kind = FAULTS[fault]
    reply = unlisted.during([steps], lambda: ASKED[asked](unlisted))
    check(reply, unlisted.recorded, kind)
    assert reply.status >= 500


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(("status", "ours"), STATUSES)
def test_a_list_of_models_that_is_refused(
    unlisted: Rig, status: int, ours: int, asked: str
) -> None:
    headers = {"location": "http://127.0.0.1:1/elsewhere", "retry-after": "7"}
    script = [ReadRequest(), answer(b"<html>no</html>", status, headers), Cut()]
    reply = unlisted.during([script], lambda: ASKED[asked](unlisted))
    found, error_type, message = reply.error()
    assert (found, error_type) == (ours, STATUS_TO_TYPE[ours]), message
    assert unlisted.recorded["fault"] == "refused"
    assert "<html>" not in message
