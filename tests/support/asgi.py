"""Run an ASGI application over real HTTP, in a thread of this process."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.support.gates import WAIT_SECONDS

# Only ever reached by a test that fails.
STARTUP_SECONDS = WAIT_SECONDS
SHUTDOWN_SECONDS = 2 * WAIT_SECONDS  # some let answers end for so long before


class RunningApp:
    """Where a served application can be reached."""

    def __init__(self, host: str, port: int, server: "_TellingServer") -> None:
        self.host = host
        self.port = port
        self.server = server

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://{self.host}:{self.port}"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs on."""
        assert self.server.loop is not None
        return self.server.loop

    @property
    def open_connections(self) -> int:
        """How many client connections the server holds now."""
        return len(self.server.server_state.connections)


class _TellingServer(uvicorn.Server):
    """Says through an event when it listens, so that nobody has to poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.failure: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()

    def run_in_thread(self, sockets: list[socket.socket]) -> None:
        try:
            self.run(sockets=sockets)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self.failure = error
        finally:
            self.settled.set()


@contextmanager
def serve_app(
    app: Any, listener: socket.socket | None = None, **options: Any
) -> Iterator[RunningApp]:
    """Serve ``app`` on 127.0.0.1 at a free port until the block ends, or on ``listener``.

    ``options`` go to ``uvicorn.Config``. The application's lifespan runs, if it has one. On the
    way out open connections are cut after one second, and the thread must have ended.
    """
    listener = listener or socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    options = {
        "log_config": None,
        "ws": "none",
        "access_log": False,
        "timeout_graceful_shutdown": 1,
    } | options
    server = _TellingServer(uvicorn.Config(app, **options))
    thread = threading.Thread(
        target=server.run_in_thread, args=([listener],), name=f"serve_app:{port}"
    )
    thread.start()
    try:
        assert server.settled.wait(STARTUP_SECONDS), "the server did not start"
        if server.failure is not None:
            raise RuntimeError("the server did not start") from server.failure
        assert server.started, "the application's start-up failed"
        yield RunningApp(host, port, server)
    finally:
        server.should_exit = True
        thread.join(SHUTDOWN_SECONDS)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
    if server.failure is not None and not isinstance(server.failure, SystemExit):
        raise RuntimeError("the server broke") from server.failure
