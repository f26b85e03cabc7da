"""Promises of SECURITY.md that have no better place, and that each names tests which exist."""

import ast
import hmac
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deepseek_messages.settings import Secret, UpstreamSettings
from deepseek_messages.store import keys
from deepseek_messages.store.keys import Keyring, digest_of
from deepseek_messages.web.app import create_app
from tests.support.app import Served, served, settings_for
from tests.support.client import HELLO, STREAM, Client
from tests.support.servers import (
    Cut,
    ReadRequest,
    answer,
    chunk,
    chunked_sse_head,
    raw_upstream,
    serve_app,
)
from tests.support.serving import serve_config

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_test_that_security_md_names_exists() -> None:
    named = NAMED.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) >= 20
    for path, test in named:
        found = {
            node.name
            for node in ast.walk(ast.parse((ROOT / path).read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert not test or test in found, f"{path}::{test}"


def test_every_promise_names_a_test() -> None:
    rows = [
        line
        for line in (ROOT / "SECURITY.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| Promise", "| ---"))
    ]
    assert rows
    assert [row for row in rows if not NAMED.search(row)] == []


def test_keys_are_compared_as_whole_digests_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(keys.hmac, "compare_digest", watched)
    ring = Keyring([digest_of(f"dsm-{number}") for number in range(5)])
    for key in ("dsm-0", "dsm-4", "dsm-wrong", ""):
        compared.clear()
        ring.find(key)
        assert len(compared) == 5, "the number of comparisons tells which key it was"
        assert {len(a) for pair in compared for a in pair} == {32}
        assert key.encode() not in {a for pair in compared for a in pair}


def test_digests_that_begin_alike_are_different_keys() -> None:
    digest = digest_of("dsm-right")
    alike = digest[:60] + ("0000" if digest[60:] != "0000" else "1111")
    assert Keyring([alike]).find("dsm-right") is None


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
@pytest.mark.parametrize(
    "value",
    [
        "' OR '1'='1", '"; DROP TABLE keys; --', "*", "../keys", "${jndi:ldap://x}", "{{7*7}}",
        "%00", "null", "undefined", "true", "0", "[]", "admin", "Bearer", "a" * 4097,
    ],
)  # fmt: skip
def test_a_crafted_key_opens_nothing(
    server: Callable[..., Served], header: str, value: str
) -> None:
    s = server("keys", auth={"mode": "keys"})
    value = f"Bearer {value}" if header == "authorization" else value
    reply = s.client.ask("POST", "/v1/messages", HELLO, {header: value})
    assert reply.error()[:2] == (401, "authentication_error")
    assert s.upstream.played == []


def test_a_redirect_of_the_upstream_is_not_followed_and_its_target_gets_no_key(
    tmp_path: Path,
) -> None:
    models = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')
    with raw_upstream([ReadRequest(), answer(b"{}"), Cut()]) as elsewhere:
        moved = answer(b"", 307, {"location": f"{elsewhere.url}/chat/completions"})
        with raw_upstream([ReadRequest(), models, Cut()], [ReadRequest(), moved, Cut()]) as there:
            upstream = UpstreamSettings(
                kind="chat",
                base_url=there.url,
                api_key=Secret("sk-upstream"),
                dialect="deepseek",
                proxy_from_env=False,
            )
            app = create_app(settings_for(tmp_path, upstream=upstream))
            with serve_app(app) as running:
                reply = Client(running.host, running.port).post(HELLO)
    assert reply.status == 502
    assert elsewhere.connections == []


def in_a_stream(body: bytes) -> bytes:
    return chunked_sse_head() + chunk(b"data: " + body + b"\n\n") + chunk(b"")


ECHOED = b'{"error": {"message": "no such key: Bearer %b, given as %b"}}'
ECHOES: dict[str, tuple[str, dict[str, Any], Callable[[bytes], bytes]]] = {
    f"status {status}": ("a-gateway's-own+form", HELLO, partial(answer, status=status))
    for status in (400, 401, 403, 404, 413, 429, 500, 503)
} | {
    "a whole answer": ("sk-upstream-0123456789", HELLO, answer),
    "a stream": ("sk-upstream-0123456789", STREAM, in_a_stream),
}


@pytest.mark.parametrize(("key", "body", "told"), ECHOES.values(), ids=ECHOES)
def test_an_upstream_that_repeats_the_key_does_not_tell_it_to_callers(
    tmp_path: Path, key: str, body: dict[str, Any], told: Callable[[bytes], bytes]
) -> None:
    models = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')
    echo = told(ECHOED.replace(b"%b", key.encode()))
    with raw_upstream([ReadRequest(), models, Cut()], [ReadRequest(), echo, Cut()]) as there:
        upstream = UpstreamSettings(
            kind="chat",
            base_url=there.url,
            api_key=Secret(key),
            dialect="deepseek",
            proxy_from_env=False,
        )
        app = create_app(settings_for(tmp_path, auth={"mode": "open"}, upstream=upstream))
        with serve_app(app) as running:
            client = Client(running.host, running.port)
            assert client.get("/v1/models").status == 200
            reply = client.post(body)
            ready = client.get("/readyz")  # which asks again, and is told the same
    assert b"no such key" in reply.body
    assert key.encode() not in reply.body + ready.body


URLS = {
    "image": {"type": "image", "source": {"type": "url", "url": "{url}/picture.png"}},
    "document": {"type": "document", "source": {"type": "url", "url": "{url}/paper.pdf"}},
    "text": {"type": "text", "text": "Read {url}/page"},
}


@pytest.mark.parametrize("block", URLS)
def test_no_address_that_a_client_gives_is_fetched(
    server: Callable[..., Served], block: str
) -> None:
    with raw_upstream([ReadRequest(), answer(b"secret"), Cut()]) as target:
        content = json.loads(json.dumps(URLS[block]).replace("{url}", target.url))
        s = server("open")
        s.client.post(HELLO | {"messages": [{"role": "user", "content": [content]}]})
    assert target.connections == []


# Fields with which other servers of models are told to load or run something.
COMMANDS: dict[str, object] = {
    "chat_template": "{{ self.__init__.__globals__ }}",
    "chat_template_kwargs": {"canary-template": True},
    "plugins": [{"id": "canary-plugin"}],
    "guided_decoding_backend": "canary-backend",
    "logits_processors": ["os.canary"],
    "lora_request": {"lora_path": "/canary"},
    "extra_body": {"canary": 1},
    "base_url": "http://canary.example",
    "api_key": "canary-key",
}


def test_fields_that_would_run_or_load_something_go_nowhere(
    server: Callable[..., Served],
) -> None:
    s = server("open")
    assert s.client.post(HELLO | COMMANDS).status == 200
    told = msgspec.json.encode(s.upstream.played[0].call.request).decode()
    assert "canary" not in told
    assert "chat_template" not in told
    assert "{{" not in told


PROGRAMS = ["/admin", "/config", "/api/config", "/debug", "/console", "/plugins", "/templates",
            "/v1/keys", "/v1/admin", "/exec", "/docs", "/redoc", "/.env", "/.git/config",
            "/static/../../etc/passwd", "/v1/messages/../../metrics"]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
def test_no_route_runs_a_program_or_shows_settings(
    server: Callable[..., Served], method: str
) -> None:
    s = server("open")
    for path in PROGRAMS:
        assert s.client.ask(method, path, b"{}").status in (404, 405), path


def test_a_wrong_key_takes_no_place_of_anybody(server: Callable[..., Served]) -> None:
    """Strangers are refused before their body is read and before they count for anything."""
    s = server("few", auth={"mode": "pass-through"}, server={"max_concurrency": 1})
    for _ in range(50):
        assert s.client.post(HELLO).status == 401
    assert s.client.post(HELLO, x_api_key="sk-mine").status == 200


def test_there_is_no_caller_without_a_name() -> None:
    for auth in ({"mode": "keys"}, {"mode": "pass-through"}):
        with served(auth=auth) as s:
            for headers in ({}, {"x-api-key": ""}, {"authorization": "Bearer"}):
                assert s.client.ask("POST", "/v1/messages", HELLO, headers).status == 401
            assert s.upstream.played == []


@pytest.mark.skipif(sys.platform != "linux", reason="where a limit of one byte means: no handler")
def test_a_server_that_crashes_leaves_no_core_dump(tmp_path: Path) -> None:
    """A dump would hold keys and prompts. Neither a file nor a handler gets one."""
    code = (
        "from deepseek_messages.cli.serve import forbid_core_dumps as f; f()\n"
        "import os, resource; print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)\n"
        "os.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == -signal.SIGABRT
    assert done.stdout.strip() in ("(1, 1)", "(0, 0)")  # 0 where the system allows no more
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_server_that_serves_may_not_dump(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(
        f'state_dir = "{tmp_path}"\n[server]\nport = 0\n[upstream]\nkind = "double"\n'
    )
    with serve_config(config) as program:
        limits = Path(f"/proc/{program.process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +(1 +1|0 +0) ", limits, re.MULTILINE), limits
