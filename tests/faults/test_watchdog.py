"""A stream that falls silent in mid-reasoning, its socket open (DeepSeek-V3#1608): pings keep the
client, then one error ends the answer, and the upstream is let go.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import MemberSettings, Secret, UpstreamSettings
from deepseek_messages.upstreams.double import Double, Stall, Text, Think, running_double
from deepseek_messages.web.app import create_app
from tests.support.app import settings_for
from tests.support.client import STREAM, Client
from tests.support.servers import assert_lawful, error_of, serve_app

# Pings come twenty times before the watchdog does.
IDLE, PING = 1.0, 0.05
THINKING = STREAM | {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}


@contextmanager
def server(
    directory: Path, double: Double, *, several: bool, limit: str = "idle_timeout"
) -> Iterator[Client]:
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
        )
        with serve_app(create_app(settings)) as running:
            yield Client(running.host, running.port)


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
@pytest.mark.parametrize("said", [[Think("Well")], [Think("Well."), Text("So")]])
def test_a_stall_is_bridged_by_pings_and_ends_in_one_error(
    tmp_path: Path, said: list[Any], several: bool
) -> None:
    double = Double([[*said, Stall()], Text("never asked for")])
    with server(tmp_path, double, several=several) as client:
        events = assert_lawful(client.post(THINKING).body)
        assert double.requests[0].ended.wait(30)
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
    with server(tmp_path, double, several=True, limit="first_byte_timeout") as client:
        body = client.post(THINKING).body
    kinds = [event["type"] for event in assert_lawful(body)]
    assert kinds.count("message_start") == 1
    assert "ping" in kinds
    assert kinds[-1] == "message_stop"
    assert len(double.requests) == 2
