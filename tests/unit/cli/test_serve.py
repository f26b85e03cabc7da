"""``serve`` as its user meets it: start, paste the lines, stop."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from deepseek_messages.cli import main
from tests.canary import WATCH
from tests.support.client import HELLO
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import ReadRequest, answer, raw_upstream

_OURS = [name for name in os.environ if name.startswith("DEEPSEEK_")]
Server = tuple[subprocess.Popen[str], str]

OURS = ("-m", "deepseek_messages")

# The same, telling on SIGUSR1 which modules it has loaded.
TELLING = (
    "-c",
    """
import json, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print(json.dumps(list(sys.modules)), flush=True))
from deepseek_messages.cli import main
main()
""",
)

# What a server of a chat upstream loads when a request needs it, and not before. Together 40 MB,
# and two thirds of the time of a start that loads them.
NEEDED_LATER = {
    "aiohttp",
    "cryptography",
    "deepseek_messages.cli.check",
    "deepseek_messages.compatibility",
    "deepseek_messages.service.mcp",
    "deepseek_messages.service.tool_host",
    "deepseek_messages.upstreams.double",
    "deepseek_messages.upstreams.embedded",
    "deepseek_messages.upstreams.http.proxied",
    "deepseek_messages.upstreams.tokens.upstream",
    "deepseek_recipe",
    "filelock",
    "imagesize",
    "jsonschema_rs",
    "mcp",
    "pypdfium2",
    "structlog",
    "xllamacpp",
}

HEADERS = {"content-type": "application/json", "x-api-key": "none"}
MODELS = answer(b'{"object":"list","data":[{"id":"deepseek-flash","object":"model"}]}')
COMPLETION = answer(
    json.dumps(
        {
            "id": "chat-1",
            "object": "chat.completion",
            "created": 1,
            "model": "deepseek-flash",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello."},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        }
    ).encode()
)


def environment(tmp_path: Path, extra: Mapping[str, str]) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("DEEPSEEK_", "ANTHROPIC_"))}
    own = {"DEEPSEEK_MESSAGES_STATE_DIR": str(tmp_path / "state"), "NO_PROXY": "127.0.0.1"}
    return kept | own | extra


@contextmanager
def serving(
    tmp_path: Path, *flags: str, program: Sequence[str] = OURS, **extra: str
) -> Iterator[Server]:
    """A server in a process of its own, and what it printed when it was ready."""
    command = [sys.executable, *program, "serve", "--port", "0", *flags]
    log = (tmp_path / "log").open("w")
    with (
        log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path, extra),
        ) as process,
    ):
        try:
            yield process, _banner(process)
        finally:
            process.kill()
            WATCH.tell((tmp_path / "log").read_text())


def _banner(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ANTHROPIC_BASE_URL="):
            break
    return "".join(lines)


def paste(line: str, tmp_path: Path, **extra: str) -> str:
    """What a pasted line prints."""
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        env=environment(tmp_path, extra),
        check=True,
    )
    return done.stdout


def line_of(banner: str, pattern: str) -> str:
    found = re.search(rf"^.*{pattern}.*$", banner, re.MULTILINE)
    assert found is not None, banner
    return found[0]


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server on the double: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("double")
    with serving(folder, "--upstream", "double") as (_, banner):
        yield banner, folder


def test_pasted_python_line_gets_a_tool_call(double: tuple[str, Path]) -> None:
    banner, folder = double
    printed = paste(line_of(banner, "anthropic.Anthropic"), folder)
    assert "ToolUseBlock" in printed
    assert "'city'" in printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_pasted_curl_line_streams(double: tuple[str, Path]) -> None:
    banner, folder = double
    printed = paste(line_of(banner, "^curl"), folder)
    assert printed.startswith("event: message_start\n")
    assert "event: message_stop\n" in printed


def test_first_key_is_shown_once_and_works(tmp_path: Path) -> None:
    flags = ("--upstream", "double")
    with serving(tmp_path, *flags, DEEPSEEK_MESSAGES_AUTH_MODE="keys") as (_, banner):
        key = line_of(banner, "new key").split()[-1]
        assert key in line_of(banner, "anthropic.Anthropic")
        assert "ToolUseBlock" in paste(line_of(banner, "anthropic.Anthropic"), tmp_path)
    with serving(tmp_path, *flags, DEEPSEEK_MESSAGES_AUTH_MODE="keys") as (_, banner):
        assert "new key" not in banner
        line = line_of(banner, "anthropic.Anthropic")
        assert 'os.environ["DEEPSEEK_MESSAGES_KEY"]' in line
        assert "ToolUseBlock" in paste(line, tmp_path, DEEPSEEK_MESSAGES_KEY=key)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path, "--upstream", "double") as (process, _):
        process.send_signal(number)
        assert process.wait(WAIT_SECONDS) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_log_is_json_where_there_is_no_terminal(tmp_path: Path) -> None:
    with serving(tmp_path, "--upstream", "double") as (process, _):
        process.terminate()
        process.wait(WAIT_SECONDS)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert "stopping" in [line["event"] for line in lines]


def test_plain_answer_loads_nothing_that_only_others_need(tmp_path: Path) -> None:
    wishes = {"DEEPSEEK_MESSAGES_UPSTREAM_DIALECT": "deepseek"}
    with (
        raw_upstream([ReadRequest(), MODELS] + [ReadRequest(), COMPLETION] * 2) as upstream,
        serving(tmp_path, "--upstream", upstream.url, program=TELLING, **wishes) as (process, said),
    ):
        url = urlsplit(line_of(said, "^  address").split()[-1])
        with closing(HTTPConnection(url.netloc, timeout=WAIT_SECONDS)) as client:
            for _ in range(2):  # when the second is answered, all is done for the first
                client.request("POST", f"{url.path}/v1/messages", json.dumps(HELLO), HEADERS)
                answered = json.load(client.getresponse())
                assert answered["content"] == [{"type": "text", "text": "Hello."}]
        process.send_signal(signal.SIGUSR1)
        assert process.stdout is not None
        loaded = next(json.loads(line) for line in process.stdout if line.startswith("["))
        process.terminate()
        process.wait(WAIT_SECONDS)
    assert "deepseek_messages.web.app" in loaded
    assert NEEDED_LATER.isdisjoint(loaded), NEEDED_LATER.intersection(loaded)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    events = {line["event"] for line in lines}
    assert events >= {"request", "stopping"}  # the latter by structlog, which came late


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--upstream", "double", "--host", "0.0.0.0"], "Error: server.host: 0.0.0.0 is public"),
        (
            ["--upstream", "double", "--host", "192.0.2.1"],
            "Error: server.host: 192.0.2.1 is public",
        ),
        (["--upstream", "nonsense"], "Error: 'nonsense' is no upstream"),
        (["--config", "absent.toml"], "Error: absent.toml: there is no such settings file"),
        (
            ["--upstream", "embedded", "--model", "absent.gguf", "--port", "0"],
            "Error: no such model file: absent.gguf",
        ),
    ],
)
def test_start_that_is_refused(flags: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deepseek_messages", "serve", *flags],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path, {}),
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "deepseek_messages",
                "serve",
                "--port",
                port,
                "--upstream",
                "double",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(tmp_path, {}),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: port {port} on 127.0.0.1 is taken; choose another")


def test_engine_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env=dict.fromkeys(_OURS)).invoke(main, ["serve", "--upstream", "embedded"])
    assert result.exit_code == 1
    assert "pip install 'deepseek-messages[embedded]'" in result.stderr
