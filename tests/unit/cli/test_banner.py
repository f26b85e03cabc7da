"""What ``serve`` prints, and that its lines can be pasted."""

import ast
import json
import shlex

import pytest

from deepseek_messages.cli.banner import banner, claude_line, curl_line, python_line
from deepseek_messages.cli.client import Access, Token
from deepseek_messages.settings import load_settings

WORD, VARIABLE = Token("text", "none"), Token("variable", "DEEPSEEK_API_KEY")


def access(token: Token = WORD, window: int | None = 131_072) -> Access:
    return Access(
        url="http://127.0.0.1:8000/anthropic", token=token, model="deepseek-chat", window=window
    )


@pytest.mark.parametrize(
    ("env", "flags", "lines"),
    [
        ({}, {}, ["upstream  embedded: smollm2", "auth      open"]),
        ({}, {"upstream": "double"}, ["upstream  double", "auth      open"]),
        (
            {},
            {"upstream": "deepseek"},
            ["chat: https://api.deepseek.com", "auth      pass-through"],
        ),
        ({"DEEPSEEK_API_KEY": "sk-hidden"}, {}, ["auth      keys"]),
        (
            {},
            {"upstream": "http://h:1", "model": "m"},
            ["model     deepseek-chat (served by m), 131,072 tokens of context"],
        ),
    ],
)
def test_says_what_is_served(
    env: dict[str, str], flags: dict[str, object], lines: list[str]
) -> None:
    text = banner(load_settings(None, env, flags), access())
    assert [line for line in lines if line not in text] == []
    assert "hidden" not in text


def test_new_key_is_shown() -> None:
    settings = load_settings(None, {"DEEPSEEK_API_KEY": "sk-1"}, {})
    assert "new key   dsm-1\n" in banner(settings, access(Token("text", "dsm-1")), new_key="dsm-1")


def test_no_key_is_shown_without_one() -> None:
    assert "new key" not in banner(load_settings(None, {}, {}), access())


def test_curl_line_carries_a_streaming_request() -> None:
    words = shlex.split(curl_line(access()))
    assert words[2] == "http://127.0.0.1:8000/anthropic/v1/messages"
    assert "x-api-key: none" in words
    assert json.loads(words[-1])["stream"] is True


def test_python_line_is_a_program_with_a_forced_tool() -> None:
    code = shlex.split(python_line(access()))[-1]
    ast.parse(code)
    assert '"tool_choice"' not in code
    assert 'tool_choice={"type": "any"}' in code


@pytest.mark.parametrize("line", [curl_line, claude_line])
def test_shell_lines_take_the_callers_key_from_its_variable(line: object) -> None:
    assert '$DEEPSEEK_API_KEY"' in line(access(VARIABLE))  # type: ignore[operator]


def test_python_line_takes_the_callers_key_from_its_variable() -> None:
    assert 'api_key=os.environ["DEEPSEEK_API_KEY"]' in python_line(access(VARIABLE))


@pytest.mark.parametrize(
    ("window", "bare", "context"),
    [(131_072, False, True), (50_000, False, True), (8_192, True, True), (None, False, False)],
)
def test_claude_code_is_reduced_to_what_fits(window: int | None, bare: bool, context: bool) -> None:
    line = claude_line(access(window=window))
    assert ("--bare" in line) is bare
    assert (f"CLAUDE_CODE_MAX_CONTEXT_TOKENS={window}" in line) is context
    assert ("CLAUDE_CODE_MAX_OUTPUT_TOKENS=2048" in line) is bare
    assert shlex.split(line.splitlines()[-1])[0].startswith("ANTHROPIC_BASE_URL=")
