"""A stream that falls silent in mid-reasoning, its socket open (DeepSeek-V3#1608): pings keep the
client, then one error ends the answer, and the upstream is let go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import MemberSettings, PoolSettings, Secret, UpstreamSettings
from deepseek_messages.upstreams.double import Double, Stall, Text, Think, running_double
from deepseek_messages.web.app import create_app
from tests.support.app import settings_for
from tests.support.client import STREAM, Client, Stream
from tests.support.clock import SKIPPING, SkippingLoop
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import assert_lawful, error_of, serve_app

# The clock is moved past these: a slow machine reaches neither.
IDLE, PING = 1000.0, 200.0
THINKING = STREAM | {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}


@dataclass(frozen=True)
class Served:
    """A client of the server, and the server's clock."""

    client: Client
    loop: SkippingLoop

    def passes(self, seconds: float) -> None:
        self.loop.skip(seconds).done.require("the jump")


@contextmanager
def server(
    directory: Path, double: Double, *, several: bool, limit: str = "idle_timeout"
) -> Iterator[Served]:
    with running_double(double) as url:
        one: dict[str, Any] = {
            "kind": "chat",
            "base_url": url,
            "dialect": "deepseek",
            "api_key": Secret("sk-upstream"),
            limit: IDLE,
            "proxy_from_env": False,
        }
        members = tuple(MemberSettings(name=name, **one) for name in ("one", "two") if several)
        settings = settings_for(
            directory,
            server={"ping_interval": PING, "commit_after": PING},
            upstream=UpstreamSettings(**one),
            upstreams=members,
            pool=PoolSettings(silence_after=0),
        )
        with serve_app(create_app(settings), loop=SKIPPING) as running:
            assert isinstance(running.loop, SkippingLoop)
            yield Served(Client(running.host, running.port), running.loop)


def until(stream: Stream, true: Callable[[list[Any]], bool]) -> list[Any]:
    """The events that come until ``true`` of them."""
    events: list[Any] = []
    while not true(events):
        events.append(stream.next())
        assert events[-1] is not None, events
    return events


def words(events: list[Any]) -> str:
    deltas = [event.get("delta", {}) for event in events]
    return "".join(delta.get("thinking", "") + delta.get("text", "") for delta in deltas)


def pinged(events: list[Any]) -> bool:
    return bool(events) and events[-1]["type"] == "ping"


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
@pytest.mark.parametrize("said", [[Think("Well")], [Think("Well."), Text("So")]])
def test_a_stall_is_bridged_by_pings_and_ends_in_one_error(
    tmp_path: Path, said: list[Any], several: bool
) -> None:
    double = Double([[*said, Stall()], Text("never asked for")])
    all_said = "".join(step.text for step in said)
    with (
        server(tmp_path, double, several=several) as served,
        served.client.stream(THINKING) as stream,
    ):
        events = until(stream, lambda events: words(events) == all_said)
        served.passes(PING)
        events += until(stream, pinged)
        served.passes(IDLE)
        events += stream.rest()
        assert double.requests[0].ended.wait(WAIT_SECONDS)
    assert_lawful(events)
    kinds = [event["type"] for event in events]
    assert "ping" in kinds[kinds.index("content_block_delta") :]
    assert kinds.count("error") == 1
    assert "message_stop" not in kinds
    error = error_of(events)
    assert error is not None
    assert error["type"] == "timeout_error"
    assert f"{IDLE:g} s" in error["message"]
    # What began at one upstream is not begun again at another: the client has seen it, and pays.
    assert len(double.requests) == 1
    assert double.requests[0].outcome == "client gone"


def test_a_stall_before_the_first_word_goes_to_another_one(tmp_path: Path) -> None:
    double = Double([[Stall()], [Think("Well."), Text("Hello")]])
    with (
        server(tmp_path, double, several=True, limit="first_byte_timeout") as served,
        served.client.stream(THINKING) as stream,
    ):
        double.request()
        served.passes(PING)  # the headers go out, and the message begins
        served.passes(PING)
        events = until(stream, pinged)
        served.passes(IDLE)
        events += stream.rest()
    kinds = [event["type"] for event in assert_lawful(events)]
    assert kinds.count("message_start") == 1
    assert "ping" in kinds
    assert kinds[-1] == "message_stop"
    assert len(double.requests) == 2
