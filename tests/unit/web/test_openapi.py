"""The document: every route, every type, and what the checks behind the types know."""

from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.web.app import Parts
from deepseek_messages.web.guard import Access
from deepseek_messages.web.health import alive
from deepseek_messages.web.openapi import document
from deepseek_messages.web.routes import Endpoint
from tests.support.app import settings_for
from tests.support.fake import FakeUpstream


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(settings_for(tmp_path), FakeUpstream())


@pytest.fixture
def made(parts: Parts) -> dict[str, Any]:
    return document(parts.endpoints())


def test_every_route_is_described(parts: Parts, made: dict[str, Any]) -> None:
    for endpoint in parts.endpoints():
        operations = made["paths"][endpoint.path.replace(":path", "")]
        for method in endpoint.methods:
            found = operations[method.lower()]
            assert found["summary"]
            assert ("401" in found["responses"]) == (endpoint.access is not Access.PUBLIC)


def test_a_route_without_a_description_is_an_error() -> None:
    with pytest.raises(KeyError):
        document([Endpoint(("GET",), "/new", Access.PUBLIC, alive)])


def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    schemas = made["components"]["schemas"]
    found = set(references(made))
    assert found
    assert found == {f"#/components/schemas/{name}" for name in schemas}


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        inner = [each for item in value.values() for each in references(item)]
        return inner + ([value["$ref"]] if "$ref" in value else [])
    if isinstance(value, list):
        return [each for item in value for each in references(item)]
    return []


def test_blocks_are_told_apart_by_their_type(made: dict[str, Any]) -> None:
    block = made["components"]["schemas"]["ToolUseBlock"]
    assert block["properties"]["type"] == {"const": "tool_use"}
    assert block["required"] == ["type", "id", "name"]
    assert block["properties"]["input"] == {}


def test_ranges_are_told(made: dict[str, Any]) -> None:
    request = made["components"]["schemas"]["MessagesRequest"]["properties"]
    assert (request["temperature"]["minimum"], request["temperature"]["maximum"]) == (0, 2)
    assert request["messages"]["minItems"] == 1


def test_max_tokens_is_required_for_answers_and_not_for_counts(made: dict[str, Any]) -> None:
    def body(path: str) -> Any:
        operation = made["paths"][path]["post"]
        return operation["requestBody"]["content"]["application/json"]["schema"]

    assert body("/v1/messages")["allOf"][1] == {"required": ["max_tokens"]}
    assert "max_tokens" not in str(body("/v1/messages/count_tokens"))


def test_the_events_of_a_stream_are_described(made: dict[str, Any]) -> None:
    answer = made["paths"]["/v1/messages"]["post"]["responses"]["200"]["content"]
    data = answer["text/event-stream"]["schema"]["properties"]["data"]
    assert data["contentMediaType"] == "application/json"
    assert {"$ref": "#/components/schemas/MessageStart"} in data["contentSchema"]["anyOf"]


def test_fields_that_depend_on_others_are_told(made: dict[str, Any]) -> None:
    schemas = made["components"]["schemas"]
    assert [each.get("required") for each in schemas["InputMessage"]["anyOf"]] == [
        None,
        ["content"],
    ]
    assert [each.get("required") for each in schemas["Tool"]["anyOf"]] == [["name"], ["type"]]
