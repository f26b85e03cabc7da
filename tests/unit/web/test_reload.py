"""New settings while the server runs: upstreams and keys change, streams go on."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_messages.service.hosting import NO_HOSTING
from deepseek_messages.service.tool_host import ToolHost
from deepseek_messages.settings import Settings, Source, load_settings
from deepseek_messages.store.keys import digest_of, write_private
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.web.app import Parts, create_app
from deepseek_messages.web.reload import hangups_wait, renewed
from deepseek_messages.web.upstreams import Shelf, make_upstream
from tests.support.asgi import serve_app
from tests.support.client import HELLO, Client
from tests.support.fake import FINISH, OPEN, FakeUpstream, text
from tests.support.gates import WAIT_SECONDS, Gate, wait_until
from tests.support.raw import Wait

pytestmark = pytest.mark.anyio

DOUBLE = "[[upstreams]]\nname = 'one'\nkind = 'double'\n"


class Rig:
    """A reloader on a file, and what it put in place."""

    def __init__(self, directory: Path, text: str) -> None:
        self.path = directory / "settings.toml"
        self.state = f'state_dir = "{directory}"\ncache_dir = "{directory}"\n'
        self.write(text)
        self.source = Source(self.path, lambda: load_settings(self.path, {}, {}))
        self.settings = self.source.read()
        self.parts = Parts(self.settings, FakeUpstream())
        self.made: list[Upstream] = []
        self.parts.reload_from(self.source, Shelf())
        assert self.parts.reloader is not None
        self.reloader = self.parts.reloader
        self.reloader._make = self.make

    def make(self, settings: Settings) -> Upstream:
        made = FakeUpstream()
        self.made.append(made)
        make_upstream(settings)  # it could be made
        return made

    def write(self, text: str) -> None:
        write_private(self.path, (self.state + text).encode())  # never half of it


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, DOUBLE)


async def test_other_upstreams_are_used(rig: Rig) -> None:
    rig.write(DOUBLE + "weight = 2\n")
    assert await rig.reloader.reload()
    assert rig.parts.upstream.current is rig.made[0]


async def test_settings_that_did_not_change_replace_nothing(rig: Rig) -> None:
    assert await rig.reloader.reload()
    assert rig.made == []


@pytest.mark.parametrize(
    "text",
    [
        "[[upstreams]]\nname = 'one'\nkind = 'duble'\n",
        "not toml",
        "[upstream]\nkind = 'embedded'\n[embedded]\nmodel = 'absent.gguf'\n",
        DOUBLE + DOUBLE,
        "[server]\nport=x",
    ],
)
async def test_settings_that_cannot_be_used_change_nothing(
    rig: Rig, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rig.parts.upstream.current
    rig.write(text)
    assert not await rig.reloader.reload()
    assert rig.parts.upstream.current is before
    assert rig.reloader.settings == rig.settings


async def test_what_nobody_expected_changes_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, keyring = rig.parts.upstream.current, rig.parts.guard._keyring
    rig.write(DOUBLE + "weight = 2\n")

    async def fail(_upstream: FakeUpstream) -> None:
        raise OSError("no more files")

    with monkeypatch.context() as patch:
        patch.setattr(FakeUpstream, "start", fail)
        assert not await rig.reloader.reload()
    (made,) = rig.made
    assert isinstance(made, FakeUpstream)
    assert made.closed.is_set()
    assert rig.parts.upstream.current is before
    assert rig.parts.guard._keyring is keyring
    assert rig.reloader.settings == rig.settings
    assert await rig.reloader.reload()


@pytest.mark.parametrize(
    "text",
    [
        "[upstream]\nkind = 'embedded'\n[embedded]\nmodel = '~nobody-of-this-name/x.gguf'\n",
        DOUBLE + "[auth]\nmode = 'keys'\nkeys_file = '~nobody-of-this-name/keys'\n",
    ],
)
async def test_a_home_that_is_not_there_changes_nothing(rig: Rig, text: str) -> None:
    rig.write(text)
    assert not await rig.reloader.reload()
    renewed(rig.settings, rig.source)


async def test_a_missing_file_changes_nothing(rig: Rig) -> None:
    rig.path.unlink()
    assert not await rig.reloader.reload()


async def test_keys_change(tmp_path: Path) -> None:
    keys = '[auth]\nmode = "keys"\nkey_digests = ["{}"]\n'
    rig = Rig(tmp_path, DOUBLE + keys.format(digest_of("old")))
    keyring = rig.parts.guard._keyring
    rig.write(DOUBLE + keys.format(digest_of("new")))
    assert await rig.reloader.reload()
    assert keyring is not rig.parts.guard._keyring
    assert rig.parts.guard._keyring.find("new")
    assert not rig.parts.guard._keyring.find("old")
    assert rig.made == []


async def test_server_tools_change_with_their_section_and_with_the_upstream(rig: Rig) -> None:
    search = '[tools]\nweb_search = "searxng"\nweb_search_url = "http://search.internal"\n'
    assert rig.parts.tools.current is NO_HOSTING
    rig.write(DOUBLE + search)
    assert await rig.reloader.reload()
    first = rig.parts.tools.current
    assert isinstance(first, ToolHost)
    assert rig.made == []
    rig.write(DOUBLE + search + "timeout = 5\n")
    assert await rig.reloader.reload()
    assert rig.parts.tools.current is not first
    rig.write(DOUBLE)
    assert await rig.reloader.reload()
    assert rig.parts.tools.current is NO_HOSTING


async def watched(rig: Rig, act: Callable[[], None]) -> None:
    """Run the watch until it has reloaded after ``act``."""
    reloaded = asyncio.Event()
    original = rig.reloader.reload

    async def reload() -> bool:
        done = await original()
        reloaded.set()
        return done

    rig.reloader.reload = reload  # type: ignore[method-assign]
    watching = asyncio.get_running_loop().create_task(rig.reloader.watch())
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        act()
        await asyncio.wait_for(reloaded.wait(), WAIT_SECONDS)
    finally:
        watching.cancel()
        await asyncio.wait((watching,))


async def test_the_hangup_signal_reloads(rig: Rig) -> None:
    def change() -> None:
        rig.write(DOUBLE + "weight = 2\n")
        os.kill(os.getpid(), signal.SIGHUP)

    rig.reloader._seen = None
    rig.reloader.settings = rig.settings
    await watched(rig, change)
    assert len(rig.made) == 1


async def test_a_hangup_outside_of_that_ends_nothing(rig: Rig) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with hangups_wait():
        os.kill(os.getpid(), signal.SIGHUP)
        await watched(rig, lambda: os.kill(os.getpid(), signal.SIGHUP))
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is before


async def test_what_changed_before_anybody_listened_is_used(tmp_path: Path) -> None:
    never = "reload_interval = 0\n" + DOUBLE
    rig = Rig(tmp_path, never)
    rig.write(never + "weight = 2\n")  # a signal that comes now finds nobody
    await watched(rig, lambda: None)
    assert len(rig.made) == 1


async def test_the_signal_reloads_after_a_reload_that_failed(rig: Rig) -> None:
    failed, reloaded = asyncio.Event(), asyncio.Event()

    def read() -> Settings:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("nobody expected this")
        reloaded.set()
        return rig.settings

    rig.reloader._source = Source(None, read)
    watching = asyncio.get_running_loop().create_task(rig.reloader.watch())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.reloader._asked.set()
    await asyncio.wait_for(failed.wait(), WAIT_SECONDS)
    rig.reloader._asked.set()
    await asyncio.wait_for(reloaded.wait(), WAIT_SECONDS)
    watching.cancel()
    await asyncio.wait((watching,))


async def test_a_changed_file_reloads(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "reload_interval = 0.01\n" + DOUBLE)
    await watched(rig, lambda: rig.write("reload_interval = 0.01\n" + DOUBLE + "weight = 2\n"))
    assert len(rig.made) == 1


def test_a_stream_goes_on_where_it_began(tmp_path: Path) -> None:
    gate = Gate()
    old = FakeUpstream(
        [OPEN, text("Hel"), Wait(gate), text("lo"), FINISH], [text("from the old"), FINISH]
    )
    path = tmp_path / "settings.toml"
    state = f'state_dir = "{tmp_path}"\nreload_interval = 0.01\n'
    path.write_text(state + DOUBLE)
    source = Source(path, lambda: load_settings(path, {}, {}))
    app = create_app(source.read(), upstream=old, source=source)
    with serve_app(app) as running:
        client = Client(running.host, running.port)
        with client.stream() as stream:
            while (event := stream.next()) and event["type"] != "content_block_delta":
                pass
            write_private(path, (state + DOUBLE + "weight = 2\n").encode())
            wait_until(lambda: client.post(HELLO).json()["content"][0]["text"] != "from the old")
            assert not old.closed.is_set()
            gate.set()
            assert [event["type"] for event in stream.rest()][-1] == "message_stop"
        assert old.closed.wait(WAIT_SECONDS)


def test_operators_see_how_each_upstream_fares(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'state_dir = "{tmp_path}"\n{DOUBLE}')
    settings = load_settings(path, {}, {})
    with serve_app(create_app(settings)) as running:
        client = Client(running.host, running.port)
        client.post(HELLO)
        ready = client.get("/readyz").json()
        metrics = client.get("/metrics").body.decode()
    assert ready["upstreams"] == [{"name": "one", "health": "closed", "open": 0, "why": ""}]
    assert 'upstream_attempts_total{outcome="served",upstream="one"} 1.0' in metrics
    assert 'deepseek_messages_upstream_health{state="closed",upstream="one"} 1.0' in metrics
    assert 'deepseek_messages_upstream_open_requests{upstream="one"} 0.0' in metrics


def test_a_worker_that_starts_later_begins_with_what_a_reload_has_changed(rig: Rig) -> None:
    rig.write(DOUBLE + "weight = 2\n[server]\nport = 1234\n")
    now = renewed(rig.settings, rig.source)
    assert now.upstreams[0].weight == 2
    assert now.server == rig.settings.server  # at the next start
    rig.write("not toml")
    assert renewed(rig.settings, rig.source) == rig.settings
    assert renewed(rig.settings, None) == rig.settings


async def test_settings_that_cannot_be_used_keep_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = "[[upstreams]]\nname = 'local'\nkind = 'embedded'\n"
    other = "[[upstreams]]\nname = 'other'\nbase_url = 'https://models.test/v1'\n"
    rig = Rig(tmp_path, model + DOUBLE)
    shelf = Shelf()
    upstream = make_upstream(rig.settings, shelf)
    rig.write(model + other)
    monkeypatch.setenv("https_proxy", "socks5://proxy.test:1080")
    with pytest.raises(ValueError, match="socks5"):
        make_upstream(rig.source.read(), shelf)
    await upstream.aclose()
    assert shelf._shared is not None
    assert not shelf._shared.in_use
