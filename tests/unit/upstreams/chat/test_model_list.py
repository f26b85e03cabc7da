"""Model lists of the servers, read into catalogue records."""

import asyncio
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepseek_messages.translation.catalogue import UNKNOWN_WINDOW
from deepseek_messages.translation.dialects import DEEPSEEK, GENERIC, LLAMA_CPP, OLLAMA, SGLANG
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.limits import MAX_SHOWN_MODELS
from deepseek_messages.upstreams.chat.model_list import read_list
from tests.faults.chat_bytes import connected
from tests.support.servers import ReadRequest, Stall, answer, raw_upstream, serve_app

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


class Server:
    """Answers by path; counts what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.status = 200

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        value = self.answers.get(request.url.path.rpartition("/")[2])
        return JSONResponse(value, 404 if value is None else self.status)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self.answer, methods=["GET", "POST"])])


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def listing(*ids: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": each, "object": "model", **more} for each in ids]}


# --- reading --------------------------------------------------------------------------------------


async def test_deepseeks_short_list_is_completed_from_the_catalogue() -> None:
    models = read_list(listing("deepseek-flash", "deepseek-v4-pro", owned_by="deepseek"))
    assert models is not None
    assert [(m.id, m.context_window, m.encoding) for m in models] == [
        ("deepseek-flash", 1_048_576, "v4.1"),
        ("deepseek-v4-pro", 1_048_576, "v4"),
    ]


async def test_deepseeks_long_list_has_its_own_figures() -> None:
    entry = {
        "id": "deepseek-next",
        "name": "DeepSeek Next",
        "context_window": 2_097_152,
        "max_output_tokens": 500_000,
        "input_modalities": ["text", "image"],
        "effort": {"supported_levels": ["low", "high"], "default_level": "high"},
    }
    (model,) = read_list({"data": [entry]}) or []
    assert (model.display_name, model.context_window) == ("DeepSeek Next", 2_097_152)
    assert (model.max_output_tokens, model.sees, model.thinks) == (500_000, True, True)


async def test_vllm_and_sglang_tell_the_window() -> None:
    (model,) = read_list(listing("my-model", owned_by="vllm", max_model_len=32_768)) or []
    assert (model.context_window, model.max_output_tokens) == (32_768, 32_768)


async def test_the_weights_behind_a_served_name_are_known() -> None:
    listed = listing("house-model", root="deepseek-ai/DeepSeek-V4-Pro", max_model_len=65_536)
    (model,) = read_list(listed) or []
    assert (model.id, model.display_name) == ("house-model", "house-model")
    assert (model.encoding, model.thinks, model.context_window) == ("v4", True, 65_536)


async def test_llama_cpp_tells_the_trained_window() -> None:
    (model,) = read_list(listing("m.gguf", meta={"n_ctx_train": 8192})) or []
    assert model.context_window == 8192


async def test_a_list_that_says_nothing_gets_the_default_window() -> None:
    (model,) = read_list(listing("m")) or []
    assert model.context_window == UNKNOWN_WINDOW


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"data": None}, {"data": "x"}])
async def test_what_is_no_list_is_none(value: Any) -> None:
    assert read_list(value) is None


async def test_broken_entries_are_skipped_and_broken_figures_ignored() -> None:
    data = [1, None, {}, {"id": ""}, {"id": 3}, {"id": "m", "max_model_len": "big", "meta": 4}]
    assert [model.id for model in read_list({"data": data}) or []] == ["m"]


# --- asking ---------------------------------------------------------------------------------------


async def test_the_window_of_the_settings_counts() -> None:
    server = Server(models=listing("a", max_model_len=131_072))
    with serve_app(server.app()) as running:
        async with connected(running.url, context_window=4096) as upstream:
            (model,) = await upstream.models()
    assert (model.context_window, model.max_output_tokens) == (4096, 4096)


async def test_a_list_is_remembered_and_asked_again_when_old() -> None:
    server, clock = Server(models=listing("a")), Clock()
    with serve_app(server.app()) as running:
        async with connected(running.url, clock=clock) as upstream:
            await upstream.models()
            await upstream.models()
            assert server.asked == ["/models"]
            clock.now += 301
            await upstream.models()
    assert server.asked == ["/models"] * 2


async def test_an_old_list_is_better_than_none() -> None:
    server, clock = Server(models=listing("a")), Clock()
    with serve_app(server.app()) as running:
        async with connected(running.url, clock=clock) as upstream:
            first = await upstream.models()
            server.status = 503
            clock.now += 301
            assert await upstream.models() == first


async def test_an_old_list_is_believed_for_a_while_when_it_was_asked_for_in_vain() -> None:
    """Or else every request to a server that lists nothing waits for its list."""
    server, clock = Server(models=listing("a")), Clock()
    with serve_app(server.app()) as running:
        async with connected(running.url, clock=clock) as upstream:
            await upstream.models()
            server.status, clock.now = 500, clock.now + 301
            for _ in range(3):
                assert [model.id for model in await upstream.models()] == ["a"]
            assert server.asked.count("/models") == 2
            clock.now += 6
            await upstream.models()
            assert server.asked.count("/models") == 3


async def test_who_waits_for_a_list_while_it_is_asked_for_in_vain_does_not_ask_again() -> None:
    server = Server(models=listing("a"))
    server.status = 500
    with serve_app(server.app()) as running:
        async with connected(running.url) as upstream:
            asking = [upstream.models() for _ in range(5)]
            told = await asyncio.gather(*asking, return_exceptions=True)
            assert [type(each) for each in told] == [Fault] * 5
            assert server.asked.count("/models") == 1
            with pytest.raises(Fault):
                await upstream.models()
            assert server.asked.count("/models") == 2


async def test_the_configured_model_comes_first() -> None:
    with serve_app(Server(models=listing("a", "b")).app()) as running:
        for model, ids in {"b": ["b", "a"], "c": ["c", "a", "b"]}.items():
            async with connected(running.url, model=model) as upstream:
                assert [each.id for each in await upstream.models()] == ids


async def test_a_server_without_a_list_serves_the_configured_model() -> None:
    with serve_app(Server().app()) as running:
        async with connected(running.url, dialect=GENERIC, model="m") as upstream:
            assert [model.id for model in await upstream.models()] == ["m"]


async def test_without_list_and_model_there_is_a_fault() -> None:
    with serve_app(Server().app()) as running:
        async with connected(running.url, dialect=GENERIC) as upstream:
            with pytest.raises(Fault):
                await upstream.models()


async def test_deepseek_without_a_key_of_ours_has_its_known_models() -> None:
    server = Server(models=listing("a"))
    server.status = 401
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=DEEPSEEK) as upstream:
            ids = [model.id for model in await upstream.models()]
    assert ids == ["deepseek-flash", "deepseek-v4-pro"]


async def test_a_list_that_our_key_does_not_open_is_not_the_callers_fault() -> None:
    server = Server(models=listing("a"))
    server.status = 401
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=GENERIC, api_key="sk-wrong") as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.models()
    assert (caught.value.status, caught.value.upstream_status) == (502, 401)
    assert "refused this server's credentials" in caught.value.message


async def test_llama_cpp_props_tell_the_slots_window_and_its_eyes() -> None:
    props = {
        "default_generation_settings": {"n_ctx": 4096},
        "modalities": {"vision": True},
        "chat_template": "{{ '<think>' }}",
    }
    server = Server(models=listing("m", meta={"n_ctx_train": 131_072}), props=props)
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=LLAMA_CPP) as upstream:
            (model,) = await upstream.models()
    assert (model.context_window, model.max_output_tokens) == (4096, 4096)
    assert (model.sees, model.thinks) == (True, True)


@pytest.mark.parametrize("said", [None, 7, "x", [], [7], {}, {"models": 7}, {"models": [
    7, None, {"name": None}, {"name": ["m"]}, {"name": "m", "context_length": "4"}]},
    {"default_generation_settings": 7, "modalities": [], "chat_template": 7,
     "capabilities": 7, "model_info": [1], "has_image_understanding": 1}])  # fmt: skip
@pytest.mark.parametrize("dialect", [LLAMA_CPP, OLLAMA, SGLANG], ids=lambda each: each.name)
async def test_what_else_a_server_says_may_have_any_shape(dialect: Any, said: Any) -> None:
    server = Server(models=listing("m"), props=said, ps=said, show=said, model_info=said)
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=dialect) as upstream:
            assert [model.id for model in await upstream.models()] == ["m"]


@pytest.mark.parametrize(
    ("name", "info", "sees"),
    [
        ("qwen-vl", {"has_image_understanding": True}, True),
        ("deepseek-flash", {"has_image_understanding": False}, False),
        ("deepseek-flash", {"has_image_understanding": None}, True),
        ("deepseek-flash", None, True),
        ("qwen", [1], False),
    ],
)
async def test_sglang_tells_whether_it_sees(name: str, info: Any, sees: bool) -> None:
    server = Server(models=listing(name), model_info=info)
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=SGLANG) as upstream:
            (model,) = await upstream.models()
    assert model.sees is sees


async def test_ollama_shows_abilities_and_the_loaded_window() -> None:
    show = {"capabilities": ["completion", "thinking"], "model_info": {"q.context_length": 40960}}
    running_now = {"models": [{"name": "a", "context_length": 8192}]}
    server = Server(models=listing("a", "b"), show=show, ps=running_now)
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=OLLAMA) as upstream:
            first, second = await upstream.models()
    assert (first.context_window, second.context_window) == (8192, 40960)
    assert (first.thinks, first.tools, first.sees) == (True, False, False)


# --- readiness ------------------------------------------------------------------------------------


async def test_a_server_with_a_list_is_ready_and_not_asked_at_every_probe() -> None:
    server, clock = Server(models=listing("a")), Clock()
    with serve_app(server.app()) as running:
        async with connected(running.url, clock=clock) as upstream:
            for _ in range(3):
                assert (await upstream.readiness()).ready
            assert len(server.asked) == 1
            server.status = 503
            clock.now += 6
            assert not (await upstream.readiness()).ready


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_said_clearly(status: int) -> None:
    server = Server(models=listing("a"))
    server.status = status
    with serve_app(server.app()) as running:
        async with connected(running.url, api_key="sk-secret") as upstream:
            readiness = await upstream.readiness()
    assert not readiness.ready
    assert f"refused the key (HTTP {status})" in readiness.reason
    assert "sk-secret" not in readiness.reason


async def test_a_refused_key_of_ours_is_not_the_callers_fault() -> None:
    server = Server(models=listing("a"))
    server.status = 401
    with serve_app(server.app()) as running:
        async with connected(running.url, api_key="sk-secret") as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.models()
    assert (caught.value.status, caught.value.upstream_status) == (502, 401)
    assert (caught.value.should_retry, caught.value.transient) == (False, False)


async def test_without_a_key_of_ours_a_server_that_wants_one_is_ready() -> None:
    server = Server(models=listing("a"))
    server.status = 401
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=GENERIC) as upstream:
            assert (await upstream.readiness()).ready


async def test_a_server_that_is_not_there_is_not_ready() -> None:
    with raw_upstream([Stall()]) as gone:
        url = gone.url
    async with connected(url) as upstream:
        readiness = await upstream.readiness()
    assert not readiness.ready
    assert "could not connect" in readiness.reason


async def test_a_silent_server_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "deepseek_messages.upstreams.http.probe.Probe.ask.__kwdefaults__",
        {
            "credential": None,
            "within": 0.05,
        },
    )
    with raw_upstream([Stall()]) as server:
        async with connected(server.url) as upstream:
            with pytest.raises(Fault) as caught:
                await upstream.models()
    assert caught.value.kind in {FaultKind.TIMEOUT, FaultKind.CONNECT}


# --- bounds ---------------------------------------------------------------------------------------


async def test_ollama_is_asked_about_so_many_models_and_no_more() -> None:
    names = [f"m{number}" for number in range(MAX_SHOWN_MODELS + 5)]
    server = Server(models=listing(*names), show={"capabilities": ["completion"]})
    with serve_app(server.app()) as running:
        async with connected(running.url, dialect=OLLAMA) as upstream:
            await upstream.models()
    assert server.asked.count("/api/show") == MAX_SHOWN_MODELS == 32


@pytest.mark.parametrize(("over", "read"), [(0, True), (1, False)], ids=["largest", "larger"])
async def test_a_list_is_read_up_to_its_limit(over: int, read: bool) -> None:
    body = json.dumps(listing("m")).encode()
    body += b" " * (4 * 1024 * 1024 + over - len(body))
    with raw_upstream([ReadRequest(), answer(body)]) as server:
        async with connected(server.url) as upstream:
            if read:
                assert [model.id for model in await upstream.models()] == ["m"]
            else:
                with pytest.raises(Fault, match="unusable list") as caught:
                    await upstream.models()
                assert caught.value.kind is FaultKind.GARBAGE


async def test_of_a_refused_list_the_beginning_of_its_error_is_read() -> None:
    """The rest never comes; what is read by then is enough."""
    head = b"HTTP/1.1 400 Bad\r\ncontent-type: text/plain\r\ncontent-length: 9999999\r\n\r\n"
    said = b"the words of a refusal " + b"x" * 64 * 1024
    with raw_upstream([ReadRequest(), head + said, Stall()]) as server:
        async with connected(server.url) as upstream:
            with pytest.raises(Fault, match="the words of a refusal"):
                await upstream.models()
