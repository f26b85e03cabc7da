"""What ``check`` finds, and how it ends."""

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepseek_messages.cli import main
from tests.support.servers import serve_app


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DEEPSEEK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DEEPSEEK_MESSAGES_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DEEPSEEK_MESSAGES_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", "--port", "0", *arguments])


def chat_server(*models: dict[str, object], key: str | None = None, status: int = 200) -> Starlette:
    """A chat server that lists ``models`` to whoever has its ``key``."""

    async def listing(request: Request) -> Response:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": {"message": "no"}}, 401)
        data = [{"object": "model", "owned_by": "someone", **model} for model in models]
        return JSONResponse({"object": "list", "data": data}, status)

    return Starlette(routes=[Route("/v1/models", listing)])


LARGE = {"id": "large", "max_model_len": 131_072}
SMALL = {"id": "small", "max_model_len": 8_192}


@pytest.mark.parametrize(
    ("server", "arguments", "lines"),
    [
        (chat_server(LARGE), [], ["ok       model large", "ok       context of 131,072 tokens"]),
        (chat_server(LARGE, SMALL), ["--model", "large"], ["ok       model large"]),
        (chat_server(SMALL), ["--no-claude-code"], ["ok       context of 8,192 tokens"]),
        (chat_server(key="k"), [], ["remark ", "wants a key, which callers bring"]),
        (chat_server(status=404), ["--model", "m"], ["has no list of models; m is asked for"]),
    ],
    ids=["first model", "named model", "small model", "callers bring keys", "no list"],
)
def test_set_up_that_works(server: Starlette, arguments: list[str], lines: list[str]) -> None:
    with serve_app(server) as running:
        result = run("--upstream", running.url, *arguments)
    assert [line for line in lines if line not in result.output] == [], result.output
    assert (result.exit_code, "PROBLEM" in result.output) == (0, False)


@pytest.mark.parametrize(
    ("server", "arguments", "problem"),
    [
        (chat_server(SMALL), [], "context of 8,192 tokens is too small for Claude Code"),
        (
            chat_server(LARGE),
            ["--model", "absent"],
            "it has no model absent, but large; give one of these with --model",
        ),
        (chat_server(), [], "it serves no model: load one"),
        (chat_server(status=404), [], "has no list of models: name one with --model"),
    ],
    ids=["context too small", "model missing", "no model", "no list"],
)
def test_problem_of_a_chat_server(server: Starlette, arguments: list[str], problem: str) -> None:
    with serve_app(server) as running:
        result = run("--upstream", running.url, *arguments)
    assert problem in result.output
    assert result.exit_code == 1


def test_key_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-wrong")
    with serve_app(chat_server(LARGE, key="sk-right")) as running:
        monkeypatch.setenv("DEEPSEEK_BASE_URL", running.url)
        result = run()
    assert "refused the key (HTTP 401); set upstream.api_key, or DEEPSEEK_API_KEY" in result.output
    assert "sk-wrong" not in result.output
    assert result.exit_code == 1


def test_upstream_unreachable() -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        result = run("--upstream", f"http://127.0.0.1:{bound.getsockname()[1]}/v1")
    assert "could not connect" in result.output
    assert "start it, or mend upstream.base_url" in result.output
    assert result.exit_code == 1


def test_port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["check", "--upstream", "double", "--port", port])
    assert f"PROBLEM  port {port} on 127.0.0.1 is taken; choose another" in result.output
    assert result.exit_code == 1


def test_double_needs_nothing() -> None:
    result = run("--upstream", "double")
    assert result.exit_code == 0


def test_settings_mistake(tmp_path: Path) -> None:
    (tmp_path / "deepseek-messages.toml").write_text("[server]\nprot = 1\n")
    result = run()
    assert result.exit_code == 1
    assert "server.prot: unknown setting; did you mean server.port?" in result.output


def test_file_of_keys_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("rubbish\n")
    monkeypatch.setenv("DEEPSEEK_MESSAGES_AUTH_KEYS_FILE", str(tmp_path / "keys"))
    result = run("--upstream", "double")
    assert "keys, line 1: not a digest, a time and a name; mend the line" in result.output
    assert result.exit_code == 1


def test_first_key_is_still_to_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_MESSAGES_AUTH_MODE", "keys")
    result = run("--upstream", "double")
    assert "remark   callers need a key: a first one is made at start" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("absent.gguf", "no such model file: absent.gguf"),
        ("rubbish.gguf", "rubbish.gguf is not a GGUF file"),
        ("what", "'what' is no model: give smollm2"),
    ],
)
def test_embedded_model_that_cannot_be_used(model: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "rubbish.gguf").write_bytes(b"rubbish" * 10)
    result = run("--upstream", "embedded", "--model", model)
    assert f"PROBLEM  {problem}" in result.output
    assert result.exit_code == 1


def test_embedded_model_that_is_not_here_yet() -> None:
    result = run("--upstream", "embedded")
    assert "remark   model smollm2 is not here yet: it is fetched at first use" in result.output


def test_engine_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("--upstream", "embedded")
    assert "pip install 'deepseek-messages[embedded]'" in result.output
    assert result.exit_code == 1
