"""Requests that schemathesis makes from our OpenAPI document, each sent and its answer checked
against the same document. They go through to the strict stand-in for DeepSeek's API, so what is
made of a lawful request has to please DeepSeek too.

The suite sends 2,000 of them, ``make fuzz`` (``FUZZ_REQUESTS``) as many as it is told, other ones
each time. What a request costs to make grows with its size, so for the suite the lists in it have
at most ``MAX_ITEMS`` items.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import APIOperation

from deepseek_messages.translation.limits import WRITE_TIMEOUT
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import bounded_protocol
from tests.security.malformed import made
from tests.support.app import settings_for
from tests.support.servers import serve_app

FUZZING = "FUZZ_REQUESTS" in os.environ

# Requests in all.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))

MAX_ITEMS = 2

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

Target = tuple[str, requests.Session]
Way = tuple[str, GenerationMode]

# Lawful and broken requests for each operation that takes something, and the share of each, by how
# much there is to get wrong. Any path is lawful, so there are no broken ones for a model's.
SHARES: dict[Way, int] = {
    ("post_v1_messages", GenerationMode.POSITIVE): 6,
    ("post_v1_messages", GenerationMode.NEGATIVE): 5,
    ("post_v1_messages_count_tokens", GenerationMode.POSITIVE): 4,
    ("post_v1_messages_count_tokens", GenerationMode.NEGATIVE): 3,
    ("get_v1_models", GenerationMode.POSITIVE): 1,
    ("get_v1_models", GenerationMode.NEGATIVE): 1,
    ("get_v1_models_{id}", GenerationMode.POSITIVE): 1,
}


def share(way: Way) -> int:
    """How many requests to make in this way."""
    return math.ceil(REQUESTS * SHARES[way] / sum(SHARES.values()))


def with_short_requests(document: dict[str, Any]) -> dict[str, Any]:
    """The document with short lists in requests; answers stay as they are described."""
    schemas = document["components"]["schemas"]
    schemas |= {f"Short{name}": shortened(schema) for name, schema in schemas.items()}
    for path in document["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation["requestBody"] = shortened(operation["requestBody"])
    return document


def shortened(schema: Any) -> Any:
    """A copy with short lists only, which refers to copies like it."""
    match schema:
        case {"$ref": str(name)}:
            return {"$ref": name.replace("/schemas/", "/schemas/Short")}
        case dict():
            bound = {"maxItems": MAX_ITEMS} if schema.get("type") == "array" else {}
            return {name: shortened(inner) for name, inner in schema.items()} | bound
        case list():
            return [shortened(inner) for inner in schema]
        case _:
            return schema


@cache
def operations() -> dict[str, APIOperation[Any, Any, Any, Any]]:
    """The operations of the document, by ``operationId``."""
    document = made() if FUZZING else with_short_requests(made())
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    return {each.ok().definition.raw["operationId"]: each.ok() for each in found}


@contextmanager
def answering() -> Iterator[Target]:
    """The application, and a connection to it."""
    with TemporaryDirectory() as directory:
        app = create_app(settings_for(Path(directory)))
        protocol = bounded_protocol(write_timeout=WRITE_TIMEOUT)
        with serve_app(app, http=protocol) as running, requests.Session() as session:
            yield running.url, session


def ask(target: Target, case: Case) -> int:
    """Send a request; the status of its answer, which is found to be as the document says."""
    url, session = target
    response = case.call(base_url=url, session=session)
    case.validate_response(response, checks=CHECKS)
    return response.status_code


def plain(value: Any) -> Any:
    """Whole numbers spelled as such: in JSON Schema 2.0 is an integer too, here it is none."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [plain(inner) for inner in value]
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case _:
            return value


def ask_all(target: Target, way: Way) -> list[int]:
    """Make this way's share of requests and send them; the statuses of the answers."""
    name, mode = way
    lawful = mode is GenerationMode.POSITIVE
    statuses: list[int] = []

    @settings(
        max_examples=share(way),
        deadline=None,
        database=None,
        derandomize=not FUZZING,
        phases=[Phase.generate] if not FUZZING else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operations()[name].as_strategy(generation_mode=mode))
    def run(case: Case) -> None:
        if lawful:
            case.body = plain(case.body)
        statuses.append(ask(target, case))

    run()
    assert len(statuses) >= share(way)
    return statuses
