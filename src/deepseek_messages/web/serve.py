"""Run the application: bind, make a first key, say when ready, drain on a signal."""

import asyncio
import contextlib
import errno
import gc
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import FrameType

import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp

from deepseek_messages.settings import ServerSettings, Settings, SettingsError, Source
from deepseek_messages.store.keys import KeyFile, KeyFileError
from deepseek_messages.store.models import ModelError
from deepseek_messages.telemetry.logs import flush, log
from deepseek_messages.translation.limits import MAX_UNSENT_BYTES
from deepseek_messages.upstreams.places import Board, Places, SharedPlaces
from deepseek_messages.web.app import create_app, keyring_of, keys_file_of
from deepseek_messages.web.reload import hangups_wait, reread
from deepseek_messages.web.upstreams import Progress
from deepseek_messages.web.workers import WorkersError, run_workers

FIRST_KEY = "first"

# Seconds an idle connection is kept; longer than the idle time of common load balancers (60),
# so that it is they who close.
KEEP_ALIVE = 75

BACKLOG = 2048

# Objects made, and collections of the younger before one of the older generation (``gc``
# documentation, ``set_threshold``). A request makes some hundred that outlive its first moment.
# What dies in the second generation waits there: at 20 it grew for ten minutes of 60 requests a
# second before it was looked at.
COLLECT_AFTER = (20_000, 5, 20)

# Names of places that one answer holds at most: its own, its caller's, and an upstream's and its
# account's, both twice where a second upstream is asked as well.
NAMES_OF_AN_ANSWER = 6

# Names that a worker counts at most, whatever the settings say: more than it has connections for.
MOST_NAMES = 100_000

# How often a thread that serves is looked at while it starts, in seconds.
READY_POLL = 0.1

# How often settings or a file of keys that cannot be used are tried again, in seconds.
SETTINGS_POLL = 1.0


class ServeError(Exception):
    """The server cannot start; the message is for the person who started it."""


class ServerInfo(Struct, frozen=True):
    """What is known once the server listens. ``new_key`` is a key made at this start; nobody can
    show it again.
    """

    host: str
    port: int
    url: str
    new_key: str | None = None


def serve(
    settings: Settings,
    on_ready: Callable[[ServerInfo], None],
    progress: Progress | None = None,
    source: Source | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs and return. ``on_ready`` is called once
    connections are accepted; ``progress`` hears how a model loads; with a ``source`` the settings
    are read again when they change. Raises ``ServeError`` when the port is taken or an upstream
    cannot be made, ``KeyFileError`` when the file of keys is unusable.
    """
    with bind(settings.server.host, settings.server.port) as listener:
        info = _info(listener, first_key(settings))

        workers = settings.server.workers
        if workers == 1:
            with hangups_wait() if source is not None else contextlib.nullcontext():
                _run(_server(settings, lambda: on_ready(info), progress, source), listener)
            return
        board = Board(workers, names_at_a_time(settings.server))

        def work(number: int, ready: Callable[[], None]) -> None:
            places = SharedPlaces(board, number)

            def make(now: Settings) -> _Server:
                return _server(now, ready, progress, source, places)

            _run(_worker(settings, source, make), listener)

        try:
            run_workers(workers, work, lambda: on_ready(info), board.wipe, listener.close)
        except WorkersError as error:
            raise ServeError(str(error)) from error


def _worker(
    settings: Settings, source: Source | None, make: Callable[[Settings], "_Server"]
) -> "_Server":
    """A worker's server, made of the settings as they are now: the others may have read them
    again since the start. When one is replaced, these or the file of keys may be damaged. It waits
    then: the others go on with what they know, and the settings of the start may let in whom they
    no longer do. Raises ``ServeError`` where it is the settings of the start that cannot be used.
    """
    waited = False
    while True:
        now = settings
        try:
            now = reread(settings, source)
            keyring_of(now)
            server = make(now)
        except (SettingsError, KeyFileError, ServeError) as error:
            if isinstance(error, ServeError) and now == settings:
                raise
            if not waited:
                log().error("worker waits for its settings", why=str(error))
            waited = True
            time.sleep(SETTINGS_POLL)
            continue
        if waited:
            log().info("worker has its settings")
        return server


def names_at_a_time(server: ServerSettings) -> int:
    """How many names of places a worker may hold."""
    return min(NAMES_OF_AN_ANSWER * (server.max_concurrency + 1), MOST_NAMES)


def _run(server: "_Server", listener: socket.socket) -> None:
    try:
        server.run(sockets=[listener])
    finally:
        flush()


@contextlib.contextmanager
def serving(settings: Settings, progress: Progress | None = None) -> Iterator[ServerInfo]:
    """Serve in a thread until the block ends. Signals stay the caller's. Raises what ``serve``
    raises.
    """
    with bind(settings.server.host, settings.server.port) as listener:
        info = _info(listener, first_key(settings))
        ready = threading.Event()
        server = _server(settings, ready.set, progress)
        thread = threading.Thread(target=server.run, args=([listener],), name="serving")
        thread.start()
        try:
            while thread.is_alive() and not ready.wait(READY_POLL):
                pass
            if not ready.is_set():
                raise ServeError("the server did not start; its log says why")
            yield info
        finally:
            server.should_exit = True
            thread.join()


def _info(listener: socket.socket, new_key: str | None) -> ServerInfo:
    host, port = listener.getsockname()[:2]
    return ServerInfo(host=host, port=port, url=url_of(host, port), new_key=new_key)


def _server(
    settings: Settings,
    on_ready: Callable[[], None],
    progress: Progress | None,
    source: Source | None = None,
    places: Places | None = None,
) -> "_Server":
    try:
        app = create_app(settings, progress=progress, source=source, places=places)
    except (ValueError, ModelError) as error:
        raise ServeError(str(error)) from error
    return _Server(uvicorn_config(app, settings.server), on_ready)


def uvicorn_config(app: ASGIApp, server: ServerSettings) -> uvicorn.Config:
    """How the application is served: our limits, our logs, no header that is not ours."""
    return uvicorn.Config(
        app,
        http=_protocol(server.write_timeout),
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(server.drain_seconds)),
        h11_max_incomplete_event_size=32 * 1024,
    )


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens nowhere yet, but whose port is ours. Raises ``ServeError``."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = addresses[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ServeError(f"{host}: no such address ({error.strerror})") from error
    except OSError as error:
        raise ServeError(_why(error, host, port)) from error
    listener.setblocking(False)
    with contextlib.suppress(OSError, AttributeError):  # accepted connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)
    return listener


def url_of(host: str, port: int) -> str:
    """The address to paste. A server on every address is reachable here as localhost."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def first_key(settings: Settings) -> str | None:
    """In keys mode, a key when there is none yet; otherwise ``None``."""
    if settings.auth_mode != "keys" or len(keyring_of(settings)) > 0:
        return None
    file: KeyFile = keys_file_of(settings)
    return file.create(f"{FIRST_KEY}-{secrets.token_hex(2)}")


def _why(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken; choose another with --port (0: any free one)"
        case errno.EACCES:
            return f"port {port} on {host} is not allowed for this user; choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
        case _:
            return f"cannot listen on {host}:{port} ({error.strerror})"


def _protocol(write_timeout: float) -> type[asyncio.Protocol] | str:
    try:
        from deepseek_messages.web.protocol import bounded_protocol  # noqa: PLC0415 - optional
    except ImportError:
        return "h11"
    return bounded_protocol(write_timeout=write_timeout)


def _settle_memory() -> None:
    """What the start made lives as long as the process: the collector need not look at it again,
    and the cycles of requests are few enough to be looked for seldom.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class _Server(uvicorn.Server):
    """uvicorn, telling when it is ready; a signal to stop ends it normally."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._signal: signal.Signals | None = None  # the one that stops it

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _settle_memory()
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """As uvicorn does, but without raising the signal again once everything was drained."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second one ends at once. It may come in the middle of
        anything, be it an import, so nothing is done here but to remember it.
        """
        self.force_exit = self.should_exit
        self.should_exit = True
        self._signal = signal.Signals(sig)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._signal is not None:
            log().info("stopping", signal=self._signal.name)
        await super().shutdown(sockets)
