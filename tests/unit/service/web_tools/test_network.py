"""Which addresses are those of the public internet, and how names become addresses."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from deepseek_messages.service.web_tools.network import (
    Network,
    PublicResolver,
    WebError,
    is_public,
)
from tests.support.gates import WAIT_SECONDS


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2130706433", "nonsense", "",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(_host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_names_become_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "8.8.8.8", "1.1.1.1")
    found = asyncio.run(PublicResolver().resolve("a.test", 80))
    assert [(each["hostname"], each["host"], each["port"]) for each in found] == [
        ("a.test", "8.8.8.8", 80),
        ("a.test", "1.1.1.1", 80),
    ]


def test_one_address_inside_the_network_is_enough_to_refuse_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(OSError, match="not a public address"):
        asyncio.run(PublicResolver().resolve("a.test", 80))


def test_a_silent_name_service_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop's own threads look up upstreams and read large requests."""
    asked, over = threading.Event(), threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        over.wait()
        raise socket.gaierror

    async def run() -> None:
        async def fetch(name: str) -> None:
            with pytest.raises(WebError):
                await Network(private=False, timeout=30).fetch(f"http://{name}/", lambda _: True)

        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(64):
                    tasks.create_task(fetch(f"{number}.test"))
                while not asked.is_set():
                    await asyncio.sleep(0)
                async with asyncio.timeout(WAIT_SECONDS):
                    await asyncio.to_thread(over.set)
        finally:
            over.set()

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    asyncio.run(run())
