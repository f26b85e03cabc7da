"""Finding out what server an address is."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.upstreams.chat.detect import owners_of
from tests.faults.chat_bytes import connected
from tests.support.servers import Stall, raw_upstream, serve_app

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


def says(value: Any, status: int = 200) -> Callable[[Request], Response]:
    def endpoint(_: Request) -> Response:
        return JSONResponse(value, status)

    return endpoint


def server(answers: dict[str, tuple[Any, int]]) -> Starlette:
    return Starlette(routes=[Route(path, says(*said)) for path, said in answers.items()])


def listing(owner: str) -> tuple[Any, int]:
    return {"object": "list", "data": [{"id": "m", "owned_by": owner}]}, 200


REFUSED = ({"error": "no key"}, 401)
SERVERS: list[tuple[dict[str, tuple[Any, int]], Dialect]] = [
    ({"/v1/models": listing("vllm")}, VLLM),
    ({"/v1/models": listing("sglang")}, SGLANG),
    ({"/v1/models": listing("llamacpp")}, LLAMA_CPP),
    ({"/v1/models": listing("library")}, OLLAMA),
    ({"/v1/models": listing("deepseek")}, DEEPSEEK),
    ({"/v1/models": listing("acme")}, GENERIC),
    ({"/v1/models": REFUSED, "/props": ({"default_generation_settings": {}}, 200)}, LLAMA_CPP),
    ({"/v1/models": REFUSED, "/get_model_info": ({"model_path": "x"}, 200)}, SGLANG),
    ({"/v1/models": REFUSED, "/version": ({"version": "0.20"}, 200)}, VLLM),
    ({"/v1/models": listing("me"), "/api/version": ({"version": "0.13"}, 200)}, OLLAMA),
    ({}, GENERIC),
]


@pytest.mark.parametrize(("answers", "dialect"), SERVERS)
async def test_a_server_is_told_by_what_it_answers(
    answers: dict[str, tuple[Any, int]], dialect: Dialect
) -> None:
    with serve_app(server(answers)) as running:
        async with connected(running.url, dialect=None, model="m") as upstream:
            await upstream.readiness()
            assert upstream.dialect is dialect


async def test_an_explicit_dialect_wins() -> None:
    with serve_app(server({"/v1/models": listing("vllm")})) as running:
        async with connected(running.url, dialect=SGLANG) as upstream:
            await upstream.models()
            assert upstream.dialect is SGLANG


async def test_an_unreachable_server_keeps_the_guess_and_is_asked_again() -> None:
    with raw_upstream([Stall()]) as gone:
        url = gone.url
    async with connected(url, dialect=None) as upstream:
        for _ in range(2):
            with pytest.raises(Fault) as caught:
                await upstream.models()
            assert caught.value.kind is FaultKind.CONNECT
        assert upstream.dialect is GENERIC


@pytest.mark.parametrize("value", [None, [], 1, {}, {"data": None}, {"data": [1, {"owned_by": 2}]}])
async def test_owners_of_anything_are_found_without_a_crash(value: Any) -> None:
    assert owners_of(value) == frozenset()
