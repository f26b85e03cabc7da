"""A client that leaves at every stage of an answer, on every way that it can be served: the
upstream is let go, what had come is recorded, and nothing is left behind.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.faults.cells import STAGES, WAYS, played
from tests.faults.chat_bytes import whole
from tests.faults.pairs import two
from tests.faults.rig import Rig, running_rig
from tests.faults.test_clients import LEAVING
from tests.faults.test_rounds_matrix import FORCED, MODELS, NOT_JSON
from tests.support.client import HELLO
from tests.support.gates import WAIT_SECONDS, Gate
from tests.support.servers import Cut, Reached, ReadRequest, Stall, Step, answer, chunk

GOOD = [ReadRequest(), answer(whole("Good")), Cut()]


@contextmanager
def alone(*, chunked: bool = False) -> Iterator[Rig]:
    with running_rig(MODELS, chunked=chunked, kind="chat", dialect="deepseek") as rig:
        yield rig


@contextmanager
def one_of_two() -> Iterator[Rig]:
    with two() as made:
        yield made.rig


# How it is served, what is asked for besides, and the calls of the upstream before that one.
SERVED: dict[str, tuple[Callable[[], Any], dict[str, Any], list[list[Step]]]] = {
    "without a task": (alone, {}, []),
    "by a task": (lambda: alone(chunked=True), {}, []),
    "one of several upstreams": (one_of_two, {}, []),
    "the second call": (alone, FORCED, [NOT_JSON]),
}
BEFORE_HEADERS = "before headers"
HELD_BACK = "the second call"  # nothing goes out before it is known to be a call


@pytest.fixture(scope="module", params=SERVED)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Rig]]:
    with SERVED[request.param][0]() as rig:
        rig.upstream.on_silence = None  # it is the client that ends it
        yield request.param, rig


def sent(body: object, *, chunked: bool) -> bytes:
    data = json.dumps(body).encode()
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(data)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: sk-mine\r\n%b\r\n\r\n"
    return head % framing + (chunk(data) + chunk(b"") if chunked else data)


def read_until(sock: socket.socket, what: bytes) -> None:
    data = b""
    while what not in data:
        more = sock.recv(65_536)
        assert more, data
        data += more


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", [BEFORE_HEADERS, *STAGES])
def test_a_client_that_leaves(
    served: tuple[str, Rig], stage: str, way: str, leave: Callable[[socket.socket], None]
) -> None:
    name, rig = served
    _, more, before = SERVED[name]
    come, text, _ = STAGES.get(stage, (b"", "", False))
    reached = Gate()
    silence = [Reached(reached), Stall()]
    steps = [ReadRequest(), *silence] if stage == BEFORE_HEADERS else played(come, silence)
    made = len(rig.upstream.connections)
    rig.upstream.scripts = [[Cut()]] * made + [*before, steps, GOOD]
    del rig.log[:]
    with socket.create_connection((rig.client.host, rig.client.port), WAIT_SECONDS) as sock:
        sock.sendall(sent(WAYS[way] | more, chunked=rig.chunked))
        reached.require("the stage")
        seen = text and way == "stream" and name != HELD_BACK
        if seen:
            read_until(sock, text.lstrip('{"').encode())
        leave(sock)
    rig.upstream.connections[made + len(before)].done.require("letting go of the upstream")
    assert rig.recorded["outcome"] == "gone"
    assert rig.recorded["status"] in (200, 499)
    if seen:
        assert rig.recorded["tokens"]["out"] > 0
    if before:
        assert rig.recorded["tokens"]["in"] >= 7
    assert rig.post(HELLO).status == 200  # its place is free again
    assert len(rig.upstream.connections) == made + len(before) + 2
