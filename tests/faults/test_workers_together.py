"""``serve --workers 2``: what holds for both workers together, and what reaches both at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deepseek_messages.store.keys import digest_of, write_private
from tests.faults.test_worker_dies import Upstream, begun, stopped, workers_of
from tests.support.client import HELLO, Client
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import serve_app
from tests.support.serving import Program, serve_config, serve_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextmanager
def upstream() -> Iterator[tuple[Upstream, str]]:
    made = Upstream()
    with serve_app(made) as running:
        try:
            yield made, running.url
        finally:
            made.go_on.set()


def until(true: Callable[[], bool], client: Client) -> None:
    """Ask for something small until it is so; each question takes the server a moment."""
    deadline = os.times().elapsed + WAIT_SECONDS
    while not true():
        assert os.times().elapsed < deadline, "it never came true"
        client.get("/healthz")


# --- limits ---------------------------------------------------------------------------------------


LIMITS = {
    "max_concurrency = 1": (529, "overloaded_error"),
    "max_concurrency_per_key = 1": (429, "rate_limit_error"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_is_one_for_all_workers_and_a_killed_one_gives_its_places_back(
    tmp_path: Path, limit: str
) -> None:
    with ExitStack() as stack:
        _, url = stack.enter_context(upstream())
        program = stack.enter_context(serve_program(tmp_path, url, f"workers = 2\n{limit}"))
        client, parent = program.client, program.process.pid
        one, other = workers_of(parent)
        with stopped(other):
            begun(stack, client)
        with stopped(one):
            refused = client.post(HELLO)
        assert refused.error()[:2] == LIMITS[limit]
        assert float(refused.headers["retry-after"]) > 0

        os.kill(one, signal.SIGKILL)
        until(lambda: one not in workers_of(parent), client)
        # It is no process any more a moment before its places are given back.
        until(lambda: client.post(HELLO).status == 200, client)


def test_an_upstreams_limit_is_one_for_all_workers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made, url = stack.enter_context(upstream())
        config = tmp_path / "settings.toml"
        config.write_text(
            f'state_dir = "{tmp_path}"\n[server]\nport = 0\nworkers = 2\n[pool]\nattempts = 1\n'
            f'[[upstreams]]\nname = "only"\nbase_url = "{url}"\nmax_concurrency = 1\n'
        )
        program = stack.enter_context(serve_config(config))
        one, other = workers_of(program.process.pid)
        with stopped(other):
            stream = begun(stack, program.client)
        with stopped(one):
            assert program.client.post(HELLO).error()[:2] == (529, "overloaded_error")
        made.go_on.set()
        assert stream.rest()[-1]["type"] == "message_stop"
        until(lambda: program.client.post(HELLO).status == 200, program.client)


# --- new settings ---------------------------------------------------------------------------------


class Reloading:
    """A server whose one upstream, and whose only key, are changed while it runs."""

    def __init__(self, directory: Path, interval: float) -> None:
        self.config = directory / "settings.toml"
        self._head = (
            f'state_dir = "{directory}"\nreload_interval = {interval}\n'
            "[server]\nport = 0\nworkers = 2\n"
        )

    def write(self, url: str, key: str) -> None:
        text = (
            f'{self._head}[auth]\nmode = "keys"\nkey_digests = ["{digest_of(key)}"]\n'
            f'[[upstreams]]\nname = "only"\nbase_url = "{url}"\ndialect = "deepseek"\n'
        )
        write_private(self.config, text.encode())  # never half of it


def keyed(program: Program, key: str) -> Client:
    return Client(program.client.host, program.client.port, {"x-api-key": key})


@pytest.mark.parametrize("way", ["signal", "file"])
def test_new_upstreams_and_keys_reach_every_worker_and_no_stream_is_cut(
    tmp_path: Path, way: str
) -> None:
    with ExitStack() as stack:
        before, old_url = stack.enter_context(upstream())
        after, new_url = stack.enter_context(upstream())
        after.go_on.set()
        settings = Reloading(tmp_path, 0.05 if way == "file" else 0)
        settings.write(old_url, "dsm-old")
        program = stack.enter_context(serve_config(settings.config))
        old, new = keyed(program, "dsm-old"), keyed(program, "dsm-new")
        one, other = workers_of(program.process.pid)
        streams = []
        for silenced in (one, other):
            with stopped(silenced):
                streams.append(begun(stack, old))

        settings.write(new_url, "dsm-new")
        if way == "signal":
            program.process.send_signal(signal.SIGHUP)
        for silenced in (one, other):
            with stopped(silenced):
                until(lambda: new.post(HELLO).status == 200, new)
                assert old.post(HELLO).status == 401
        assert after.asked >= 2

        before.go_on.set()
        for stream in streams:
            events = stream.rest()
            assert [each["type"] for each in events if each["type"] != "ping"] == REST
            assert events[0]["delta"]["text"] == "lo"
        assert workers_of(program.process.pid) == {one, other}


# What follows the first word of a stream that nothing disturbs.
REST = ["content_block_delta", "content_block_stop", "message_delta", "message_stop"]


def test_a_worker_that_is_replaced_takes_back_no_key_that_the_others_have_dropped(
    tmp_path: Path,
) -> None:
    """While nobody can tell what holds now, it waits: the start's settings are out of date."""
    with ExitStack() as stack:
        made, url = stack.enter_context(upstream())
        made.go_on.set()
        settings = Reloading(tmp_path, 0)
        settings.write(url, "dsm-old")
        program = stack.enter_context(serve_config(settings.config))
        old, new = keyed(program, "dsm-old"), keyed(program, "dsm-new")
        settings.write(url, "dsm-new")
        program.process.send_signal(signal.SIGHUP)
        one, other = workers_of(program.process.pid)
        for silenced in (one, other):
            with stopped(silenced):
                until(lambda: new.post(HELLO).status == 200, new)

        settings.config.write_text("not toml")
        os.kill(one, signal.SIGKILL)
        until(lambda: "worker waits" in (tmp_path / "log").read_text(), new)
        assert new.post(HELLO).status == 200  # of the other, as before

        settings.write(url, "dsm-new")
        until(lambda: "worker has its settings" in (tmp_path / "log").read_text(), new)
        with stopped(other):
            assert new.post(HELLO).status == 200
            assert old.post(HELLO).status == 401
