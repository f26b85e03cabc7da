"""Reading the settings again while the server runs: on SIGHUP, and when their file changes.

Upstreams, keys and server tools change at once, and no answer is cut: those that run go on with
what they began with.
Everything else takes effect at the next start, and the log says so. Settings that cannot be used
change nothing.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from deepseek_messages.service.hosting import Hosting, HostingSwitch
from deepseek_messages.settings import Settings, SettingsError, Source
from deepseek_messages.store.keys import KeyFileError, Keyring
from deepseek_messages.store.models import ModelError
from deepseek_messages.telemetry.logs import log, log_bug
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.upstreams.switch import Switch
from deepseek_messages.web.guard import Guard

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none

# What a reload changes; of the rest it is told that a restart is needed.
UPSTREAM_SECTIONS = ("upstream", "upstreams", "pool", "embedded")
KEY_SECTIONS = ("auth",)
# DeepSeek's own web tools are asked with the upstream's address and key.
TOOL_SECTIONS = ("tools", "upstream")


def reread(settings: Settings, source: Source | None) -> Settings:
    """``settings`` with what a reload would change by now, for a process that starts later than
    the others. Raises ``SettingsError`` when they cannot be read.
    """
    try:
        new = source.read() if source is not None else settings
    except SettingsError:
        raise
    except Exception as error:
        log_bug(error)
        raise SettingsError("the settings could not be read") from error
    names = {*UPSTREAM_SECTIONS, *KEY_SECTIONS, *TOOL_SECTIONS}
    return replace(settings, **{name: getattr(new, name) for name in names})


def renewed(settings: Settings, source: Source | None) -> Settings:
    """As ``reread``; unchanged when the settings cannot be read."""
    try:
        return reread(settings, source)
    except SettingsError:
        return settings


class Reloader:
    """Applies new settings to ``switch``, ``guard`` and ``tools``. ``make``, ``keyring`` and
    ``hosting`` make an upstream, a keyring and the server tools of settings; they raise
    ``ValueError``, ``ModelError`` or ``KeyFileError``.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        *,
        switch: Switch,
        guard: Guard,
        tools: HostingSwitch,
        make: Callable[[Settings], Upstream],
        keyring: Callable[[Settings], Keyring],
        hosting: Callable[[Settings], Hosting],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._source = source
        self._switch = switch
        self._guard = guard
        self._tools = tools
        self._make = make
        self._keyring = keyring
        self._hosting = hosting
        self._sleep = sleep
        self._seen = _stamp(source.path)
        self._asked = asyncio.Event()

    async def reload(self) -> bool:
        """Read the settings and use what can be changed. Whether they could be used."""
        self._seen = _stamp(self._source.path)
        try:
            new = self._source.read()
            changed = _changed(self.settings, new)
            keyring = self._keyring(new)
            hosting = self._hosting(new) if changed & set(TOOL_SECTIONS) else None
            if changed & set(UPSTREAM_SECTIONS):
                await self._switch.replace(self._make(new))
        except (SettingsError, ValueError, ModelError, KeyFileError) as error:
            log().error("settings not reloaded; the old ones stay", why=str(error))
            return False
        except Exception as error:  # noqa: BLE001 - whoever watches must go on: as above
            log_bug(error)
            return False
        self._guard.use(new.auth_mode, keyring)
        if hosting is not None:
            self._tools.replace(hosting)
        self.settings = new
        later = sorted(changed - {*UPSTREAM_SECTIONS, *KEY_SECTIONS, *TOOL_SECTIONS})
        log().info("settings reloaded", changed=sorted(changed), at_next_start=later)
        return True

    async def watch(self) -> None:
        """Reload on SIGHUP, and whenever the file has changed, until cancelled."""
        with _on_hangup(self._asked.set):
            if renewed(self.settings, self._source) != self.settings:
                self._asked.set()  # they changed, perhaps with a signal, before anybody listened
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._obey())
                if self._source.path is not None and self.settings.reload_interval:
                    tasks.create_task(self._look())

    async def _obey(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reload()

    async def _look(self) -> None:
        """A change counts once it has lasted for one interval: writing a file takes a moment."""
        last = self._seen
        while True:
            await self._sleep(self.settings.reload_interval)
            now = _stamp(self._source.path)
            if now != self._seen and now == last and now is not None:
                self._asked.set()
            last = now


def _changed(old: Settings, new: Settings) -> set[str]:
    names = Settings.__struct_fields__
    return {name for name in names if getattr(old, name) != getattr(new, name)}


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes whenever the file does; ``None`` without a file."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


@contextlib.contextmanager
def hangups_wait() -> Iterator[None]:
    """While the block runs, a SIGHUP that nobody listens to yet, or any more, does not end the
    process. Whoever begins to listen reads the settings anyway.
    """
    if HANGUP is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(HANGUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(HANGUP, before)


@contextlib.contextmanager
def _on_hangup(then: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as after:
        if HANGUP is not None:
            before = signal.getsignal(HANGUP)
            # Not the main thread, or Windows.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(HANGUP, then)
                after.callback(signal.signal, HANGUP, before)  # a loop knows the default only
                after.callback(loop.remove_signal_handler, HANGUP)
        yield
