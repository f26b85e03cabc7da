"""Explaining a request at the command line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deepseek_messages.cli import main
from tests.support.pdf import pdf_base64

TOOL = {"name": "read", "description": "Reads.", "input_schema": {"type": "object"}}
REQUEST: dict[str, Any] = {
    "model": "claude-opus-5",
    "system": "Be brief.",
    "tools": [TOOL],
    "top_k": 4,
    "messages": [
        {"role": "user", "content": "Read it."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Yes."},
                {"type": "tool_use", "id": "t", "name": "read", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
    ],
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DEEPSEEK_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DEEPSEEK_MESSAGES_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def explain(*flags: str, **fields: Any) -> Result:
    text = json.dumps(REQUEST | fields)
    return CliRunner().invoke(main, ["explain", "-", *flags], input=text)


def explained(*flags: str, **fields: Any) -> Any:
    result = explain("--json", *flags, **fields)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_shows_everything_in_order() -> None:
    result = explain()
    assert result.exit_code == 0, result.output
    places = [
        result.stdout.index(word)
        for word in (
            "Model: claude-opus-5 -> deepseek-v4-pro (dialect deepseek, encoding v4)",
            "ignored=top_k@top_k",
            "Prompt tokens: ",
            '"reasoning_content": "Hm."',
            "Be brief.<",
        )
        if word in result.stdout
    ]
    assert len(places) >= 4
    assert places == sorted(places)


def test_json_holds_the_same() -> None:
    found = explained()
    assert found["model"] == {"requested": "claude-opus-5", "served": "deepseek-v4-pro"}
    assert found["notes"] == ["ignored=top_k@top_k"]
    assert found["chat"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "Be brief." in found["prompt"]


def test_parts_add_up_to_what_count_says() -> None:
    found = explained()
    parts = found["tokens"]["parts"]
    assert set(parts) == {
        "system", "user", "assistant", "reasoning", "tool calls", "tool results", "tools", "framing"
    }  # fmt: skip
    assert all(part["tokens"] > 0 for part in parts.values())
    total = found["tokens"]["total"]
    assert sum(part["tokens"] for part in parts.values()) == total
    counted = CliRunner().invoke(main, ["count", "-"], input=json.dumps(REQUEST))
    assert int(counted.stdout) == total


def test_documents_are_read() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": pdf_base64("Grey cats.")}
    messages = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    assert "Grey cats." in explained(messages=messages)["prompt"]


def test_images_are_a_part() -> None:
    source = {"type": "url", "url": "https://example.com/a.png"}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    found = explained(model="deepseek-flash", messages=messages)["tokens"]
    assert found["parts"]["images"]["count"] == 1
    assert found["exact"] is False


def test_another_dialect_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_MESSAGES_UPSTREAM_DIALECT", "vllm")
    found = explained()
    assert found["dialect"] == "vllm"
    assert found["chat"]["top_k"] == 4


def test_web_tools_that_the_settings_allow_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert "dropped=tools.web_search_20250305@tools.0" in explain(tools=[search]).output
    monkeypatch.setenv("DEEPSEEK_MESSAGES_TOOLS_WEB_SEARCH", "deepseek")
    found = explained(tools=[search])
    assert found["chat"]["tools"][0]["function"]["name"] == "web_search"


def test_a_summary_that_is_due_is_shown_and_not_counted() -> None:
    edit = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 1}}
    fields = {"context_management": {"edits": [edit]}}
    last = explained(**fields)["chat"]["messages"][-1]
    assert "Write a summary" in last["content"]
    plain, edited = (
        CliRunner().invoke(main, ["count", "-"], input=json.dumps(REQUEST | more)).output
        for more in ({}, fields)
    )
    assert plain == edited


def test_context_management_is_applied() -> None:
    edit = {
        "type": "clear_tool_uses_20250919",
        "trigger": {"type": "input_tokens", "value": 1},
        "keep": {"type": "tool_uses", "value": 0},
    }
    found = explained(context_management={"edits": [edit]})
    assert found["chat"]["messages"][3]["content"] == "[this old tool result was cleared]"


@pytest.mark.parametrize(
    ("flags", "fields", "message"),
    [
        ((), {"messages": 3}, "Error: messages: "),
        (("--strict",), {"mcp_servers": [{"url": "u"}]}, "Error: mcp_servers: "),
    ],
)
def test_refusal_is_named_by_path(
    flags: tuple[str, ...], fields: dict[str, Any], message: str
) -> None:
    result = explain(*flags, **fields)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
