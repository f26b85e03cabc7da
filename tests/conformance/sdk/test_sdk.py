"""The official SDKs, three majors of Python's and TypeScript's, over real HTTP on the double."""

from collections.abc import Iterator
from typing import Any

import pytest

from deepseek_messages.upstreams.double import Call, Delay, Finish, Status, Text, Think
from deepseek_messages.upstreams.double.script import Cut
from tests.conformance.rig import Rig
from tests.conformance.sdk.clients import SDKS, Client, running_client
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import Gate

WEATHER = Call("get_weather", '{"city": "Hangzhou"}')


@pytest.fixture(autouse=True)
def spent(rig: Rig) -> Iterator[None]:
    yield
    rig.require_spent()


@pytest.fixture(scope="module", params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Iterator[Client]:
    with running_client(request.param) as client:
        yield client


def url(rig: Rig) -> str:
    return f"http://{rig.address}/anthropic"


def texts(facts: dict[str, Any]) -> list[str]:
    return [block["text"] for block in facts["content"] if block["type"] == "text"]


def calls(facts: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        (block["name"], block["input"]) for block in facts["content"] if block["type"] == "tool_use"
    ]


def test_create(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("Hello there.")])
    got = sdk.run("create", url(rig))
    assert texts(got) == ["Hello there."]
    assert (got["role"], got["stop_reason"]) == ("assistant", "end_turn")
    assert got["request_id"].startswith("req_")
    seen = rig.double.request()
    assert got["input_tokens"] + got["cache_read_input_tokens"] == seen.prompt_tokens
    assert seen.key == "sk-sdk"


def test_stream(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("Hello there.")])
    got = sdk.run("stream", url(rig))
    assert texts(got) == ["Hello there."]
    assert got["stop_reason"] == "end_turn"
    raw = [name for name in got["events"] if name.startswith(("message", "content_block"))]
    assert raw[0] == "message_start"
    assert raw[-1] == "message_stop"
    assert got["input_tokens"] == rig.double.request().prompt_tokens


def test_text_stream(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("Größe 大小 🦑 done")])
    assert sdk.run("text_stream", url(rig)) == {"text": "Größe 大小 🦑 done"}


def test_tool_round_trip(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("I look."), WEATHER], [Text("It is 18 C.")])
    got = sdk.run("tool_round_trip", url(rig))
    assert got["first"]["stop_reason"] == "tool_use"
    assert calls(got["first"]) == [("get_weather", {"city": "Hangzhou"})]
    assert texts(got["second"]) == ["It is 18 C."]
    body = rig.double.request(1).body
    assert body is not None
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]


def test_parallel_tools_stream(sdk: Client, rig: Rig) -> None:
    rig.double.expect([WEATHER, Call("get_weather", '{"city": "Oslo"}')])
    got = sdk.run("tool_stream", url(rig))
    assert calls(got) == [
        ("get_weather", {"city": "Hangzhou"}),
        ("get_weather", {"city": "Oslo"}),
    ]
    assert got["stop_reason"] == "tool_use"


@pytest.mark.parametrize("scenario", ["forced_tool", "any_tool"])
def test_forced_tool(sdk: Client, rig: Rig, scenario: str) -> None:
    got = sdk.run(scenario, url(rig))  # the double honours a forced choice by itself
    assert [name for name, _ in calls(got)] == ["get_weather"]
    assert got["stop_reason"] == "tool_use"


def test_thinking_is_told_and_replayed(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Think("Let me see."), Text("One.")], [Think("Again."), Text("Two.")])
    got = sdk.run("thinking", url(rig))
    first = got["first"]["content"]
    assert [block["type"] for block in first] == ["thinking", "text"]
    assert first[0]["thinking"] == "Let me see."
    assert texts(got["second"]) == ["Two."]
    body = rig.double.request(1).body
    assert body is not None
    assert body["messages"][1]["reasoning_content"] == "Let me see."


def test_count_tokens(sdk: Client, rig: Rig) -> None:
    assert sdk.run("count_tokens", url(rig))["input_tokens"] > 200  # a tools section is 212
    assert rig.double.requests == []


def test_models(sdk: Client, rig: Rig) -> None:
    got = sdk.run("models", url(rig))
    assert "deepseek-chat" in got["ids"]
    assert len(set(got["ids"])) == len(got["ids"])
    assert (got["id"], got["type"]) == ("deepseek-chat", "model")


@pytest.mark.parametrize(
    ("status", "kind", "python", "typescript"),
    [
        (400, "invalid_request_error", "BadRequestError", "BadRequestError"),
        (401, "authentication_error", "AuthenticationError", "AuthenticationError"),
        (402, "billing_error", None, None),
        (403, "permission_error", "PermissionDeniedError", "PermissionDeniedError"),
        (404, "not_found_error", "NotFoundError", "NotFoundError"),
        (429, "rate_limit_error", "RateLimitError", "RateLimitError"),
        (500, "api_error", "InternalServerError", "InternalServerError"),
        (529, "overloaded_error", None, None),
    ],
)
def test_error_class(
    sdk: Client, rig: Rig, status: int, kind: str, python: str | None, typescript: str | None
) -> None:
    body = b'{"error":{"message":"No.","type":"x","param":null,"code":"x"}}'
    rig.double.expect([Status(status, body)])
    got = sdk.run("error", url(rig))
    assert (got["status"], got["type"]) == (status, kind)
    assert got["request_id"].startswith("req_")
    wanted = typescript if sdk.name == "typescript-1" else python
    assert wanted in (None, got["class"])


def test_fault_in_mid_stream_reaches_the_program(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("Half an"), Finish("insufficient_system_resource")])
    got = sdk.run("stream_error", url(rig))
    assert got["text"] == "Half an"
    assert got["type"] == "overloaded_error"


def test_cut_upstream_is_never_a_whole_answer(sdk: Client, rig: Rig) -> None:
    rig.double.expect([Text("Half an"), Cut()])
    got = sdk.run("stream_error", url(rig))
    assert got["type"] == "api_error"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_waits_as_told_and_succeeds(sdk: Client, rig: Rig, status: int) -> None:
    busy = Status(status, b'{"error":{"message":"Busy."}}', headers={"retry-after": "0.01"})
    rig.double.expect([busy], [busy], [Text("At last.")])
    got = sdk.run("retry", url(rig))
    assert texts(got) == ["At last."]
    assert len(rig.double.requests) == 3


def test_cancelled_stream_closes_the_upstream(sdk: Client, rig: Rig) -> None:
    gate = Gate()
    rig.double.expect([Text("One"), Delay(gate), Text("Two")])
    got = sdk.run("cancel", url(rig))
    assert got["saw"] == "content_block_delta"
    seen = rig.double.request()
    assert seen.ended.wait(WAIT_SECONDS)
    assert seen.outcome == "client gone"
