"""Requests that real clients sent, replayed byte for byte in meaning: all are answered."""

import pytest

from tests.conformance.rig import Rig
from tests.support.captures import Capture, captures

ALL = captures()
ASKING = [each for each in ALL if each.is_messages and "thread" not in each.body]
THREADS = [each for each in ALL if each.is_messages and "thread" in each.body]
OTHERS = [each for each in ALL if not each.is_messages]


def named(cases: list[Capture]) -> list[str]:
    return [each.name for each in cases]


@pytest.mark.parametrize("capture", ASKING, ids=named(ASKING))
def test_answered(rig: Rig, capture: Capture) -> None:
    reply = rig.call(capture.method, capture.target, capture.body, capture.headers)
    assert reply.status == 200, reply.raw
    assert reply.seen is not None
    assert reply.seen.refused is None, reply.seen.refused
    if capture.body.get("stream"):
        assert reply.events[-1]["type"] == "message_stop"
        usage = reply.events[-2]["usage"]
    else:
        assert reply.body["type"] == "message"
        usage = reply.body["usage"]
    assert sum(usage[name] for name in usage if "input_tokens" in name) > 0


@pytest.mark.parametrize("capture", THREADS, ids=named(THREADS))
def test_threads_are_refused_so_that_the_sdk_goes_on_without(rig: Rig, capture: Capture) -> None:
    reply = rig.call(capture.method, capture.target, capture.body, capture.headers)
    assert reply.status == 400
    assert reply.body["error"]["type"] == "invalid_request_error"
    assert reply.body["error"]["details"] == {"error_code": "thread_unsupported_request"}
    without = {name: value for name, value in capture.body.items() if name != "thread"}
    if without.get("max_tokens") and capture.body["thread"]["type"] == "create":
        assert rig.call("POST", capture.target, without, capture.headers).status == 200


@pytest.mark.parametrize("capture", OTHERS, ids=named(OTHERS))
def test_probes_counts_and_lists(rig: Rig, capture: Capture) -> None:
    reply = rig.call(capture.method, capture.target, capture.body, capture.headers)
    assert reply.status == 200, reply.raw
    if "count_tokens" in capture.target:
        assert reply.body["input_tokens"] > 0
    elif "models" in capture.target:
        assert reply.body["data"][0]["type"] == "model"
        assert reply.body["has_more"] is False
