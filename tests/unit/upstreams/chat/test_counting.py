"""Counts by the server's own tokenizer."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    GENERIC,
    LLAMA_CPP,
    SGLANG,
    VLLM,
    Dialect,
)
from deepseek_messages.upstreams.base import UpstreamCall
from deepseek_messages.wire.chat import (
    ChatRequest,
    Function,
    FunctionTool,
    ImageUrl,
    ImageUrlPart,
    UserMessage,
)
from tests.faults.chat_bytes import call, connected
from tests.support.servers import ReadRequest, Stall, answer, raw_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

RICH = UpstreamCall(
    request=ChatRequest(
        model="m",
        messages=[UserMessage(content="Hello")],
        max_tokens=5,
        temperature=1.0,
        stream=True,
        tools=[FunctionTool(function=Function(name="f"))],
        chat_template_kwargs={"thinking": True},
    ),
    credential="sk-theirs",
)


def says(value: Any, status: int = 200) -> list[Any]:
    return [ReadRequest(), answer(json.dumps(value).encode(), status)]


@pytest.mark.parametrize("dialect", [VLLM, SGLANG])
async def test_tokenize_is_asked_with_all_that_shapes_the_prompt(dialect: Dialect) -> None:
    with raw_upstream(says({"count": 42, "tokens": [], "max_model_len": 9})) as server:
        async with connected(server.url + "/v1", dialect=dialect, api_key="sk-own") as upstream:
            assert await upstream.count_tokens(RICH) == 42
        request = server.request()
    assert (request.method, request.target) == ("POST", "/tokenize")
    assert request.header("authorization") == "Bearer sk-theirs"
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "chat_template_kwargs": {"thinking": True},
    }


async def test_llama_cpp_counts_a_chat_request() -> None:
    with raw_upstream(says({"input_tokens": 17})) as server:
        async with connected(server.url, dialect=LLAMA_CPP) as upstream:
            assert await upstream.count_tokens(RICH) == 17
        request = server.request()
    assert request.target == "/v1/chat/completions/input_tokens"
    assert "stream" not in json.loads(request.body)


async def test_an_older_llama_cpp_renders_and_tokenizes() -> None:
    script = says({}, 404) + says({"prompt": "<s>Hello"}) + says({"tokens": [1, 2, 3]})
    with raw_upstream(script) as server:
        async with connected(server.url, dialect=LLAMA_CPP) as upstream:
            assert await upstream.count_tokens(call()) == 3
        targets = [request.target for request in server.connection().requests]
        last = json.loads(server.request(2).body)
    assert targets == ["/v1/chat/completions/input_tokens", "/apply-template", "/tokenize"]
    assert last == {"content": "<s>Hello", "add_special": True, "parse_special": True}


@pytest.mark.parametrize("dialect", [DEEPSEEK, GENERIC])
async def test_a_server_without_a_tokenizer_is_not_asked(dialect: Dialect) -> None:
    async with connected("http://127.0.0.1:9", dialect=dialect) as upstream:
        assert await upstream.count_tokens(call()) is None


async def test_images_are_not_counted_by_half() -> None:
    image = ImageUrlPart(image_url=ImageUrl("data:image/png;base64,AA=="))
    request = ChatRequest(model="m", messages=[UserMessage(content=[image])])
    async with connected("http://127.0.0.1:9", dialect=VLLM) as upstream:
        assert await upstream.count_tokens(UpstreamCall(request=request)) is None


@pytest.mark.parametrize(
    "value", [{}, [], 3, {"count": "3"}, {"count": True}, {"count": -1}, {"count": 2**53}]
)
async def test_an_answer_without_a_count_is_none(value: Any) -> None:
    with raw_upstream(says(value)) as server:
        async with connected(server.url, dialect=VLLM) as upstream:
            assert await upstream.count_tokens(call()) is None


async def test_a_server_that_fails_to_count_is_none() -> None:
    with raw_upstream(says({"error": "boom"}, 500)) as server:
        async with connected(server.url, dialect=VLLM) as upstream:
            assert await upstream.count_tokens(call()) is None


async def test_a_server_that_counts_for_ever_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepseek_messages.upstreams.chat.counting.COUNT_TIMEOUT", 0.05)
    with raw_upstream([ReadRequest(), Stall()]) as server:
        async with connected(server.url, dialect=VLLM) as upstream:
            assert await upstream.count_tokens(call()) is None
