"""The use case behind ``count_tokens``, over HTTP."""

from deepseek_messages.translation.catalogue import FLASH, Model
from deepseek_messages.translation.dialects import DIALECTS
from deepseek_messages.translation.faults import Fault, FaultKind
from tests.support.app import served
from tests.support.client import HELLO
from tests.support.fake import FakeUpstream

COUNT = "/v1/messages/count_tokens"
UNKNOWN = Model(id="my-model", display_name="Mine", context_window=8_192, max_output_tokens=8_192)


def test_the_encoders_count_is_exact() -> None:
    body = {name: HELLO[name] for name in ("model", "messages")}
    with served(FakeUpstream(models=(FLASH,))) as s:
        reply = s.client.post(body, COUNT)
    assert reply.json() == {"input_tokens": 5}
    assert "deepseek-messages-notes" not in reply.headers


def test_the_upstreams_own_count_is_told() -> None:
    vllm = FakeUpstream(models=(UNKNOWN,), dialect=DIALECTS["vllm"], tokens=123)
    with served(vllm) as s:
        assert s.client.post(HELLO, COUNT).json() == {"input_tokens": 123}


def test_an_estimate_is_marked() -> None:
    with served(FakeUpstream(models=(UNKNOWN,), dialect=DIALECTS["generic"])) as s:
        reply = s.client.post(HELLO, COUNT)
    assert reply.json()["input_tokens"] > 0
    assert reply.headers["deepseek-messages-notes"] == "estimated=input_tokens"


def test_counting_asks_for_no_answer() -> None:
    with served() as s:
        s.client.post(HELLO, COUNT)
    assert s.upstream.played == []


def test_an_upstream_that_cannot_list_its_models_is_a_fault() -> None:
    with served(FakeUpstream(models=Fault(FaultKind.CONNECT, "gone"))) as s:
        assert s.client.post(HELLO, COUNT).error()[0] == 502
