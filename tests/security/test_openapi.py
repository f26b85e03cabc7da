"""The OpenAPI document is true: whatever is made from it is answered as it says, and so is what
breaks it. To make a request for messages costs schemathesis some 0.2 s, so the suite sends few;
``make fuzz`` sends 20,000.
"""

import os
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deepseek_messages.web.openapi import INTERNAL
from tests.security.malformed import made
from tests.support.app import Served, served

# Requests in all; each operation and each way of making them gets its share.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "60"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

# Operations that take something, by how much of it there is to get wrong.
SHARES = {
    "post_v1_messages": 5,
    "post_v1_messages_count_tokens": 3,
    "get_v1_models": 1,
    "get_v1_models_{id}": 1,
}


SCHEMA = schemathesis.openapi.from_dict(made())
OPERATIONS = {
    operation.ok().definition.raw["operationId"]: operation.ok()
    for operation in SCHEMA.get_all_operations()
}


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[Served, requests.Session]]:
    with served() as running, requests.Session() as session:
        yield running, session


WAYS = [
    pytest.param(name, mode, id=f"{name}-{mode.name.lower()}")
    for name in SHARES
    for mode in GenerationMode
    if name != "get_v1_models_{id}" or mode is GenerationMode.POSITIVE  # any path is lawful
]


@pytest.mark.parametrize(("name", "mode"), WAYS)
def test_requests_made_from_the_document(
    target: tuple[Served, requests.Session], name: str, mode: GenerationMode
) -> None:
    running, session = target
    share = max(1, REQUESTS * SHARES[name] // sum(SHARES.values()) // len(GenerationMode))
    sent = 0
    rejected = 0

    @settings(
        max_examples=share,
        deadline=None,
        database=None,
        derandomize="FUZZ_REQUESTS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        nonlocal sent, rejected
        sent += 1
        response = case.call(base_url=running.app.url, session=session)
        case.validate_response(response, checks=CHECKS)
        rejected += response.status_code == 400
        running.upstream.played.clear()

    run()
    assert sent >= share
    if mode is GenerationMode.NEGATIVE:
        assert rejected > 0


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - SHARES))
def test_operations_without_parameters(target: tuple[Served, requests.Session], name: str) -> None:
    running, session = target
    case = OPERATIONS[name].Case()
    case.validate_response(case.call(base_url=running.app.url, session=session), checks=CHECKS)


def test_the_document_is_served(target: tuple[Served, requests.Session]) -> None:
    running, _ = target
    served_document = running.client.get("/openapi.json").json()
    assert served_document == made()
    assert served_document["openapi"] == "3.1.0"


def test_internal_types_are_not_shown() -> None:
    assert not INTERNAL & made()["components"]["schemas"].keys()
