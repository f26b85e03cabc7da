"""What every answer has, and the paths and methods there are not."""

import pytest

from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.translation.faults import Fault, FaultKind
from tests.support.app import served
from tests.support.client import HELLO, STREAM
from tests.support.fake import FINISH, OPEN, FakeUpstream, finish, text


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/models", "/nope", "/metrics"])
def test_every_answer_has_a_request_id_of_its_own(path: str) -> None:
    with served() as s:
        first, second = s.client.get(path), s.client.get(path)
    assert first.headers["request-id"].startswith("req_")
    assert first.headers["request-id"] != second.headers["request-id"]


NOT_FOUND = ["/nope", "/v1", "/v1/complete", "/v1/messages/batches/x/results", "/v1/agents",
             "/anthropic/nope", "/.env", "/v1/messages/count_tokens/x"]  # fmt: skip


@pytest.mark.parametrize("path", NOT_FOUND)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths(method: str, path: str) -> None:
    with served() as s:
        status, kind, message = s.client.ask(method, path).error()
    assert (status, kind) == (404, "not_found_error")
    assert message.startswith(f"Not found: {method} ")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("DELETE", "/v1/messages/count_tokens", "POST"),
        ("OPTIONS", "/v1/messages", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
        ("PATCH", "/v1/models", "GET, HEAD"),
        ("TRACE", "/v1/models", "GET, HEAD"),
    ],
)
def test_unknown_methods(method: str, path: str, allow: str) -> None:
    with served() as s:
        reply = s.client.ask(method, path)
    assert reply.error()[:2] == (405, "invalid_request_error")
    assert reply.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/anthropic", "/api/hello", "/anthropic/api/hello"])
def test_head_and_get_on_the_base(path: str) -> None:
    with served(auth={"mode": "keys"}) as s:
        assert s.client.ask("HEAD", path).status == 200
        assert s.client.ask("HEAD", path).body == b""
        assert s.client.get(path).json()["name"] == "deepseek-messages"


def test_head_of_an_unknown_path_has_no_body() -> None:
    with served() as s:
        reply = s.client.ask("HEAD", "/nope")
    assert (reply.status, reply.body) == (404, b"")


def test_a_fault_keeps_its_status_and_its_headers() -> None:
    fault = Fault(
        FaultKind.REFUSED,
        "no money",
        status=402,
        upstream_status=402,
        should_retry=False,
        transient=False,
    )
    with served(FakeUpstream([fault, OPEN])) as s:
        reply = s.client.post(HELLO)
    assert reply.error() == (402, "billing_error", "no money")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("given", "told"), [(0.0, "0"), (0.2, "1"), (7, "7"), (1e9, "3600")])
def test_retry_after_is_whole_seconds_and_bounded(given: float, told: str) -> None:
    fault = Fault(FaultKind.BUSY, "busy", status=529, retry_after=given)
    with served(FakeUpstream([fault, OPEN])) as s:
        assert s.client.post(HELLO).headers["retry-after"] == told


@pytest.mark.parametrize("given", [float("nan"), float("inf"), -float("inf")])
def test_a_senseless_retry_after_is_left_out(given: float) -> None:
    fault = Fault(FaultKind.BUSY, "busy", status=529, retry_after=given)
    with served(FakeUpstream([fault, OPEN])) as s:
        assert "retry-after" not in s.client.post(HELLO).headers


def test_a_bug_is_a_500_without_its_text() -> None:
    with served(FakeUpstream([RuntimeError("the details"), OPEN])) as s:
        reply = s.client.post(HELLO)
    assert reply.error() == (500, "api_error", "Internal server error")


def test_an_upstream_that_cannot_list_its_models_is_a_fault() -> None:
    gone = Fault(FaultKind.CONNECT, "cannot connect", status=502)
    with served(FakeUpstream(models=gone)) as s:
        assert s.client.post(HELLO).error() == (502, "api_error", "cannot connect")
        assert s.client.get("/v1/models").error()[0] == 502


def test_metrics_tell_what_happened() -> None:
    with served(FakeUpstream([text("a"), finish(prompt=10, cached=4)])) as s:
        s.client.post(HELLO)
        s.client.post(STREAM)
        s.client.post({"model": "x"})
        told = s.client.get("/metrics")
    lines = told.body.decode().splitlines()
    assert told.headers["content-type"] == Metrics.content_type
    name = "deepseek_messages"
    for line in (
        f'{name}_requests_total{{outcome="served",route="/v1/messages",status="200"}} 2.0',
        f'{name}_requests_total{{outcome="refused",route="/v1/messages",status="400"}} 1.0',
        f'{name}_tokens_total{{kind="input",model="deepseek-flash"}} 12.0',
        f'{name}_tokens_total{{kind="cache_read",model="deepseek-flash"}} 8.0',
        f'{name}_tokens_total{{kind="output",model="deepseek-flash"}} 6.0',
        f'{name}_time_to_first_event_seconds_count{{model="deepseek-flash"}} 2.0',
        f"{name}_open_streams 0.0",
        f"{name}_open_requests 1.0",
    ):
        assert line in lines


def test_upstream_faults_are_counted_by_kind() -> None:
    cut = Fault(FaultKind.CUT, "cut")
    with served(FakeUpstream([text("a"), cut], [cut, OPEN])) as s:
        s.client.post(STREAM)
        s.client.post(HELLO)
        told = s.client.get("/metrics").body.decode()
    assert 'deepseek_messages_upstream_faults_total{kind="cut",upstream="fake"} 2.0' in told


def test_notes_travel_in_a_header() -> None:
    with served(FakeUpstream([text("a"), FINISH])) as s:
        reply = s.client.post(STREAM | {"top_k": 5, "model": "claude-x"})
    assert "top_k" in reply.headers["deepseek-messages-notes"]


def test_strict_refuses_what_would_be_lost() -> None:
    upload = {"type": "container_upload", "file_id": "file_1"}
    body = HELLO | {"messages": [{"role": "user", "content": [upload]}]}
    with served() as s:
        assert s.client.post(body).status == 200
    with served(strict=True) as s:
        status, _, message = s.client.post(body).error()
    assert status == 400
    assert message.startswith("messages.0.content.0")


def test_the_upstream_is_started_and_closed_with_the_application() -> None:
    with served() as s:
        assert s.upstream.started.is_set()
        assert not s.upstream.closed.is_set()
    assert s.upstream.closed.is_set()
