"""``double`` as its user meets it: a chat API to put this server in front of."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from deepseek_messages.cli import main
from tests.support.gates import WAIT_SECONDS


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "deepseek_messages", "double"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0


def ask(url: str, body: object) -> tuple[int, dict[str, object]]:
    headers = {"authorization": "Bearer sk-x", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_answers_chat_requests(url: str) -> None:
    body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hi there"}]}
    status, answer = ask(url, body)
    assert status == 200
    assert "hi there" in json.dumps(answer)


def test_refuses_what_deepseek_refuses(url: str) -> None:
    status, answer = ask(url, {"model": "deepseek-flash", "messages": []})
    assert status == 400
    assert "error" in answer


def test_says_that_a_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["double", "--port", port])
    assert result.exit_code == 1
    assert "choose another with --port" in result.output


@pytest.mark.parametrize("port", ["-1", "70000"])
def test_a_port_that_is_none_is_wrong_usage(port: str) -> None:
    result = CliRunner().invoke(main, ["double", "--port", port])
    assert result.exit_code == 2
    assert f"{port} is not in the range 0<=x<=65535" in result.output
