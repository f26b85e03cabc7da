"""Every route says who may use it. A new one fails here until it is listed."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_messages.settings import Secret, TelemetrySettings
from deepseek_messages.upstreams.base import Readiness
from deepseek_messages.web.app import Parts
from deepseek_messages.web.guard import Access
from tests.support.app import Served, served, settings_for
from tests.support.client import HELLO
from tests.support.fake import FakeUpstream

KEY = "dsm-the-right-key"
METRICS_KEY = "metrics-key"
WITH_METRICS_KEY = TelemetrySettings(metrics_key=Secret(METRICS_KEY))
KEYS = {"mode": "keys", "key_digests": (hashlib.sha256(KEY.encode()).hexdigest(),)}

ROUTES = {
    ("GET", "/"): Access.PUBLIC,
    ("GET", "/api/hello"): Access.PUBLIC,
    ("GET", "/healthz"): Access.PUBLIC,
    ("GET", "/readyz"): Access.PUBLIC,
    ("GET", "/metrics"): Access.OPERATOR,
    ("GET", "/openapi.json"): Access.PUBLIC,
    ("GET", "/v1/models"): Access.CALLER,
    ("GET", "/v1/models/{id:path}"): Access.CALLER,
    ("POST", "/v1/messages"): Access.CALLER,
    ("POST", "/v1/messages/count_tokens"): Access.CALLER,
}


def test_every_route_is_in_this_table(tmp_path: Path) -> None:
    parts = Parts(settings_for(tmp_path), FakeUpstream())
    found = {
        (method, endpoint.path): endpoint.access
        for endpoint in parts.endpoints()
        for method in endpoint.methods
    }
    assert found == ROUTES


@pytest.mark.parametrize(("route", "access"), ROUTES.items(), ids=str)
@pytest.mark.parametrize("prefix", ["", "/anthropic", "//anthropic/"])
def test_a_stranger_gets_no_further_than_public_routes(
    server: Callable[..., Served], route: tuple[str, str], access: Access, prefix: str
) -> None:
    method, path = route
    path = prefix + path.replace("{id:path}", "deepseek-chat")
    s = server("keys", auth=KEYS)
    strangers = [
        s.client.ask(method, path, headers=headers | {"x-forwarded-for": "203.0.113.7"})
        for headers in ({}, {"x-api-key": "dsm-wrong"})
    ]
    for reply in strangers:
        if access is Access.PUBLIC:
            assert reply.status == 200
        else:
            assert reply.error()[:2] == (401, "authentication_error")
    assert s.upstream.played == []


# What each role offers, and what it may use besides public routes. All come through a proxy, so
# that nobody passes for this machine.
ROLES: dict[str, tuple[dict[str, str], set[Access]]] = {
    "stranger": ({}, set()),
    "wrong key": ({"x-api-key": "dsm-wrong"}, set()),
    "caller": ({"x-api-key": KEY}, {Access.CALLER}),
    "operator": ({"authorization": f"Bearer {METRICS_KEY}"}, {Access.OPERATOR}),
    "both": (
        {"authorization": f"Bearer {METRICS_KEY}", "x-api-key": KEY},
        {Access.CALLER, Access.OPERATOR},
    ),
}


@pytest.mark.parametrize(("route", "access"), ROUTES.items(), ids=str)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_is_its_own(
    server: Callable[..., Served], role: str, route: tuple[str, str], access: Access
) -> None:
    offered, own = ROLES[role]
    method, path = route
    path = path.replace("{id:path}", "deepseek-chat")
    s = server("metrics", auth=KEYS, telemetry=WITH_METRICS_KEY)
    body = HELLO if method == "POST" else None
    reply = s.client.ask(method, path, body, offered | {"x-forwarded-for": "203.0.113.7"})
    if access in own | {Access.PUBLIC}:
        assert reply.status == 200
    else:
        assert reply.error()[:2] == (401, "authentication_error")


METRICS_CASES = [
    ("this machine", {}, 200),
    ("through a proxy", {"x-forwarded-for": "203.0.113.7"}, 401),
    ("through a proxy that says Forwarded", {"forwarded": "for=203.0.113.7"}, 401),
    ("through a proxy that says Via", {"via": "1.1 edge"}, 401),
    ("through a proxy that tells the host", {"x-forwarded-host": "box.example"}, 401),
    ("through a proxy that tells the scheme", {"x-forwarded-proto": "https"}, 401),
    ("a caller through a proxy", {"x-real-ip": "203.0.113.7", "x-api-key": KEY}, 401),
    (
        "the metrics key through a proxy",
        {"x-forwarded-for": "203.0.113.7", "authorization": f"Bearer {METRICS_KEY}"},
        200,
    ),
]


@pytest.mark.parametrize(
    ("headers", "status"), [c[1:] for c in METRICS_CASES], ids=[c[0] for c in METRICS_CASES]
)
def test_metrics(server: Callable[..., Served], headers: dict[str, str], status: int) -> None:
    s = server("metrics", auth=KEYS, telemetry=WITH_METRICS_KEY)
    assert s.client.get("/metrics", headers).status == status


def test_the_metrics_key_is_no_key_for_answers() -> None:
    with served(auth=KEYS, telemetry=WITH_METRICS_KEY) as s:
        assert s.client.get("/v1/models", {"x-api-key": METRICS_KEY}).status == 401


def test_why_the_upstream_is_not_ready_is_told_to_operators_only() -> None:
    upstream = FakeUpstream(ready=Readiness(False, "/home/me/model.gguf is missing"))
    with served(upstream) as s:
        here = s.client.get("/readyz")
        there = s.client.get("/readyz", {"x-forwarded-for": "203.0.113.7"})
    assert (here.status, there.status) == (503, 503)
    assert here.json() == {"ready": False, "reason": "/home/me/model.gguf is missing"}
    assert there.json() == {"ready": False}
