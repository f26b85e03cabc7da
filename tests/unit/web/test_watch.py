"""A client that leaves ends the upstream's work at once, at every stage."""

from tests.support.app import served
from tests.support.client import HELLO, STREAM
from tests.support.fake import OPEN, SILENCE, FakeUpstream, text
from tests.support.gates import Gate
from tests.support.raw import Reached


def test_gone_before_the_upstream_accepted() -> None:
    waiting = Gate()
    with served(FakeUpstream([Reached(waiting), SILENCE, OPEN])) as s:
        connection = s.client.send("POST", "/v1/messages", STREAM)
        waiting.require()
        connection.close()
        s.upstream.played[0].closed.require("closing the upstream")


def test_gone_before_the_first_event() -> None:
    waiting = Gate()
    with served(FakeUpstream([Reached(waiting), SILENCE])) as s:
        connection = s.client.send("POST", "/v1/messages", STREAM)
        waiting.require()
        connection.close()
        s.upstream.played[0].closed.require("closing the upstream")


def test_gone_in_the_middle_of_a_stream() -> None:
    with served(FakeUpstream([text("half"), SILENCE])) as s:
        with s.client.stream() as stream:
            for _ in range(3):
                stream.next()
        s.upstream.played[0].closed.require("closing the upstream")


def test_gone_while_a_whole_answer_is_made() -> None:
    waiting = Gate()
    with served(FakeUpstream([text("half"), Reached(waiting), SILENCE])) as s:
        connection = s.client.send("POST", "/v1/messages", HELLO)
        waiting.require()
        connection.close()
        s.upstream.played[0].closed.require("closing the upstream")


def test_gone_while_a_whole_answer_is_not_accepted_yet() -> None:
    waiting = Gate()
    with served(FakeUpstream([Reached(waiting), SILENCE, OPEN])) as s:
        connection = s.client.send("POST", "/v1/messages", HELLO)
        waiting.require()
        connection.close()
        s.upstream.played[0].closed.require("closing the upstream")


def test_a_client_that_stays_for_the_next_request_is_not_gone() -> None:
    with served() as s:
        connection = s.client.send("POST", "/v1/messages", HELLO)
        assert connection.getresponse().read()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"ok"}'
        connection.close()


def test_places_are_given_back_when_clients_leave() -> None:
    """With room for one answer, the next caller is served once the first has gone."""
    waiting = Gate()
    upstream = FakeUpstream(
        [Reached(waiting), SILENCE], [text("Hello"), *FakeUpstream().scripts[0]]
    )
    with served(upstream, server={"max_concurrency": 1}) as s:
        connection = s.client.send("POST", "/v1/messages", STREAM)
        waiting.require()
        refused = s.client.post(HELLO)
        connection.close()
        upstream.played[0].closed.require("closing the upstream")
        assert s.client.post(HELLO).status == 200
    assert refused.error()[:2] == (529, "overloaded_error")
    assert refused.headers["retry-after"] == "1"
