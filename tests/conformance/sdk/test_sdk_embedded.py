"""The official SDKs on the embedded model: the real engine, the real default model."""

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_messages.settings import Settings, UpstreamSettings, load_settings
from deepseek_messages.upstreams.embedded import body
from deepseek_messages.web.app import create_app
from tests.conformance.sdk.clients import Client, running_client
from tests.support.gates import WAIT_SECONDS
from tests.support.servers import serve_app

pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
pytestmark = pytest.mark.slow

README = (Path(__file__).resolve().parents[3] / "README.md").read_text()
README_ADDRESS = "http://127.0.0.1:8000/anthropic"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(
        upstream=UpstreamSettings(kind="embedded"),
        state_dir=tmp_path_factory.mktemp("state"),
        cache_dir=load_settings(None, {}, {}).cache_dir,
    )
    with pytest.MonkeyPatch.context() as patch, serve_app(create_app(settings)) as running:
        # The likeliest words where a client does not say: rolling dice can give anything.
        patch.setattr(body, "_ALWAYS", body._ALWAYS | {"temperature": 0.0})
        yield f"{running.url}/anthropic"


@pytest.fixture(scope="module", params=["python-2", "typescript-1"])
def sdk(request: pytest.FixtureRequest) -> Iterator[Client]:
    with running_client(request.param) as client:
        yield client


def block_types(facts: dict[str, Any]) -> list[str]:
    return [block["type"] for block in facts["content"]]


@pytest.mark.parametrize("scenario", ["create", "stream"])
def test_a_text_answer(sdk: Client, url: str, scenario: str) -> None:
    got = sdk.run(scenario, url)
    assert block_types(got) == ["text"]
    assert got["content"][0]["text"].strip()
    assert got["stop_reason"] in {"end_turn", "max_tokens"}
    assert got["input_tokens"] + got["cache_read_input_tokens"] > 10
    assert 0 < got["output_tokens"] <= 64


@pytest.mark.parametrize("scenario", ["forced_tool", "any_tool"])
def test_a_forced_call_fits_its_schema(sdk: Client, url: str, scenario: str) -> None:
    got = sdk.run(scenario, url)
    (call,) = [block for block in got["content"] if block["type"] == "tool_use"]
    assert call["name"] == "get_weather"
    assert isinstance(call["input"]["city"], str)
    assert got["stop_reason"] == "tool_use"


def test_a_conversation_with_tools_goes_on(sdk: Client, url: str) -> None:
    got = sdk.run("tool_round_trip", url)
    for turn in (got["first"], got["second"]):
        assert set(block_types(turn)) <= {"text", "tool_use"}
        assert turn["stop_reason"] in {"end_turn", "max_tokens", "tool_use"}


def test_thinking_may_be_asked_of_a_model_that_does_not_think(sdk: Client, url: str) -> None:
    got = sdk.run("thinking", url)
    assert "text" in block_types(got["first"])
    assert "text" in block_types(got["second"])


def test_counts_are_those_of_the_answers(sdk: Client, url: str) -> None:
    assert sdk.run("count_tokens", url)["input_tokens"] > 50
    first, again = (sdk.run("create", url) for _ in range(2))
    assert (
        first["input_tokens"] + first["cache_read_input_tokens"]
        == again["input_tokens"] + again["cache_read_input_tokens"]
    )


def test_models(sdk: Client, url: str) -> None:
    got = sdk.run("models", url)
    assert "smollm2-135m-instruct" in got["ids"]
    assert got["id"] == "deepseek-chat"


def test_cancelling_frees_the_engine(sdk: Client, url: str) -> None:
    for _ in range(6):  # more than there are slots
        assert sdk.run("cancel", url)["saw"] == "content_block_delta"
    assert block_types(sdk.run("create", url)) == ["text"]


def test_the_transcript_of_the_readme(url: str, tmp_path: Path) -> None:
    (session,) = re.findall(r"^```pycon\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert session.count(">>>") > 4
    page = tmp_path / "transcript.md"
    page.write_text(session.replace(README_ADDRESS, url))
    done = subprocess.run(
        [sys.executable, "-m", "doctest", str(page)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_error_that_the_readme_shows(url: str) -> None:
    asked = json.dumps(
        {
            "model": "deepseek-chat",
            "max_tokens": 5,
            "messages": [{"role": "robot", "content": "hi"}],
        }
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/v1/messages", asked.encode(), timeout=WAIT_SECONDS)
    with caught.value as answer:
        message = json.load(answer)["error"]["message"]
    assert message in README.replace("\n", " ")
