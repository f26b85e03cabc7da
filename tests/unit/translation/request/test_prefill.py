"""A last assistant message is continued, where that can be."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    EMBEDDED,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    TOKENS,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.hosted.server_tools import Hosted
from tests.support.translating import (
    assistant,
    call,
    result,
    text,
    thinking,
    tool,
    translated,
    user,
)

ON = {"type": "adaptive"}


PREFILLS: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any]]] = {
    "deepseek": (DEEPSEEK, {"prefix": True}, {}),
    "vllm": (
        VLLM,
        {"wo_eos": True},
        {"continue_final_message": True, "add_generation_prompt": False},
    ),
    "sglang": (SGLANG, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    "llama.cpp": (LLAMA_CPP, {}, {}),
    "ollama": (OLLAMA, {}, {}),
    "embedded": (EMBEDDED, {}, {}),
    "token ids": (TOKENS, {"prefix": True}, {}),
}


@pytest.mark.parametrize(("dialect", "last", "body"), PREFILLS.values(), ids=PREFILLS.keys())
@pytest.mark.parametrize("answer", [assistant("{"), assistant(text("{"))])
def test_last_answer_is_continued(dialect: Dialect, last: Any, body: Any, answer: Any) -> None:
    done = translated("a", answer, dialect=dialect)

    assert done.messages[-1] == {"role": "assistant", "content": "{", **last}
    fields = ("continue_final_message", "add_generation_prompt")
    assert {k: v for k, v in done.sent.items() if k in fields} == body
    assert done.plan.prefill == "{"


def test_sy11_prefill_turns_thinking_off() -> None:
    done = translated("a", assistant("{"), thinking=ON)

    assert done.sent["thinking"] == {"type": "disabled"}
    assert done.notes == ["emulated=prefill.thinking_off@messages.1"]


NOT_CONTINUED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "unknown server": ([assistant("{")], {"dialect": GENERIC}),
    "DeepSeek with tools": ([assistant("{")], {"tools": [tool()]}),
    "DeepSeek with calls": ([assistant(call()), user(result()), assistant("{")], {}),
}


@pytest.mark.parametrize(("messages", "options"), NOT_CONTINUED.values(), ids=NOT_CONTINUED.keys())
def test_answer_that_cannot_be_continued_is_noted(messages: Any, options: Any) -> None:
    done = translated("a", *messages, **options)

    assert done.plan.prefill == ""
    assert "prefix" not in done.messages[-1]
    assert done.notes == [f"dropped=prefill@messages.{len(messages)}"]


@pytest.mark.parametrize("answer", [assistant(""), assistant(call()), assistant(thinking("t"))])
def test_answer_without_unfinished_text_is_no_prefill(answer: Any) -> None:
    done = translated("a", answer)

    assert done.plan.prefill == ""
    assert "prefix" not in json.dumps(done.messages)


SUMMARY = {"type": "compaction", "content": "sum"}
SEARCH = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
SEARCHED = [
    {"type": "server_tool_use", "id": "s", "name": SEARCH["name"], "input": {"query": "f"}},
    {
        "type": "tool_search_tool_result",
        "tool_use_id": "s",
        "content": {"type": "tool_search_tool_search_result", "tool_references": []},
    },
]


def test_answer_that_ends_with_a_summary_is_no_prefill() -> None:
    done = translated("a", assistant(text("b"), SUMMARY))

    assert [m["role"] for m in done.messages] == ["user"]
    assert done.plan.prefill == ""


def test_text_behind_a_summary_is_continued() -> None:
    done = translated("a", assistant(text("b"), SUMMARY, text("c")))

    assert done.messages[-1] == {"role": "assistant", "content": "c", "prefix": True}
    assert done.plan.prefill == "c"


def test_answer_that_ends_with_the_result_of_a_tool_here_is_no_prefill() -> None:
    done = translated("a", assistant(text("b"), *SEARCHED), dialect=VLLM, tools=[SEARCH])

    assert [m["role"] for m in done.messages] == ["user", "assistant", "tool"]
    assert done.plan.prefill == ""
    assert "continue_final_message" not in done.sent


FOUND = [
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
]


@pytest.mark.parametrize("dialect", [DEEPSEEK, VLLM, LLAMA_CPP])
def test_an_answer_that_paused_behind_a_search_is_no_prefill(dialect: Dialect) -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    paused, hosted = assistant(text("I look."), *FOUND), Hosted(web_search=True)
    done = translated("a", paused, dialect=dialect, tools=tools, hosted=hosted)

    assert done.plan.prefill == ""
    assert "prefix" not in json.dumps(done.messages)
    assert not any("prefill" in note for note in done.notes)
