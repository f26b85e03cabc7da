"""The server for ASGI applications."""

import urllib.request

import pytest

from tests.support.gates import WAIT_SECONDS
from tests.support.servers import serve_app


async def hello(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def broken(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


def test_serves_the_application_on_loopback(no_leaks):
    with (
        serve_app(hello) as running,
        urllib.request.urlopen(running.url, timeout=WAIT_SECONDS) as response,
    ):
        assert response.read() == b"hello"
        assert running.url.startswith("http://127.0.0.1:")


def test_says_that_an_application_cannot_start(no_leaks):
    with pytest.raises((AssertionError, RuntimeError)), serve_app(broken, lifespan="on"):
        pass


def test_two_applications_run_side_by_side(no_leaks):
    with serve_app(hello) as one, serve_app(hello) as two:
        assert one.port != two.port
