"""The table of chat servers, and how one is told from another."""

import pytest

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    DIALECTS,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    SGLANG,
    VLLM,
    Dialect,
    by_host,
    by_signs,
)

EFFORTS = {"low", "medium", "high", "xhigh", "max"}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_maps_every_effort_or_none(dialect: Dialect) -> None:
    assert set(dialect.efforts) in (set(), EFFORTS)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_dialects_path_is_a_chat_path(dialect: Dialect) -> None:
    assert dialect.path.endswith("/chat/completions")
    assert (dialect.prefix == "beta_prefix") == (dialect.prefix_path is not None)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_that_demands_reasoning_takes_it_back(dialect: Dialect) -> None:
    assert not dialect.demands_reasoning or dialect.replays_reasoning is not None


def test_the_double_speaks_deepseeks_dialect() -> None:
    assert DIALECTS["double"] is DEEPSEEK


@pytest.mark.parametrize(
    ("host", "dialect"),
    [
        ("api.deepseek.com", DEEPSEEK),
        ("API.DeepSeek.com.", DEEPSEEK),
        ("deepseek.com", DEEPSEEK),
        ("notdeepseek.com", None),
        ("deepseek.com.evil.example", None),
        ("localhost", None),
    ],
)
def test_a_host_tells_only_deepseek(host: str, dialect: Dialect | None) -> None:
    assert by_host(host) is dialect


@pytest.mark.parametrize(
    ("owners", "server", "dialect"),
    [
        ({"vllm"}, "uvicorn", VLLM),
        ({"sglang"}, "uvicorn", SGLANG),
        ({"llamacpp"}, "", LLAMA_CPP),
        ({"library", "someone"}, "", OLLAMA),
        ({"deepseek"}, "", DEEPSEEK),
        (set(), "llama.cpp", LLAMA_CPP),
        ({"vllm", "sglang"}, "", None),
        ({"system"}, "nginx", None),
        (set(), "", None),
    ],
)
def test_signs_tell_the_server(owners: set[str], server: str, dialect: Dialect | None) -> None:
    assert by_signs(frozenset(owners), server) is dialect


def test_of_an_unknown_server_nothing_special_is_assumed() -> None:
    assert GENERIC.thinking == "none"
    assert GENERIC.prefix == "none"
    special = (GENERIC.top_k, GENERIC.user_id, GENERIC.json_schema, GENERIC.strict_tools)
    assert not any(special)
