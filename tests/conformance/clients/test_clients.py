"""Other people's libraries for the Messages API, over real HTTP, on the strict double."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deepseek_messages.upstreams.double import Call, Finish, Status, Text, Think
from tests.conformance.clients.clients import (
    KEY,
    LIBRARIES,
    Client,
    running_client,
)
from tests.conformance.rig import Rig

ADA = '{"name": "Ada", "age": 36}'
WEATHER = Call("get_weather", '{"city": "Hangzhou"}')


@pytest.fixture(autouse=True)
def spent(rig: Rig) -> Iterator[None]:
    yield
    rig.require_spent()


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, Client]]:
    """The programs, each started when it is first asked for."""
    with ExitStack() as stack:
        yield _Running(stack)


class _Running(dict[str, Client]):
    def __init__(self, stack: ExitStack) -> None:
        super().__init__()
        self._stack = stack

    def __missing__(self, name: str) -> Client:
        client = self._stack.enter_context(running_client(LIBRARIES[name]))
        self[name] = client
        return client


def those_with(scenario: str) -> pytest.MarkDecorator:
    names = [name for name, library in LIBRARIES.items() if scenario in library.scenarios]
    assert names, scenario
    return pytest.mark.parametrize("name", names)


class Asked:
    """One scenario of one client."""

    def __init__(self, client: Client, rig: Rig) -> None:
        self.client = client
        self.rig = rig

    def __call__(self, scenario: str, *answers: Any) -> dict[str, Any]:
        self.rig.double.expect(*answers)
        return self.client.run(scenario, f"http://{self.rig.address}")

    def sent(self, number: int = 0) -> dict[str, Any]:
        """The n-th request that went upstream."""
        body = self.rig.double.request(number).body
        assert body is not None
        return body


@pytest.fixture
def asked(name: str, clients: dict[str, Client], rig: Rig) -> Asked:
    return Asked(clients[name], rig)


def prompt_tokens(asked: Asked) -> int:
    return asked.rig.double.request().prompt_tokens


@those_with("text")
def test_text(asked: Asked) -> None:
    got = asked("text", [Text("Hello there.")])
    assert got == {"text": "Hello there.", "tokens": prompt_tokens(asked)}
    first, second = asked.sent()["messages"]
    assert (first["role"], first["content"]) == ("system", "Be brief.")
    assert (second["role"], second["content"]) == ("user", "Say hello.")
    assert asked.rig.double.request().key == KEY


@those_with("stream")
def test_stream(asked: Asked) -> None:
    got = asked("stream", [Text("Hello there. 你好 🦑")])
    assert "".join(got["pieces"]) == "Hello there. 你好 🦑"
    assert got.get("tokens", prompt_tokens(asked)) == prompt_tokens(asked)
    assert asked.sent()["stream"] is True


@those_with("tools")
def test_tool_loop(asked: Asked) -> None:
    got = asked("tools", [WEATHER], [Text("It is 18 C.")])
    assert got == {"called": [{"city": "Hangzhou"}], "text": "It is 18 C."}
    assert_replayed(asked)


@those_with("tools_stream")
def test_tool_loop_in_streams(asked: Asked) -> None:
    got = asked("tools_stream", [WEATHER], [Text("It is 18 C.")])
    assert got == {"called": [{"city": "Hangzhou"}], "text": "It is 18 C."}
    assert asked.sent()["stream"] is True
    assert_replayed(asked)


def assert_replayed(asked: Asked) -> None:
    (tool,) = asked.sent()["tools"]
    assert tool["function"]["name"] == "get_weather"
    *_, call, result = asked.sent(1)["messages"]
    (made,) = call["tool_calls"]
    assert made["function"]["name"] == "get_weather"
    assert result["role"] == "tool"
    assert result["tool_call_id"] == made["id"]
    assert "18 C" in result["content"]


# What the scenario asks of the server, and what the model says to it. ``None``: the double calls
# a tool by itself when it is made to.
STRUCTURED: dict[str, list[Any] | None] = {
    "structured": None,
    "structured_stream": None,
    "structured_output": None,
    "structured_schema": [Text(ADA)],
    "structured_prompted": [Text(ADA)],
    "structured_json": [Text(ADA)],
    "structured_thinking": [Think("A person."), Call("Person", ADA)],
}


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        (name, scenario)
        for name, library in LIBRARIES.items()
        for scenario in library.scenarios
        if scenario in STRUCTURED
    ],
)
def test_structured_output(asked: Asked, scenario: str) -> None:
    answer = STRUCTURED[scenario]
    if asked.client.package.native_schema and scenario == "structured":
        answer = [Text(ADA)]
    got = asked(scenario, *([answer] if answer else []))
    forced = {"name": "name", "age": 1}  # what the double makes of the schema
    assert got == ({"name": "Ada", "age": 36} if answer else forced)


@those_with("structured_list")
def test_a_list_of_objects_comes_as_a_stream(asked: Asked) -> None:
    people = f'{{"tasks": [{ADA}, {{"name": "Bob", "age": 3}}]}}'
    got = asked("structured_list", [Call("IterablePerson", people)])
    assert got == {"people": [{"name": "Ada", "age": 36}, {"name": "Bob", "age": 3}]}


@those_with("retried")
def test_an_object_that_does_not_fit_is_asked_for_again(asked: Asked) -> None:
    wrong = Call("Person", '{"name": "Ada", "age": "old"}')
    assert asked("retried", [wrong], [Call("Person", ADA)]) == {"name": "Ada", "age": 36}
    roles = [message["role"] for message in asked.sent(1)["messages"]]
    assert roles == ["user", "assistant", "tool"]


@those_with("thinking")
def test_thinking_is_shown_and_replayed(asked: Asked) -> None:
    first = [Think("Let me see."), Text("One.")]
    got = asked("thinking", first, [Think("Again."), Text("Two.")])
    assert got == {"thoughts": ["Let me see."], "texts": ["One.", "Two."]}
    assert asked.sent()["thinking"] == {"type": "enabled"}
    (answer,) = [m for m in asked.sent(1)["messages"] if m["role"] == "assistant"]
    assert answer["content"] == "One."
    if asked.client.package.replays_thinking:
        assert answer["reasoning_content"] == "Let me see."


@those_with("count")
def test_count_tokens(asked: Asked) -> None:
    counted = asked("count")["tokens"]
    assert asked.rig.double.requests == []
    assert counted == asked("text", [Text("Hello.")])["tokens"] == prompt_tokens(asked)


@those_with("error")
def test_error(asked: Asked) -> None:
    body = b'{"error":{"message":"No such key.","type":"x","param":null,"code":"x"}}'
    got = asked("error", [Status(401, body)])
    assert got["status"] == 401
    assert "No such key." in got["said"]


@those_with("stream_error")
def test_fault_in_mid_stream_reaches_the_program(asked: Asked) -> None:
    got = asked("stream_error", [Text("Half an"), Finish("insufficient_system_resource")])
    assert got["text"] == "Half an"
    assert "ran out of resources" in got["said"]


@those_with("models")
def test_list_of_models(asked: Asked) -> None:
    got = asked("models")
    assert {"deepseek-chat", "deepseek-reasoner"} <= set(got["ids"])


@those_with("missing")
def test_an_unknown_model_is_not_found(asked: Asked) -> None:
    assert asked("missing")["status"] == 404


def test_openai_shape_of_the_list(clients: dict[str, Client], rig: Rig) -> None:
    got = clients["openai"].run("models", f"http://{rig.address}")
    assert got["kinds"] == ["model"]
    assert got["owners"] == ["deepseek"]
    assert all(isinstance(moment, int) for moment in got["created"])
    assert got["one"] == "deepseek-chat"
