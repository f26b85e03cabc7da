"""Web search, web fetch and MCP servers, run inside answers against loopback services."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from deepseek_messages.settings import Secret, ToolsSettings
from deepseek_messages.upstreams.double import Call, Text
from tests.conformance.rig import JSON, Reply, Rig, request, running_rig
from tests.support.servers import serve_app

row = pytest.mark.row

PAGES = [
    {
        "url": "https://rome.example.com/a",
        "title": "Rome",
        "content": "It is 18 C.",
        "age": "1 day",
    },
    {"url": "https://other.org/b", "title": "Other", "content": "Nothing."},
]
HTML = "<html><head><title>A  page</title><style>x{}</style></head><body><p>One<p>Two</body></html>"


class Web:
    """Fakes of every search service, and some pages. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, dict[str, str]]] = []

    async def search(self, request: Request) -> JSONResponse:
        body = json.loads(await request.body() or b"null") or dict(request.query_params)
        self.asked.append((request.url.path, body, dict(request.headers)))
        if "busy" in json.dumps(body):
            return JSONResponse({}, 429)
        found: dict[str, Any] = {"results": PAGES}
        return JSONResponse({"web": found} if "/res/" in request.url.path else found)

    async def fetch(self, request: Request) -> JSONResponse:
        self.asked.append((request.url.path, await request.json(), dict(request.headers)))
        return JSONResponse({"title": "T", "markdown": "# Read"})

    def app(self) -> Starlette:
        async def page(_request: Request) -> HTMLResponse:
            return HTMLResponse(HTML)

        async def moved(request: Request) -> RedirectResponse:
            return RedirectResponse(request.query_params["to"])

        async def picture(_request: Request) -> PlainTextResponse:
            return PlainTextResponse("x", media_type="image/png")

        async def huge(_request: Request) -> PlainTextResponse:
            return PlainTextResponse("x" * (11 * 1024 * 1024))

        get, post = ["GET"], ["POST"]
        return Starlette(
            routes=[
                Route("/search", self.search, methods=["GET", "POST"]),
                Route("/res/v1/web/search", self.search, methods=get),
                Route("/v1/tools/search", self.search, methods=post),
                Route("/v1/tools/fetch", self.fetch, methods=post),
                Route("/page", page),
                Route("/moved", moved),
                Route("/picture", picture),
                Route("/huge", huge),
            ]
        )


@pytest.fixture(scope="module")
def web() -> Iterator[tuple[Web, str]]:
    service = Web()
    with serve_app(service.app()) as running:
        yield service, running.url


@pytest.fixture(scope="module")
def shared_rig(web: tuple[Web, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    tools = ToolsSettings(
        web_search="searxng", web_search_url=web[1], web_fetch="direct", allow_private=True
    )
    with running_rig(tmp_path_factory.mktemp("state"), tools=tools) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(web: tuple[Web, str]) -> None:
    web[0].asked.clear()


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch"}


def ask_for(query: str = "weather rome") -> Call:
    return Call("web_search", json.dumps({"query": query}))


def read(url: str) -> Call:
    return Call("web_fetch", json.dumps({"url": url}))


def play(rig: Rig, *answers: Any, **fields: Any) -> Reply:
    reply = rig.play(*answers, **{"max_tokens": 2000, **fields})
    assert reply.status == 200, reply.raw
    return reply


@row("tools.web_search")
@row("messages.content.web_search_tool_result")
@row("answer.usage.server_tool_use")
def test_ws01_a_search_has_its_blocks_its_count_and_goes_on(rig: Rig, web: tuple[Web, str]) -> None:
    fields = {"tools": [SEARCH], "messages": [{"role": "user", "content": "Weather?"}]}
    reply = play(rig, [Text("I look."), ask_for()], Text("18 C."), **fields)
    blocks = reply.body["content"]
    assert [block["type"] for block in blocks] == [
        "text", "server_tool_use", "web_search_tool_result", "text",
    ]  # fmt: skip
    assert (blocks[1]["name"], blocks[1]["input"]) == ("web_search", {"query": "weather rome"})
    assert blocks[2]["tool_use_id"] == blocks[1]["id"]
    assert {**blocks[2]["content"][0], "encrypted_content": "..."} == {
        "type": "web_search_result",
        "url": "https://rome.example.com/a",
        "title": "Rome",
        "encrypted_content": "...",
        "page_age": "1 day",
    }
    assert "18 C" not in blocks[2]["content"][0]["encrypted_content"]
    assert reply.body["stop_reason"] == "end_turn"
    assert reply.body["usage"]["server_tool_use"]["web_search_requests"] == 1
    prompts = [seen.prompt for seen in rig.double.requests]
    assert "It is 18 C." in prompts[1]
    assert prompts[1].startswith(prompts[0])
    assert web[0].asked[0][1] == {"q": "weather rome", "format": "json"}

    messages = [
        *fields["messages"],
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": "Sure?"},
    ]
    play(rig, Text("Yes."), tools=[SEARCH], messages=messages)
    assert rig.double.requests[-1].prompt.startswith(prompts[1])


@row("tools.web_search")
def test_a_streamed_search_keeps_the_order_of_events(rig: Rig) -> None:
    reply = play(rig, ask_for(), Text("18 C."), tools=[SEARCH], stream=True)
    starts = [
        e["content_block"]["type"] for e in reply.events if e["type"] == "content_block_start"
    ]
    assert starts == ["server_tool_use", "web_search_tool_result", "text"]
    assert reply.events[-2]["usage"]["server_tool_use"]["web_search_requests"] == 1


@row("tools.web_search")
def test_max_uses_and_domain_lists_hold(rig: Rig) -> None:
    tool = SEARCH | {"max_uses": 1, "blocked_domains": ["example.com"]}
    reply = play(rig, ask_for(), ask_for(), Text("Ok."), tools=[tool])
    first, second = [b for b in reply.body["content"] if b["type"] == "web_search_tool_result"]
    assert [page["url"] for page in first["content"]] == ["https://other.org/b"]
    assert second["content"] == {
        "type": "web_search_tool_result_error",
        "error_code": "max_uses_exceeded",
    }


@row("tools.web_search")
@pytest.mark.parametrize(
    ("query", "code"),
    [("busy", "too_many_requests"), ("x" * 401, "query_too_long"), (" ", "invalid_tool_input")],
)
def test_errors_of_a_search_are_results(rig: Rig, query: str, code: str) -> None:
    reply = play(rig, ask_for(query), Text("Ok."), tools=[SEARCH])
    assert reply.body["content"][1]["content"]["error_code"] == code


@row("tools.web_search")
def test_ws04_a_client_tool_called_web_search_is_the_clients(rig: Rig) -> None:
    own = {"name": "web_search", "input_schema": {"type": "object"}}
    reply = play(rig, ask_for(), tools=[own])
    assert [block["type"] for block in reply.body["content"]] == ["tool_use"]


@row("tools.web_search")
def test_a_clients_own_call_ends_the_turn_with_the_search_done(rig: Rig) -> None:
    own = {"name": "f", "input_schema": {"type": "object"}}
    reply = play(rig, [ask_for(), Call("f")], tools=[SEARCH, own])
    blocks = reply.body["content"]
    assert [block["type"] for block in blocks] == [
        "server_tool_use", "tool_use", "web_search_tool_result",
    ]  # fmt: skip
    assert reply.body["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "r"}
    messages = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
    ]
    play(rig, Text("Done."), tools=[SEARCH, own], messages=messages)
    last = rig.double.requests[-1].body
    assert last is not None
    assert [m["role"] for m in last["messages"]] == ["user", "assistant", "tool", "tool"]


@row("tools.web_fetch")
def test_a_fetch_gives_a_document(rig: Rig, web: tuple[Web, str]) -> None:
    url = f"{web[1]}/moved?to=/page"
    reply = play(rig, read(url), Text("Ok."), tools=[FETCH])
    content = reply.body["content"][1]["content"]
    assert content["type"] == "web_fetch_result"
    assert content["url"] == f"{web[1]}/page"
    assert content["content"]["title"] == "A page"
    assert content["content"]["source"]["data"] == "One\nTwo"
    assert reply.body["usage"]["server_tool_use"]["web_fetch_requests"] == 1
    assert "One\nTwo" in rig.double.requests[1].prompt


@row("tools.web_fetch")
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/picture", "unsupported_content_type"),
        ("/none", "url_not_accessible"),
        ("/huge", "content_too_large"),
        ("/" + "x" * 300, "url_too_long"),
        ("/moved?to=http://evil.example.net/", "url_not_allowed"),
        ("/moved?to=/moved?to=/moved", "url_not_accessible"),
    ],
)
def test_errors_of_a_fetch_are_results(
    rig: Rig, web: tuple[Web, str], path: str, code: str
) -> None:
    tool = FETCH | {"allowed_domains": ["127.0.0.1"]}
    reply = play(rig, read(web[1] + path), Text("Ok."), tools=[tool])
    assert reply.body["content"][1]["content"]["error_code"] == code


@row("tools.web_fetch")
@pytest.mark.parametrize("url", ["ftp://x/", "nonsense", "http://user:pw@example.com/"])
def test_only_plain_web_addresses_are_fetched(rig: Rig, url: str) -> None:
    reply = play(rig, read(url), Text("Ok."), tools=[FETCH])
    assert reply.body["content"][1]["content"]["error_code"] == "invalid_tool_input"


@pytest.mark.parametrize(
    ("provider", "path", "field"),
    [
        ("tavily", "/search", "authorization"),
        ("brave", "/res/v1/web/search", "x-subscription-token"),
        ("deepseek", "/v1/tools/search", "authorization"),
    ],
)
def test_every_provider_gets_its_key_and_gives_results(
    web: tuple[Web, str], tmp_path: Any, provider: Any, path: str, field: str
) -> None:
    tools = ToolsSettings(
        web_search=provider, web_search_url=web[1], web_search_key=Secret("sk-search")
    )
    with running_rig(tmp_path, tools=tools) as rig:
        reply = play(rig, ask_for(), Text("Ok."), tools=[SEARCH])
    assert len(reply.body["content"][1]["content"]) == 2
    asked, _, headers = web[0].asked[0]
    assert asked == path
    assert headers[field].removeprefix("Bearer ") == "sk-search"


@row("tools.web_fetch")
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254",
             "10.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"],
)  # fmt: skip
def test_se12_addresses_inside_the_network_are_not_reached(
    web: tuple[Web, str], private_rig: Rig, host: str
) -> None:
    port = web[1].rpartition(":")[2]
    reply = play(private_rig, read(f"http://{host}:{port}/page"), Text("Ok."), tools=[FETCH])
    assert reply.body["content"][1]["content"]["error_code"] in {
        "url_not_allowed", "url_not_accessible",
    }  # fmt: skip


@pytest.fixture(scope="module")
def private_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_rig(
        tmp_path_factory.mktemp("state"), tools=ToolsSettings(web_fetch="direct")
    ) as running:
        yield running


# --- MCP servers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mcp_url() -> Iterator[str]:
    server = pytest.importorskip("mcp.server.mcpserver").MCPServer("things")

    @server.tool()
    def add(a: int, b: int) -> str:
        """Adds."""
        return str(a + b)

    @server.tool()
    def fails() -> str:
        """Fails."""
        raise ValueError("no")

    with serve_app(server.streamable_http_app()) as running:
        yield f"{running.url}/mcp"


@pytest.fixture(scope="module")
def mcp_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    tools = ToolsSettings(mcp_hosts=("127.0.0.1",), allow_private=True)
    with running_rig(tmp_path_factory.mktemp("state"), tools=tools) as running:
        yield running


def servers(url: str, **more: Any) -> list[JSON]:
    return [{"type": "url", "name": "things", "url": url, "authorization_token": "tok-1"} | more]


TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "things"}
ADD = Call("mcp__things__add", '{"a": 1, "b": 2}')


@row("mcp_servers")
@row("answer.mcp")
@row("tools.mcp_toolset")
@pytest.mark.parametrize("stream", [True, False])
def test_mcp_tools_are_called_and_the_answer_goes_on(
    mcp_rig: Rig, mcp_url: str, stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    mcp_rig.double.clear()
    fields = {"mcp_servers": servers(mcp_url), "tools": [TOOLSET], "stream": stream}
    reply = play(mcp_rig, ADD, Text("3."), **fields)
    if stream:
        blocks = [e["content_block"] for e in reply.events if e["type"] == "content_block_start"]
    else:
        blocks = reply.body["content"]
        assert blocks[0]["input"] == {"a": 1, "b": 2}
    assert [block["type"] for block in blocks] == ["mcp_tool_use", "mcp_tool_result", "text"]
    assert (blocks[0]["name"], blocks[0]["server_name"]) == ("add", "things")
    assert blocks[1] == {
        "type": "mcp_tool_result",
        "tool_use_id": blocks[0]["id"],
        "content": [{"type": "text", "text": "3"}],
        "is_error": False,
    }
    said = capfd.readouterr()
    assert "tok-1" not in said.out + said.err


@row("tools.mcp_toolset")
def test_allow_lists_of_tools_hold(mcp_rig: Rig, mcp_url: str) -> None:
    mcp_rig.double.clear()
    only = TOOLSET | {"default_config": {"enabled": False}, "configs": {"add": {"enabled": True}}}
    for fields in (
        {"mcp_servers": servers(mcp_url), "tools": [only]},
        {"mcp_servers": servers(mcp_url, tool_configuration={"allowed_tools": ["add"]})},
    ):
        play(mcp_rig, Text("Hi."), **fields)
        body = mcp_rig.double.requests[-1].body
        assert body is not None
        assert [tool["function"]["name"] for tool in body["tools"]] == ["mcp__things__add"]


@row("mcp_servers")
def test_a_tool_that_fails_is_a_result(mcp_rig: Rig, mcp_url: str) -> None:
    mcp_rig.double.clear()
    reply = play(
        mcp_rig, Call("mcp__things__fails"), Text("Oh."), mcp_servers=servers(mcp_url),
        tools=[TOOLSET],
    )  # fmt: skip
    assert reply.body["content"][1]["is_error"] is True


@row("mcp_servers")
@pytest.mark.parametrize(
    "url", ["https://evil.example.net/mcp", "nonsense", "http://127.0.0.1:1/mcp"]
)
def test_servers_that_are_not_allowed_or_not_there_are_refused(mcp_rig: Rig, url: str) -> None:
    reply = mcp_rig.ask(mcp_servers=servers(url), tools=[TOOLSET])
    assert reply.status == 400
    assert reply.body["error"]["message"].startswith("mcp_servers.0")
    assert b"tok-1" not in reply.raw


# --- token counts ---------------------------------------------------------------------------------


def counted(rig: Rig, **fields: Any) -> Reply:
    body = request(**fields, max_tokens=...)
    return rig.call("POST", "/anthropic/v1/messages/count_tokens", body)


def prompt_size(reply: Reply) -> int:
    usage = reply.body["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(usage[name] for name in names)


SEARCH_TOOL = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}


@row("endpoints.count_tokens")
@pytest.mark.parametrize("tools", [[SEARCH], [FETCH], [SEARCH_TOOL], [SEARCH, FETCH, SEARCH_TOOL]])
def test_hosted_tools_are_counted_as_they_are_sent(rig: Rig, tools: list[JSON]) -> None:
    reply = play(rig, Text("Hi."), tools=tools)
    assert counted(rig, tools=tools).body == {"input_tokens": prompt_size(reply)}
    assert counted(rig).body["input_tokens"] < prompt_size(reply)


@row("endpoints.count_tokens")
def test_mcp_tools_are_counted_as_their_server_lists_them(mcp_rig: Rig, mcp_url: str) -> None:
    mcp_rig.double.clear()
    fields = {"mcp_servers": servers(mcp_url), "tools": [TOOLSET]}
    reply = play(mcp_rig, Text("Hi."), **fields)
    assert counted(mcp_rig, **fields).body == {"input_tokens": prompt_size(reply)}


@row("endpoints.count_tokens")
def test_an_mcp_server_that_cannot_be_used_refuses_the_count_as_the_answer(mcp_rig: Rig) -> None:
    fields = {"mcp_servers": servers("http://127.0.0.1:1/mcp"), "tools": [TOOLSET]}
    count, answer = counted(mcp_rig, **fields), mcp_rig.ask(**fields)
    assert count.status == answer.status == 400
    assert count.body["error"] == answer.body["error"]


@row("endpoints.count_tokens")
def test_tools_that_the_settings_do_not_allow_are_not_counted(private_rig: Rig) -> None:
    private_rig.double.clear()
    fields = {"tools": [SEARCH, TOOLSET], "mcp_servers": servers("https://evil.example.net/")}
    count = counted(private_rig, **fields)
    assert count.body == counted(private_rig).body
    assert count.notes == play(private_rig, Text("Hi."), **fields).notes


# --- what stays out -------------------------------------------------------------------------------


@row("tools.code_execution")
@pytest.mark.parametrize("kind", ["code_execution_20250825", "advisor_20260301"])
def test_tools_that_need_a_sandbox_or_another_model_are_left_out(
    private_rig: Rig, kind: str
) -> None:
    private_rig.double.clear()
    reply = play(private_rig, Text("Hi."), tools=[{"type": kind, "name": "code_execution"}])
    assert reply.text == "Hi."
    assert reply.notes == [f"dropped=tools.{kind}@tools.0"]


@row("tools.web_search")
@row("mcp_servers")
def test_what_the_settings_do_not_allow_is_left_out_with_a_note(private_rig: Rig) -> None:
    private_rig.double.clear()
    fields = {"tools": [SEARCH, TOOLSET], "mcp_servers": servers("https://evil.example.net/")}
    reply = play(private_rig, Text("Hi."), **fields)
    assert reply.notes == [
        "dropped=tools.web_search_20250305@tools.0",
        "dropped=tools.mcp_toolset@tools.1",
        "dropped=mcp_servers@mcp_servers",
    ]
