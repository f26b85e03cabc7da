"""Serving a double in this process."""

import asyncio
import threading
import urllib.request

import aiohttp

from deepseek_messages.upstreams.double import Double, Text, running_double, serve_double
from tests.support.gates import WAIT_SECONDS

BODY = {"model": "deepseek-chat", "messages": [{"role": "user", "content": "Hello"}]}
HEADERS = {"authorization": "Bearer k"}


def test_in_the_running_loop(no_leaks):
    async def main():
        double = Double([Text("a")])
        async with (
            serve_double(double) as url,
            aiohttp.ClientSession(url, headers=HEADERS) as session,
            session.post("/chat/completions", json=BODY) as response,
        ):
            answer = await response.json()
        assert answer["choices"][0]["message"]["content"] == "a"
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_in_a_thread(no_leaks):
    with running_double() as url:
        request = urllib.request.Request(f"{url}/models", headers=HEADERS)
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as response:
            assert response.status == 200


def test_signals_are_left_alone():
    async def main():
        async with serve_double():
            pass

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_stops_with_a_client_still_connected(no_leaks):
    async def main():
        async with (
            aiohttp.ClientSession(headers=HEADERS) as session,
            serve_double() as url,
            session.get(f"{url}/models") as response,
        ):
            await response.read()

    asyncio.run(main())
