"""The examples of README, tutorial and how-to guides run, against a server on the double.

The address in an example is replaced by the server's; nothing else is.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from deepseek_messages.cli.banner import claude_line, curl_line, python_line
from deepseek_messages.cli.client import Access, Token
from deepseek_messages.settings import load_settings
from deepseek_messages.store.models import DEFAULT, ModelStore
from deepseek_messages.upstreams.double import Double
from tests.conformance.clients.clients import LIBRARIES
from tests.conformance.rig import Rig, running_rig
from tests.conformance.upstreams.test_recorded import SERVERS
from tests.support import toolchain
from tests.support.claude import ClaudeCode
from tests.support.llama_server import KEY, llama_server
from tests.support.servers import serve_app

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 600  # only ever reached by a test that fails

# Heading of docs/how-to/clients.md -> the library whose environment has what the example imports.
SECTIONS = {
    "Vercel AI SDK": "ai_sdk",
    "LangChain": "langchain",
    "LangChain.js": "langchain_js",
    "pydantic-ai": "pydantic_ai",
    "LlamaIndex": "llama_index",
    "instructor": "instructor",
    "LiteLLM": "litellm",
    "llm": "llm",
    "Lists of models": "openai",
    "Official SDKs": None,
}


class Snippet(NamedTuple):
    """A fenced example: its section, its language, its text."""

    section: str
    language: str
    text: str


def snippets(page: str) -> list[Snippet]:
    parts = re.split(r"^#+ (.*)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    return [
        Snippet(section, language, text)
        for section, body in zip(parts[1::2], parts[2::2], strict=True)
        for language, text in FENCE.findall(body)
    ]


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running_rig(tmp_path_factory.mktemp("snippets"), Double(), key="sk-upstream") as rig:
        yield rig


@pytest.fixture
def rig(shared_rig: Rig) -> Iterator[Rig]:
    shared_rig.double.clear()
    yield shared_rig
    assert shared_rig.double.refusals == []


def run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """What the command printed. It must succeed and complain about nothing fatal."""
    base = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**base, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def perform(snippet: Snippet, rig: Rig, tmp_path: Path) -> str:
    text = snippet.text.replace(ADDRESS, f"http://{rig.address}")
    library = LIBRARIES.get(SECTIONS.get(snippet.section) or "")
    match snippet.language:
        case "js" | "ts":
            file = toolchain.node_project() / f"snippet-{os.getpid()}.mjs"
            file.write_text(text)
            try:
                return run(["node", str(file)], tmp_path)
            finally:
                file.unlink()
        case "python":
            python = sys.executable if library is None else library.command()[0]
            return run([python, "-c", text], tmp_path)
        case "sh":
            bin_folder = "" if library is None else f"{Path(library.command()[0]).parent}:"
            return run(["sh", "-ec", text], tmp_path, {"PATH": f"{bin_folder}/usr/bin:/bin"})
    raise AssertionError(snippet.language)


CLIENT_PAGE = [
    snippet
    for snippet in snippets("docs/how-to/clients.md")
    if "deepseek-messages serve" not in snippet.text
]


def test_every_client_of_the_tests_has_an_example() -> None:
    assert {snippet.section for snippet in CLIENT_PAGE} == SECTIONS.keys()
    assert set(filter(None, SECTIONS.values())) == LIBRARIES.keys()


@pytest.mark.parametrize("snippet", CLIENT_PAGE, ids=lambda s: f"{s.section}-{s.language}")
def test_client_example(snippet: Snippet, rig: Rig, tmp_path: Path) -> None:
    printed = perform(snippet, rig, tmp_path)
    match snippet.section:
        case "Lists of models":
            assert "deepseek-chat" in printed
        case "instructor":
            assert printed.strip() == "name='name' age=1"
        case _:
            assert "You said: Hello" in printed


@pytest.mark.parametrize(
    "snippet",
    [
        each
        for each in snippets("README.md")
        if each.language in {"sh", "python", "ts"}
        and ADDRESS in each.text
        and "serve" not in each.text
    ],
    ids=lambda snippet: snippet.language,
)
def test_readme_example(snippet: Snippet, rig: Rig, tmp_path: Path) -> None:
    assert "You said: Hello" in perform(snippet, rig, tmp_path)


def test_readme_has_examples() -> None:
    languages = [s.language for s in snippets("README.md") if ADDRESS in s.text]
    assert {"sh", "python", "ts"} <= set(languages)


@pytest.mark.parametrize(
    ("language", "printed"), [("sh", "event: message_stop"), ("python", "tool_use")]
)
def test_tutorial_example(language: str, printed: str, rig: Rig, tmp_path: Path) -> None:
    (snippet,) = [
        each
        for each in snippets("docs/tutorial.md")
        if each.language == language and ADDRESS in each.text
    ]
    assert printed in perform(snippet, rig, tmp_path)


# Section of docs/how-to/chat-servers.md -> the server in whose shapes the upstream answers.
CHAT_SERVERS = {"vLLM": "vllm", "SGLang": "sglang", "Ollama": "ollama"}


@pytest.mark.parametrize("section", [*CHAT_SERVERS, "llama.cpp"])
def test_check_of_a_chat_server(section: str, tmp_path: Path) -> None:
    (line,) = [
        each.text.strip()
        for each in snippets("docs/how-to/chat-servers.md")
        if each.section == section and "deepseek-messages check" in each.text
    ]
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    env["DEEPSEEK_MESSAGES_SERVER_PORT"] = "1"  # a running server would be checked instead
    with ExitStack() as stack:
        if section == "llama.cpp":
            pytest.importorskip("xllamacpp", reason="the embedded engine is not installed")
            store = ModelStore(load_settings(None, {}, {}).cache_dir)
            path = store.resolve(DEFAULT).fetch(lambda *_: None)
            url = stack.enter_context(llama_server(path))
            env["DEEPSEEK_MESSAGES_UPSTREAM_API_KEY"] = KEY
            line += " --no-claude-code"  # for which the test's model is too small
        else:
            recorded = SERVERS[CHAT_SERVERS[section]][0]()
            url = stack.enter_context(serve_app(recorded.app())).url
        printed = run(["sh", "-ec", re.sub(r"http://[\d.:]+", url, line)], tmp_path, env)
    assert f"answers, as {section.lower()}" in printed


def test_readme_way_to_claude_code(rig: Rig, tmp_path: Path) -> None:
    """``eval "$(deepseek-messages env)"``, then ``claude``."""
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"`(eval \"\$\(deepseek-messages env\)\")`", readme)
    claude = a_claude(rig, tmp_path)
    variables = claude_variables(claude)
    variables["DEEPSEEK_MESSAGES_SERVER_PORT"] = rig.address.rpartition(":")[2]
    variables["DEEPSEEK_MESSAGES_UPSTREAM"] = "double"
    printed = run(["sh", "-ec", f"{line}\nclaude -p Hello"], claude.work, variables)
    assert "You said:" in printed
    assert printed.strip().endswith("Hello")


def a_claude(rig: Rig, tmp_path: Path) -> ClaudeCode:
    binary = toolchain.claude_code(toolchain.CLAUDE_CODE[0])
    return ClaudeCode(binary, tmp_path, f"http://{rig.address}/anthropic")


def claude_variables(claude: ClaudeCode) -> dict[str, str]:
    """A terminal in which ``claude`` and ``deepseek-messages`` are installed."""
    kept = {
        name: value
        for name, value in claude.variables().items()
        if not name.startswith(("ANTHROPIC_", "CLAUDE_CODE_MAX"))
    }
    programs = f"{claude.binary.parent}:{Path(sys.executable).parent}"
    return {**kept, "PATH": f"{programs}:/usr/bin:/bin"}


@pytest.mark.parametrize("window", [8192, 131072])
def test_lines_that_serve_prints(window: int, rig: Rig, tmp_path: Path) -> None:
    url = f"http://{rig.address}/anthropic"
    access = Access(url=url, token=Token("text", "none"), model="deepseek-chat", window=window)
    claude = a_claude(rig, tmp_path)
    variables = claude_variables(claude)
    line = claude_line(access)
    line += "" if "-p" in line.split() else " -p 'Tell me a fact about whales.'"
    assert "event: message_stop" in run(["sh", "-ec", curl_line(access)], tmp_path)
    assert "get_weather" in run(["sh", "-ec", python_line(access)], Path.cwd())
    assert "whales" in run(["sh", "-ec", line], claude.work, variables)
