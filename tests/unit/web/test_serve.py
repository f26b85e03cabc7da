"""Start and stop: the port, the first key, signals, running streams."""

import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
import uvicorn

from deepseek_messages.settings import ServerSettings, Settings
from deepseek_messages.store.keys import KeyFile
from deepseek_messages.web import serve as server
from tests.support.app import settings_for
from tests.support.client import HELLO, STREAM, Client
from tests.support.fake import FINISH, FakeUpstream, text
from tests.support.gates import WAIT_SECONDS, Gate
from tests.support.raw import Wait


class Run:
    """A server in a thread, told to stop as a signal would."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.ready = Gate()
        self.info: server.ServerInfo | None = None
        self.servers: list[server._Server] = []
        made = server._Server.__init__

        def remember(this: server._Server, *args: object) -> None:
            made(this, *args)  # type: ignore[arg-type]
            self.servers.append(this)

        monkeypatch.setattr(server._Server, "__init__", remember)
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            server.serve(self.settings, self.on_ready)
        finally:
            self.ready.set()

    def on_ready(self, info: server.ServerInfo) -> None:
        self.info = info
        self.ready.set()

    @property
    def client(self) -> Client:
        assert self.info is not None
        return Client(self.info.host, self.info.port)

    def signal(self) -> None:
        if not self.servers[0].should_exit:  # a second one would not let it drain
            self.servers[0].handle_exit(signal.SIGTERM, None)


@contextmanager
def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    run = Run(settings, monkeypatch)
    run.thread.start()
    try:
        run.ready.require("the start")
        assert run.info is not None, "the server did not start"
        yield run
    finally:
        if run.servers:
            run.signal()
        run.thread.join(WAIT_SECONDS)
        assert not run.thread.is_alive()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeUpstream:
    """What ``serve`` finds where the settings' upstream would be."""
    upstream = FakeUpstream()
    monkeypatch.setattr(
        "deepseek_messages.web.app.make_upstream", lambda _settings, _progress: upstream
    )
    return upstream


def wait_until_refused(client: Client) -> None:
    """The port is closed a moment after the signal."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            client.get("/healthz")
        except ConnectionError:
            return
    raise AssertionError("new connections are still accepted")


FREE = {"port": 0, "drain_seconds": 1.0}


def test_it_tells_where_it_listens_and_answers(
    tmp_path: Path, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(settings_for(tmp_path, server=FREE), monkeypatch) as run:
        assert run.info is not None
        assert run.info.url == f"http://127.0.0.1:{run.info.port}"
        assert run.info.new_key is None
        reply = run.client.post(HELLO)
    assert reply.status == 200
    assert "server" not in reply.headers
    assert fake.closed.is_set()


def test_a_first_key_is_made_once(
    tmp_path: Path, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path, server=FREE, auth={"mode": "keys"})
    with running(settings, monkeypatch) as run:
        assert run.info is not None
        key = run.info.new_key
        assert key
        assert run.client.post(HELLO).status == 401
        assert run.client.post(HELLO, x_api_key=key).status == 200
    file = tmp_path / "keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    with running(settings, monkeypatch) as again:
        assert again.info is not None
        assert again.info.new_key is None
        assert again.client.post(HELLO, x_api_key=key).status == 200


def test_no_key_is_made_where_there_are_keys(tmp_path: Path) -> None:
    with_digest = settings_for(tmp_path, auth={"mode": "keys", "key_digests": ("0" * 64,)})
    assert server.first_key(with_digest) is None
    assert server.first_key(settings_for(tmp_path, auth={"mode": "open"})) is None
    assert not KeyFile(tmp_path / "keys").load()


def test_a_taken_port_is_told_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = settings_for(tmp_path, server={"port": port})
        with pytest.raises(server.ServeError, match=f"port {port} on 127.0.0.1 is taken"):
            server.serve(settings, lambda _info: None)


def test_a_strange_host_is_told_in_words() -> None:
    with pytest.raises(server.ServeError, match=r"203\.0\.113\.1 is no address of this machine"):
        server.bind("203.0.113.1", 0)
    with pytest.raises(server.ServeError, match=r"no\.such\.invalid: no such address"):
        server.bind("no.such.invalid", 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://localhost:80"),
        ("::", "http://localhost:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_the_address_to_paste(host: str, url: str) -> None:
    assert server.url_of(host, 80) == url


def test_a_signal_lets_running_streams_end_and_refuses_new_work(
    tmp_path: Path, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    fake.scripts = [[text("one"), Wait(gate), text("two"), FINISH]]
    settings = settings_for(tmp_path, server={"port": 0, "drain_seconds": 30.0})
    with running(settings, monkeypatch) as run, run.client.stream(STREAM) as stream:
        for _ in range(3):
            stream.next()
        run.signal()
        wait_until_refused(run.client)
        gate.set()
        assert stream.rest()[-1]["type"] == "message_stop"


def test_what_does_not_end_in_time_is_told_and_cut(
    tmp_path: Path, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = Gate()
    fake.scripts = [[text("one"), Wait(never)]]
    with running(settings_for(tmp_path, server=FREE), monkeypatch) as run:
        with run.client.stream(STREAM) as stream:
            for _ in range(3):
                stream.next()
            run.signal()
            rest = stream.rest()
        never.set()
    assert [event["type"] for event in rest] == ["error"]
    assert rest[0]["error"]["type"] == "overloaded_error"
    assert fake.played[0].closed.is_set()


@pytest.mark.parametrize(("limit", "names"), [(1, 12), (1000, 6006), (10**12, 100_000)])
def test_workers_have_room_for_what_their_answers_hold_and_no_more(limit: int, names: int) -> None:
    assert server.names_at_a_time(ServerSettings(max_concurrency=limit)) == names


def test_a_signal_may_come_in_the_middle_of_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_imported() -> None:
        raise AttributeError("partially initialized module")

    monkeypatch.setattr(server, "log", half_imported)
    made = server._Server(uvicorn.Config(FakeUpstream), lambda _: None)
    made.handle_exit(signal.SIGTERM, None)
    assert (made.should_exit, made.force_exit) == (True, False)
    made.handle_exit(signal.SIGINT, None)
    assert (made.should_exit, made.force_exit) == (True, True)


def test_the_log_tells_what_stopped_it(
    tmp_path: Path, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        structlog.testing.capture_logs() as log,
        running(settings_for(tmp_path, server=FREE), monkeypatch) as run,
    ):
        run.signal()
        run.thread.join(WAIT_SECONDS)
    assert [entry["signal"] for entry in log if entry["event"] == "stopping"] == ["SIGTERM"]
    assert fake.closed.is_set()
