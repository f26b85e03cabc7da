"""A lone upstream that takes one request at a time, on every way through the server."""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.faults.test_worker_dies import Upstream, begun
from tests.support.app import settings_for
from tests.support.client import HELLO, MESSAGES, STREAM, Client, Reply, read_reply
from tests.support.servers import serve_app


class Rig:
    """A server before such an upstream, and one kept connection to it."""

    def __init__(self, upstream: Upstream, client: Client) -> None:
        self.upstream = upstream
        self.client = client
        self.kept = http.client.HTTPConnection(client.host, client.port)

    def ask(self, body: object = HELLO) -> Reply:
        """On the kept connection, whose head is known from the second request on."""
        self.kept.request("POST", MESSAGES, json.dumps(body), {"content-type": "application/json"})
        return read_reply(self.kept)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    upstream = Upstream()
    with serve_app(upstream) as running:
        settings = settings_for(
            tmp_path,
            upstream=UpstreamSettings(
                kind="chat",
                base_url=running.url,
                api_key=Secret("sk-upstream"),
                dialect="deepseek",
                proxy_from_env=False,
                max_concurrency=1,
            ),
        )
        app = create_app(settings)
        with serve_app(app, http=BoundedProtocol, proxy_headers=False) as served:
            made = Rig(upstream, Client(served.host, served.port))
            with closing(made.kept):
                yield made
                upstream.go_on.set()


def test_places_are_given_back_after_every_answer(rig: Rig) -> None:
    rig.upstream.go_on.set()
    assert [rig.ask(body).status for body in (HELLO, HELLO, STREAM, HELLO, STREAM)] == [200] * 5


def test_a_request_above_the_limit_is_refused_and_nothing_goes_up(rig: Rig) -> None:
    assert rig.ask().status == 200
    with ExitStack() as stack:
        stream = begun(stack, rig.client)
        refused = [rig.ask(body) for body in (HELLO, STREAM, HELLO)]
        assert {reply.error()[:2] for reply in refused} == {(529, "overloaded_error")}
        assert {reply.headers["retry-after"] for reply in refused} == {"1"}
        assert rig.upstream.asked == 2
        rig.upstream.go_on.set()
        assert stream.rest()[-1]["type"] == "message_stop"
    assert rig.ask().status == 200


def test_a_client_that_leaves_gives_its_place_back(rig: Rig) -> None:
    assert rig.ask().status == 200
    with ExitStack() as stack:
        begun(stack, rig.client)
        assert rig.ask().status == 529
    while (status := rig.ask().status) == 529:  # it takes the server a moment to see it
        pass
    assert status == 200
