"""When a stream commits, pings, ends; what happens when the upstream breaks or the server stops."""

from structlog.testing import capture_logs

from deepseek_messages.translation.dialects import VLLM
from deepseek_messages.translation.faults import Fault, FaultKind, from_status
from deepseek_messages.upstreams.pool.member import Place
from deepseek_messages.upstreams.pool.pool import Pool
from tests.support.app import served
from tests.support.client import STREAM
from tests.support.fake import FINISH, OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import Gate
from tests.support.raw import Reached, Wait
from tests.support.sse import assert_lawful

FAST = {"commit_after": 0.05, "ping_interval": 0.05}
CUT = Fault(FaultKind.CUT, "the upstream went away")
BUSY = Fault(FaultKind.REFUSED, "slow down", status=429, upstream_status=429, retry_after=6.2)


def kinds(events: list[dict[str, object]]) -> list[object]:
    return [event["type"] for event in events]


def test_a_stream_has_the_lawful_events_and_its_headers() -> None:
    with served() as s:
        reply = s.client.post(STREAM)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["request-id"].startswith("req_")
    events = reply.events()
    assert_lawful(events)
    assert events[-1]["type"] == "message_stop"
    assert events[-2]["usage"]["output_tokens"] == 3


def test_events_go_out_as_they_come() -> None:
    gate = Gate()
    with (
        served(FakeUpstream([text("one"), Wait(gate), text("two"), FINISH])) as s,
        s.client.stream() as stream,
    ):
        first = [stream.next() for _ in range(3)]
        gate.set()
        rest = stream.rest()
    assert first[-1] is not None
    assert first[-1]["delta"] == {"type": "text_delta", "text": "one"}
    assert rest[0]["delta"] == {"type": "text_delta", "text": "two"}


def test_the_status_goes_out_when_the_upstream_accepted_though_it_says_nothing_yet() -> None:
    gate = Gate()
    with served(FakeUpstream([OPEN, Wait(gate), text("a"), FINISH])) as s, s.client.stream() as st:
        assert st.answer.status == 200
        gate.set()
        assert_lawful(st.rest())


def test_a_slow_upstream_gets_an_early_200_with_message_start_and_pings() -> None:
    gate = Gate()
    upstream = FakeUpstream([Wait(gate), OPEN, text("a"), FINISH])
    with served(upstream, server=FAST) as s, s.client.stream() as stream:
        early = [stream.next() for _ in range(3)]
        gate.set()
        rest = [event for event in stream.rest() if event["type"] != "ping"]
    assert [e and e["type"] for e in early] == ["message_start", "ping", "ping"]
    assert kinds(rest)[0] == "content_block_start"
    assert kinds(rest)[-1] == "message_stop"


def test_pings_fill_silence_in_the_middle() -> None:
    gate = Gate()
    upstream = FakeUpstream([text("a"), Wait(gate), text("b"), FINISH])
    with served(upstream, server=FAST) as s, s.client.stream() as stream:
        seen = [stream.next() for _ in range(5)]
        gate.set()
        rest = stream.rest()
    assert [e and e["type"] for e in seen[3:]] == ["ping", "ping"]
    assert_lawful([e for e in seen if e] + rest)


def test_a_stream_that_speaks_gets_no_pings() -> None:
    with served(server={"ping_interval": 30.0, "commit_after": 0.001}) as s:
        assert "ping" not in kinds(s.client.post(STREAM).events())


def test_a_fault_before_the_upstream_accepted_is_a_plain_error() -> None:
    with served(FakeUpstream([BUSY, OPEN])) as s:
        reply = s.client.post(STREAM)
    assert reply.error() == (429, "rate_limit_error", "slow down")
    assert reply.headers["retry-after"] == "7"


def test_a_fault_after_an_early_200_is_one_error_event() -> None:
    gate = Gate()
    with (
        served(FakeUpstream([Wait(gate), BUSY, OPEN]), server=FAST) as s,
        s.client.stream() as stream,
    ):
        first = stream.next()
        gate.set()
        rest = [event for event in stream.rest() if event["type"] != "ping"]
    assert first is not None
    assert first["type"] == "message_start"
    assert kinds(rest) == ["error"]
    assert rest[0]["error"] == {"type": "rate_limit_error", "message": "slow down"}


def test_a_refusal_by_the_next_upstream_after_an_early_200_is_told_as_one() -> None:
    """What DeepSeek ignores vLLM would refuse."""
    gate = Gate()
    first, second = FakeUpstream([Wait(gate), CUT, OPEN]), FakeUpstream(dialect=VLLM)
    pool = Pool([("first", first, Place()), ("second", second, Place(priority=1))])
    with (
        capture_logs() as log,
        served(pool, server=FAST) as s,  # type: ignore[arg-type]
        s.client.stream(STREAM | {"top_k": "x"}) as stream,
    ):
        start = stream.next()
        gate.set()
        rest = [event for event in stream.rest() if event["type"] != "ping"]
        s.client.get("/v1/models")  # by then the one before is recorded
    assert start is not None
    assert start["type"] == "message_start"
    assert [event["error"] for event in rest] == [
        {"type": "invalid_request_error", "message": "top_k: Input should be a valid integer"}
    ]
    (told,) = (e for e in log if e["event"] == "request" and e["path"] == "/v1/messages")
    assert (told["outcome"], told["tried"]) == ("refused", ("first=cut",))
    assert not second.played


def test_a_400_of_the_next_upstream_after_an_early_200_is_told_as_one() -> None:
    gate = Gate()
    bad = from_status(400, {}, b'{"error":{"message":"bad tool"}}')
    first, second = FakeUpstream([Wait(gate), CUT, OPEN]), FakeUpstream([bad, OPEN])
    pool = Pool([("first", first, Place()), ("second", second, Place(priority=1))])
    with (
        served(pool, server=FAST) as s,  # type: ignore[arg-type]
        s.client.stream() as stream,
    ):
        stream.next()
        gate.set()
        rest = [event for event in stream.rest() if event["type"] != "ping"]
    told = {"type": "invalid_request_error", "message": "bad tool"}
    assert [event["error"] for event in rest] == [told]


def test_a_cut_in_the_middle_closes_the_block_and_ends_with_one_error() -> None:
    with served(FakeUpstream([text("half"), CUT])) as s:
        events = s.client.post(STREAM).events()
    assert_lawful(events)
    assert kinds(events)[-2:] == ["content_block_stop", "error"]
    assert events[-1]["error"]["type"] == "api_error"


def test_an_end_without_a_finish_reason_is_an_error() -> None:
    with served(FakeUpstream([text("half")])) as s:
        events = s.client.post(STREAM).events()
    assert kinds(events)[-1] == "error"
    assert "message_stop" not in kinds(events)


def test_a_bug_in_the_middle_is_one_error_event_without_its_text() -> None:
    with served(FakeUpstream([text("half"), ValueError("secret detail")])) as s:
        reply = s.client.post(STREAM)
    events = reply.events()
    assert kinds(events)[-1] == "error"
    assert events[-1]["error"] == {"type": "api_error", "message": "Internal server error"}
    assert events[-1]["request_id"] == reply.headers["request-id"]
    assert b"secret detail" not in reply.body


def test_a_stop_sequence_found_here_ends_the_upstream_at_once() -> None:
    never = Gate()
    upstream = FakeUpstream([text("one STOP two"), Wait(never), FINISH])
    many = [f"unused {n}" for n in range(20)]  # more than the upstream takes
    with served(upstream) as s:
        events = s.client.post(STREAM | {"stop_sequences": [*many, "STOP"]}).events()
        upstream.played[0].closed.require("closing the upstream")
        never.set()
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}


def test_a_client_that_reads_slowly_gets_everything() -> None:
    pieces = [text("x" * 20_000) for _ in range(200)]
    with served(FakeUpstream([*pieces, FINISH])) as s, s.client.stream() as stream:
        s.upstream.called.require("the call")
        words = [e["delta"]["text"] for e in stream.rest() if e["type"] == "content_block_delta"]
    assert sum(map(len, words)) == 4_000_000


def test_a_client_that_does_not_read_holds_the_upstream_back() -> None:
    """The buffers between fill up; then nobody reads the upstream any further."""
    far = Gate()
    pieces = [text("x" * 60_000) for _ in range(2_000)]
    with served(FakeUpstream([*pieces, Reached(far), FINISH])) as s:
        connection = s.client.send("POST", "/v1/messages", STREAM)
        s.upstream.called.require("the call")
        quick = s.client.get("/healthz")  # the loop serves others meanwhile
        connection.close()
        s.upstream.played[0].closed.require("closing the upstream")
    assert quick.status == 200
    assert not far.is_set()


def test_a_server_that_stops_tells_a_running_stream() -> None:
    upstream = FakeUpstream([text("half"), SILENCE])
    with (
        served(upstream, server_options={"timeout_graceful_shutdown": 1}) as s,
        s.client.stream() as stream,
    ):
        assert stream.answer.status == 200
        for _ in range(3):
            stream.next()
        s.app.server.should_exit = True
        rest = stream.rest()
    assert kinds(rest) == ["error"]
    assert rest[0]["error"]["type"] == "overloaded_error"
    assert upstream.played[0].closed.is_set()


def test_an_error_in_the_stream_carries_the_request_id() -> None:
    with served(FakeUpstream([text("half"), CUT])) as s:
        reply = s.client.post(STREAM)
    last = reply.events()[-1]
    assert last["type"] == "error"
    assert last["request_id"] == reply.headers["request-id"]
