"""Thinking: whether it is on, how hard, and the reasoning of earlier turns."""

import json
from typing import Any

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    GENERIC,
    OLLAMA,
    VLLM,
    Dialect,
)
from tests.support.translating import (
    SEAL,
    assistant,
    call,
    model,
    result,
    text,
    thinking,
    tool,
    translated,
    user,
)

ON = {"type": "adaptive"}


MODES: dict[str, tuple[Any, bool]] = {
    "TH-15 adaptive": ({"type": "adaptive"}, True),
    "enabled": ({"type": "enabled", "budget_tokens": 2048}, True),
    "TH-12 small budget": ({"type": "enabled", "budget_tokens": 500}, True),
    "TH-13 budget over max_tokens": ({"type": "enabled", "budget_tokens": 99999}, True),
    "between tools": ({"type": "between_tools"}, True),
    "disabled": ({"type": "disabled"}, False),
    "absent": (None, False),
}


@pytest.mark.row("thinking")
@pytest.mark.parametrize(("given", "on"), MODES.values(), ids=MODES.keys())
def test_thinking_is_switched(given: Any, on: bool) -> None:
    done = translated("hi", thinking=given)

    assert done.sent["thinking"] == {"type": "enabled" if on else "disabled"}
    assert done.plan.thinking is on


def test_name_of_the_model_decides_where_the_request_does_not() -> None:
    assert translated("hi", thinking_default=True).plan.thinking
    assert not translated("hi", thinking_default=True, thinking={"type": "disabled"}).plan.thinking


STYLES: dict[str, tuple[Dialect, dict[str, Any], dict[str, Any]]] = {
    "deepseek": (
        DEEPSEEK,
        {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
        {"thinking": {"type": "disabled"}},
    ),
    "vllm": (
        VLLM,
        {
            "chat_template_kwargs": {"thinking": True, "enable_thinking": True},
            "reasoning_effort": "low",
        },
        {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}},
    ),
    "ollama": (OLLAMA, {"reasoning_effort": "low"}, {"reasoning_effort": "none"}),
    "generic": (GENERIC, {}, {}),
}


@pytest.mark.parametrize(("dialect", "on", "off"), STYLES.values(), ids=STYLES.keys())
def test_thinking_is_said_as_the_dialect_wants_it(dialect: Dialect, on: Any, off: Any) -> None:
    fields = ("thinking", "chat_template_kwargs", "reasoning_effort")
    effort = {"effort": "low"}

    for setting, expected in ((ON, on), ({"type": "disabled"}, off)):
        done = translated("hi", dialect=dialect, thinking=setting, output_config=effort)
        assert {k: v for k, v in done.sent.items() if k in fields} == expected


EFFORTS = {"low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max"}


@pytest.mark.parametrize(("given", "sent"), EFFORTS.items())
def test_effort_is_mapped(given: str, sent: str) -> None:
    done = translated("hi", thinking=ON, output_config={"effort": given})

    assert done.sent["reasoning_effort"] == sent


def test_effort_is_never_sent_with_thinking_disabled() -> None:
    assert "reasoning_effort" not in translated("hi", output_config={"effort": "max"}).sent


def test_latest_effort_in_the_conversation_holds() -> None:
    changes = [
        {"role": "system", "content": [], "output_config": {"effort": effort}}
        for effort in ("max", "low")
    ]
    done = translated(
        "a",
        changes[0],
        assistant("b"),
        "c",
        changes[1],
        thinking=ON,
        output_config={"effort": "high"},
    )

    assert done.sent["reasoning_effort"] == "low"


def test_th11_thinking_is_ignored_for_a_model_that_cannot() -> None:
    done = translated("hi", thinking=ON, served=model(thinks=False))

    assert not done.plan.thinking
    assert done.notes == ["ignored=thinking@thinking"]


@pytest.mark.parametrize(
    ("display", "plan"),
    [(None, "shown"), ("summarized", "shown"), ("updates", "shown"), ("omitted", "omitted")],
)
def test_th20_display_is_planned(display: Any, plan: str) -> None:
    assert translated("hi", thinking={**ON, "display": display}).plan.display == plan


REPLAYS: dict[str, tuple[Any, str]] = {
    "TH-09 as it was": (thinking("because", "sig"), "because"),
    "without a signature": ({"type": "thinking", "thinking": "because"}, "because"),
    "TH-07 foreign signature": (thinking("because", "EqQBCkYIBx"), "because"),
    "TH-19 untrimmed": (thinking(" because \n"), " because \n"),
    "empty": (thinking(""), ""),
    "TH-20 omitted, sealed": (thinking("", SEAL.seal("hidden")), "hidden"),
    "omitted, foreign": (thinking("", "EqQBCkYIBx"), ""),
    "forged": (thinking("", "dsm1.AAAA"), ""),
}


@pytest.mark.parametrize(("block", "reasoning"), REPLAYS.values(), ids=REPLAYS.keys())
def test_th04_reasoning_goes_back_with_its_calls(block: Any, reasoning: str) -> None:
    done = translated("a", assistant(block, call()), user(result()), tools=[tool()], thinking=ON)

    assert done.messages[1]["reasoning_content"] == reasoning
    assert done.notes == []


def test_reasoning_goes_by_the_dialects_name() -> None:
    answer = assistant(thinking("because"), "x")

    assert translated("a", answer, "b", dialect=VLLM).messages[1]["reasoning"] == "because"
    assert "because" not in json.dumps(translated("a", answer, "b", dialect=GENERIC).messages)


LOST: dict[str, Any] = {
    "TH-05 call": [assistant(call()), user(result())],
    "TH-03 string": [assistant("x"), "b"],
    "TH-03 text": [assistant(text("x")), "b"],
    "TH-16 redacted": [
        assistant({"type": "redacted_thinking", "data": "d"}, call()),
        user(result()),
    ],
}


@pytest.mark.parametrize("messages", LOST.values(), ids=LOST.keys())
def test_lost_reasoning_that_deepseek_demands_is_filled_in(messages: Any) -> None:
    done = translated("a", *messages, tools=[tool()], thinking=ON)

    assert done.messages[1]["reasoning_content"] == ""
    assert "repaired=thinking@messages.1" in done.notes


def test_th01_nothing_is_filled_in_with_thinking_off() -> None:
    done = translated("a", assistant(call()), user(result()), tools=[tool()])

    assert "reasoning_content" not in done.messages[1]
    assert done.sent["thinking"] == {"type": "disabled"}
