"""Serve a double on loopback, in this process."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from deepseek_messages.upstreams.double.app import app
from deepseek_messages.upstreams.double.double import Double

START_SECONDS = 120.0
STOP_SECONDS = 120.0


class _Server(uvicorn.Server):
    """Leaves signals to the program around it, and says when it listens."""

    def __init__(self, double: Double) -> None:
        config = uvicorn.Config(
            app(double),
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def serve_double(double: Double | None = None) -> AsyncIterator[str]:
    """Serve in the running event loop; gives the base URL. Without a double it is an echo."""
    listener = _listen()
    server = _Server(double or Double())
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([listener]))
        try:
            while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn has no event
                await asyncio.sleep(0.001)
            yield _url(listener)
        finally:
            server.should_exit = True
            await asyncio.wait([serving], timeout=STOP_SECONDS)
            listener.close()


@contextmanager
def running_double(double: Double | None = None, *, port: int = 0) -> Iterator[str]:
    """Serve in a thread of its own; gives the base URL. Raises ``OSError`` if the port is taken."""
    listener = _listen(port)
    server = _Server(double or Double())
    thread = threading.Thread(target=server.run, args=([listener],), name="double", daemon=True)
    thread.start()
    try:
        if not server.listening.wait(START_SECONDS):
            raise RuntimeError("the double did not start")
        yield _url(listener)
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        listener.close()


def _listen(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"
