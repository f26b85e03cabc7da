"""Server tools that change while the server runs: new requests get them, running ones do not."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deepseek_messages.settings import Source, load_settings
from deepseek_messages.store.keys import write_private
from deepseek_messages.upstreams.double import Call, Double, Text, running_double
from deepseek_messages.web.app import create_app
from tests.conformance.rig import Reply, Rig
from tests.support.gates import Gate, wait_until
from tests.support.servers import serve_app

pytestmark = pytest.mark.row("tools.web_search")

SEARCH = {"type": "web_search_20250305", "name": "web_search"}


class Searches:
    """A search service that names itself, and lets a query ``slow`` wait."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entered, self.go_on = Gate(), Gate()

    async def search(self, request: Request) -> JSONResponse:
        if request.query_params["q"] == "slow":
            self.entered.set()
            await self.go_on.opened()
        found = {"url": f"https://{self.name}.example.com/", "title": self.name, "content": "x"}
        return JSONResponse({"results": [found]})

    @contextmanager
    def running(self) -> Iterator[str]:
        with serve_app(Starlette(routes=[Route("/search", self.search)])) as app:
            yield app.url


def ask_for(query: str) -> Call:
    return Call("web_search", json.dumps({"query": query}))


def searched(reply: Reply) -> list[str]:
    """Who answered the searches of ``reply``."""
    blocks = reply.body["content"]
    found = [each["content"] for each in blocks if each["type"] == "web_search_tool_result"]
    return [page["title"] for pages in found for page in pages]


class Reloading:
    """A server with a settings file."""

    def __init__(self, path: Path, upstream: str) -> None:
        self.path = path
        self.head = (
            f'state_dir = "{path.parent}"\nreload_interval = 0.01\n'
            f'[upstream]\nkind = "chat"\nbase_url = "{upstream}"\ndialect = "deepseek"\n'
            'proxy_from_env = false\n[auth]\nmode = "pass-through"\n'
        )

    def write(self, **tools: Any) -> None:
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in tools.items())
        write_private(self.path, f"{self.head}[tools]\n{lines}".encode())  # never half of it

    def source(self) -> Source:
        return Source(self.path, lambda: load_settings(self.path, {}, {}))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Reloading, Rig]]:
    double = Double()
    with running_double(double) as url:
        files = Reloading(tmp_path / "settings.toml", url)
        files.write()
        source = files.source()
        with serve_app(create_app(source.read(), source=source)) as running:
            yield files, Rig(double, running.url)


def search_until(rig: Rig, wanted: list[str]) -> None:
    """Ask until a search is answered by ``wanted``."""

    def found() -> bool:
        rig.double.clear()
        rig.double.expect([ask_for("now")], [Text("Ok.")])
        return searched(rig.ask(tools=[SEARCH])) == wanted

    wait_until(found)


def test_new_requests_get_the_new_tools_and_running_ones_keep_the_old(
    served: tuple[Reloading, Rig],
) -> None:
    files, rig = served
    old, new = Searches("old"), Searches("new")
    with old.running() as old_url, new.running() as new_url:
        rig.double.expect([Text("No tool.")])
        assert "dropped=tools.web_search_20250305@tools.0" in rig.ask(tools=[SEARCH]).notes

        files.write(web_search="searxng", web_search_url=old_url)
        search_until(rig, ["old"])

        replies: list[Reply] = []
        rig.double.clear()
        rig.double.expect([ask_for("slow")])
        running = threading.Thread(target=lambda: replies.append(rig.ask(tools=[SEARCH])))
        running.start()
        old.entered.require("the search of the running answer")

        files.write(web_search="searxng", web_search_url=new_url)
        search_until(rig, ["new"])
        rig.double.clear()
        rig.double.expect([Text("From the old.")])
        old.go_on.set()
        running.join()
        assert searched(replies[0]) == ["old"]
        assert replies[0].text == "From the old."

        files.write()
        search_until(rig, [])


def test_tools_that_cannot_be_used_leave_the_old_ones(served: tuple[Reloading, Rig]) -> None:
    files, rig = served
    old = Searches("old")
    with old.running() as old_url:
        files.write(web_search="searxng", web_search_url=old_url)
        search_until(rig, ["old"])
        files.write(web_search="searxng")  # without the address that it needs
        for _ in range(20):
            search_until(rig, ["old"])
