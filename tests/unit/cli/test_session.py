"""A server for one program: found or started; variables, exit codes, signals, what was used."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deepseek_messages.cli.client import Access, Token
from deepseek_messages.cli.passing import PassingCommand
from deepseek_messages.cli.run import run
from deepseek_messages.cli.session import FOREIGN_VARIABLES, environment, is_ours
from deepseek_messages.settings import AuthSettings
from deepseek_messages.web.app import create_app
from deepseek_messages.web.protocol import BoundedProtocol
from tests.canary import WATCH
from tests.support.app import settings_for
from tests.support.asgi import serve_app
from tests.support.gates import WAIT_SECONDS

ACCESS = Access(
    url="http://127.0.0.1:5/anthropic", token=Token("text", "k"), model="m", window=9_000
)
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def execute(
    tmp_path: Path, *arguments: str, command: str = "run", **extra: str
) -> "subprocess.CompletedProcess[str]":
    """Our command in a process of its own, with a state directory of its own."""
    with started(tmp_path, *arguments, command=command, **extra) as process:
        out, err = process.communicate(timeout=WAIT_SECONDS)
    WATCH.tell(err)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def started(
    tmp_path: Path, *arguments: str, command: str = "run", **extra: str
) -> "subprocess.Popen[str]":
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-m", "deepseek_messages", command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=env | extra,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an open server on the double."""
    settings = settings_for(tmp_path_factory.mktemp("server"))
    with serve_app(create_app(settings), http=BoundedProtocol) as app:
        yield app.url


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that asks for a key."""
    auth = {"mode": "keys", "key_digests": ("0" * 64,)}
    settings = settings_for(tmp_path_factory.mktemp("server"), auth=auth)
    assert settings.auth == AuthSettings(**auth)  # type: ignore[arg-type]
    with serve_app(create_app(settings), http=BoundedProtocol) as app:
        yield app.url


# --- what the program gets ------------------------------------------------------------------------


def test_program_is_pointed_at_the_server() -> None:
    env = environment(ACCESS, {"PATH": "/bin", "ANTHROPIC_BASE_URL": "https://elsewhere.example"})
    assert env["PATH"] == "/bin"
    assert env["ANTHROPIC_BASE_URL"] == ACCESS.url
    assert env["ANTHROPIC_AUTH_TOKEN"] == "k"
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "9000"
    assert env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"


def test_keys_and_switches_of_other_services_are_left_out() -> None:
    assert not set(environment(ACCESS, dict.fromkeys(FOREIGN_VARIABLES, "x"))) & set(
        FOREIGN_VARIABLES
    )


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p:1"}, "127.0.0.1"),
        ({"http_proxy": "http://p:1", "NO_PROXY": "a,b", "no_proxy": "b,c"}, "a,b,c,127.0.0.1"),
    ],
)
def test_no_proxy_stands_between_programs_of_one_machine(
    base: dict[str, str], expected: str | None
) -> None:
    env = environment(ACCESS, base)
    assert env.get("NO_PROXY") == env.get("no_proxy") == expected


# --- whose arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        ([], 0),
        (["-p", "hi", "--url", "x"], 0),
        (["--url", "x", "-p", "--upstream", "y"], 2),
        (["--own", "--url=x", "--model", "m"], 2),
        (["--", "--own"], 0),
        (["--url"], 1),
    ],
)
def test_arguments_from_the_first_unknown_one_on_are_the_programs(
    arguments: list[str], ours: int
) -> None:
    assert isinstance(run, PassingCommand)
    assert run.own(click.Context(run), arguments) == ours


def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    show = "import json, sys; print(json.dumps(sys.argv[1:]))"
    arguments = ["--help", "--", "-x", "--own", "", "ü *"]
    done = execute(tmp_path, "--upstream", "double", sys.executable, "-c", show, *arguments)
    assert json.loads(done.stdout) == arguments, done.stderr


# --- the server -----------------------------------------------------------------------------------


def test_server_of_its_own_answers_only_this_session(tmp_path: Path) -> None:
    done = execute(tmp_path, "--upstream", "double", "--", sys.executable, "-c", SHOW)
    env = json.loads(done.stdout)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/anthropic", env["ANTHROPIC_BASE_URL"])
    assert len(env["ANTHROPIC_AUTH_TOKEN"]) > 30
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "1048576"
    assert not is_ours(env["ANTHROPIC_BASE_URL"]), "it ends with the program"
    assert done.stderr == "", "nothing was used, so nothing is said"
    assert (
        env["ANTHROPIC_AUTH_TOKEN"]
        not in (tmp_path / ".local/state/deepseek-messages/session.log").read_text()
    )


ASK = """
import json, os, urllib.request
body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
request = urllib.request.Request(
    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages",
    json.dumps(body).encode(),
    {"content-type": "application/json", "x-api-key": os.environ["ANTHROPIC_AUTH_TOKEN"]},
)
print(urllib.request.urlopen(request).status)
"""


def test_what_the_program_used_is_said(tmp_path: Path) -> None:
    done = execute(tmp_path, "--upstream", "double", "--", sys.executable, "-c", ASK)
    assert done.stdout == "200\n", done.stderr
    assert re.fullmatch(
        r"deepseek-messages: 1 message, [\d,]+ tokens in \(0% from the cache\), \d+ tokens out, "
        r"\$\d\.\d{4} at DeepSeek's prices\n",
        done.stderr,
    ), done.stderr


def test_running_server_is_used(running: str, tmp_path: Path) -> None:
    port = running.rpartition(":")[2]
    settings = {"DEEPSEEK_MESSAGES_SERVER_PORT": port, "DEEPSEEK_MESSAGES_UPSTREAM": "double"}
    done = execute(tmp_path, sys.executable, "-c", SHOW, **settings)
    assert json.loads(done.stdout)["ANTHROPIC_BASE_URL"] == f"{running}/anthropic"


def test_named_server_is_used(running: str, tmp_path: Path) -> None:
    done = execute(tmp_path, "--url", running, "--", sys.executable, "-c", SHOW)
    env = json.loads(done.stdout)
    assert env["ANTHROPIC_BASE_URL"] == f"{running}/anthropic"
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "1048576", "read from the server"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://127.0.0.1:9", "true"], "no deepseek-messages server answers at"),
        (["--upstream", "deepseek", "true"], "set DEEPSEEK_API_KEY"),
        (["--upstream", "double", "no-such-program"], "no-such-program: No such file"),
        (["--upstream", "nonsense", "true"], "is no upstream"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = execute(tmp_path, *arguments)
    assert done.returncode == 1
    assert words in done.stderr


def test_key_that_is_missing_is_asked_for(guarded: str, tmp_path: Path) -> None:
    done = execute(tmp_path, "--url", guarded, "true")
    assert done.returncode == 1
    assert "set DEEPSEEK_MESSAGES_KEY or give --key" in done.stderr


# --- the end --------------------------------------------------------------------------------------


def test_exit_code_is_the_programs(tmp_path: Path) -> None:
    assert execute(tmp_path, "--upstream", "double", "sh", "-c", "exit 7").returncode == 7


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_death_by_a_signal_is_the_programs(tmp_path: Path, number: signal.Signals) -> None:
    done = execute(tmp_path, "--upstream", "double", "sh", "-c", f"kill -{number.name[3:]} $$")
    assert done.returncode == -number
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_program(tmp_path: Path, number: signal.Signals) -> None:
    script = f"trap 'exit 9' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with started(tmp_path, "--upstream", "double", "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(WAIT_SECONDS) == 9
