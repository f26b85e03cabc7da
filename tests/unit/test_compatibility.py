import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from deepseek_messages import compatibility
from deepseek_messages.compatibility import TITLES, Row, Table, as_json, as_markdown, as_text, rows

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

# The rows of DeepSeek's "Anthropic API" guide of autumn 2025: its own list, so that no row of
# ours can be lost.
GUIDE_OF_2025 = [
    "headers.anthropic-beta",
    "headers.anthropic-version",
    "headers.x-api-key",
    "model",
    "max_tokens",
    "container",
    "mcp_servers",
    "metadata",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "top_k",
    "top_p",
    "tools.name",
    "tools.input_schema",
    "tools.description",
    "tools.cache_control",
    "tool_choice.none",
    "tool_choice.auto",
    "tool_choice.any",
    "tool_choice.tool",
    "tool_choice.disable_parallel_tool_use",
    "messages.content.string",
    "messages.content.text.text",
    "messages.content.text.cache_control",
    "messages.content.text.citations",
    "messages.content.image.source",
    "messages.content.document",
    "messages.content.search_result",
    "messages.content.thinking",
    "messages.content.redacted_thinking",
    "messages.content.tool_use.id",
    "messages.content.tool_use.input",
    "messages.content.tool_use.name",
    "messages.content.tool_use.cache_control",
    "messages.content.tool_result.tool_use_id",
    "messages.content.tool_result.content",
    "messages.content.tool_result.cache_control",
    "messages.content.tool_result.is_error",
    "messages.content.server_tool_use",
    "messages.content.web_search_tool_result",
    "messages.content.code_execution_tool_result",
    "messages.content.mcp_tool_use",
    "messages.content.mcp_tool_result",
    "messages.content.container_upload",
]

ADDED_BY_2026 = [
    "headers.authorization",
    "output_config",
    "safety_check",
    "tools.web_search",
    "tool_choice.null",
    "endpoints.messages",
    "endpoints.messages_without_version",
    "endpoints.count_tokens",
    "endpoints.models",
    "endpoints.files",
]


# Every part of the Messages API as the official SDKs type it that the guide has no row for.
MESSAGES_API = [
    "headers.anthropic-ratelimit",
    "cache_control",
    "speed",
    "inference_geo",
    "diagnostics",
    "fallbacks",
    "fallback_credit_token",
    "billing_policy",
    "safeguards",
    "tags",
    "unknown_fields",
    "thread",
    "thinking.enabled",
    "thinking.adaptive",
    "thinking.between_tools",
    "thinking.disabled",
    "thinking.budget_tokens",
    "thinking.display",
    "thinking.block_binding",
    "output_config.effort",
    "output_config.format",
    "output_config.task_budget",
    "context_management.clear_tool_uses",
    "context_management.clear_thinking",
    "context_management.compact",
    "messages.role",
    "messages.system",
    "messages.consecutive",
    "messages.empty",
    "messages.prefill",
    "messages.output_config",
    "messages.clear_at",
    "tools.type",
    "tools.strict",
    "tools.defer_loading",
    "tools.eager_input_streaming",
    "tools.input_examples",
    "tools.allowed_callers",
    "tools.bash",
    "tools.text_editor",
    "tools.memory",
    "tools.computer",
    "tools.toolsets",
    "tools.deepseek_own",
    "messages.content.image.transformations",
    "messages.content.document.title",
    "messages.content.document.pdf",
    "messages.content.thinking.signature",
    "messages.content.tool_use.caller",
    "messages.content.tool_result.image",
    "messages.content.tool_result.document",
    "messages.content.tool_result.search_result",
    "messages.content.tool_result.tool_reference",
    "messages.content.tool_result.unknown",
    "messages.content.web_fetch_tool_result",
    "messages.content.bash_code_execution_tool_result",
    "messages.content.tool_search_tool_result",
    "messages.content.tool_reference",
    "messages.content.tool_addition",
    "messages.content.tool_removal",
    "messages.content.unknown",
    "answer.message",
    "answer.text",
    "answer.citations",
    "answer.thinking",
    "answer.redacted_thinking",
    "answer.tool_use",
    "answer.server_tools",
    "answer.mcp",
    "answer.compaction",
    "answer.stop_reason.end_turn",
    "answer.stop_reason.max_tokens",
    "answer.stop_reason.stop_sequence",
    "answer.stop_reason.tool_use",
    "answer.stop_reason.pause_turn",
    "answer.stop_reason.refusal",
    "answer.stop_reason.model_context_window_exceeded",
    "answer.stop_reason.compaction",
    "answer.stop_details",
    "answer.container",
    "answer.context_management",
    "answer.usage.input_tokens",
    "answer.usage.output_tokens",
    "answer.usage.server_tool_use",
    "answer.usage.iterations",
    "answer.usage.cache_creation",
    "events.message_start",
    "events.content_block_start",
    "events.text_delta",
    "events.thinking_delta",
    "events.input_json_delta",
    "events.citations_delta",
    "events.compaction_delta",
    "events.message_delta",
    "events.message_stop",
    "events.ping",
    "events.error",
]


@pytest.mark.parametrize("name", [*GUIDE_OF_2025, *ADDED_BY_2026, *MESSAGES_API])
def test_row_is_there(name: str) -> None:
    assert name in {row.id for row in rows()}


@pytest.mark.parametrize("name", GUIDE_OF_2025)
def test_row_of_2025_says_what_the_guide_said(name: str) -> None:
    assert next(row for row in rows() if row.id == name).deepseek_2025 != "-"


def test_ids_are_unique() -> None:
    ids = [row.id for row in rows()]
    assert len(ids) == len(set(ids))


def test_sections_are_in_order_and_whole() -> None:
    seen = list(dict.fromkeys(row.section for row in rows()))
    assert seen == list(TITLES)
    assert [row.section for row in rows()] == sorted(
        (row.section for row in rows()), key=seen.index
    )


def test_refusals_and_only_they_name_their_error() -> None:
    for row in rows():
        assert (row.error is not None) is (row.how == "refused"), row.id
        assert row.error is None or re.fullmatch(r"4\d\d [a-z_]+_error", row.error), row.id


def test_sentences_are_whole() -> None:
    for row in rows():
        assert row.what.endswith("."), row.id


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(rows()), "run `make docs`"


def test_markdown_has_a_line_for_each_row() -> None:
    lines = as_markdown(rows()).splitlines()
    for row in rows():
        assert sum(line.startswith(f"| `{row.name}` |") for line in lines) >= 1, row.id


def test_markdown_keeps_bars_inside_cells() -> None:
    row = Row(
        id="x", section="fields", name="a|b", deepseek_2025="-", how="ignored", what=".", since="1"
    )
    assert "| `a\\|b` |" in as_markdown([row])


def test_json_gives_back_the_rows() -> None:
    assert msgspec.json.decode(as_json(rows()), type=list[Row]) == list(rows())
    assert json.loads(as_json(rows()))[0]["id"] == rows()[0].id


@pytest.mark.parametrize("width", [20, 80, 200])
def test_text_keeps_to_the_width_of_the_terminal(width: int) -> None:
    text = as_text(rows(), width=width)
    assert max(map(len, text.splitlines())) <= max(width, 96)
    for row in rows():
        assert row.name in text


@pytest.mark.parametrize(
    "line",
    ["unheard = 1", 'how = "perhaps"', 'section = "elsewhere"'],
    ids=["key", "how", "section"],
)
def test_table_with_a_mistake_is_refused(line: str) -> None:
    fields = {
        "id": '"x"',
        "section": '"fields"',
        "name": '"x"',
        "deepseek_2025": '"-"',
        "how": '"ignored"',
        "what": '"."',
        "since": '"1"',
    }
    key, _, value = line.partition(" = ")
    text = "[[row]]\n" + "\n".join(f"{k} = {v}" for k, v in {**fields, key: value}.items())
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tomllib.loads(text), Table)


# --- the check that each row has its test ---------------------------------------------------------


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two rows in its table, whose tests load the check."""
    table = tuple(msgspec.structs.replace(rows()[0], id=name) for name in ("one", "two"))
    monkeypatch.setattr("tests.rows.rows", lambda: table)
    monkeypatch.setattr(compatibility, "rows", lambda: table)
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        testpaths = ["tests"]
        markers = ["row(name): proves"]
        """
    )
    return pytester


def run(project: pytest.Pytester, *lines: str, args: tuple[str, ...] = ()) -> pytest.RunResult:
    folder = project.mkdir("tests")
    source = "import pytest\n" + "\n".join(lines)
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    return project.runpytest_inprocess("-p", "tests.rows", "-p", "no:randomly", *args)


ONE = '@pytest.mark.row("one")\ndef test_one(): pass'
TWO = '@pytest.mark.row("two")\ndef test_two(): pass'
TWO_FAILS = '@pytest.mark.row("two")\ndef test_two_fails(): assert False'
TWO_SKIPS = '@pytest.mark.row("two")\n@pytest.mark.skip\ndef test_two_skips(): pass'


def test_whole_run_with_every_row_proven_passes(project: pytest.Pytester) -> None:
    assert run(project, ONE, TWO).ret == pytest.ExitCode.OK


def test_one_test_may_prove_two_rows(project: pytest.Pytester) -> None:
    both = '@pytest.mark.row("one")\n@pytest.mark.row("two")\ndef test_both(): pass'
    assert run(project, both).ret == pytest.ExitCode.OK


@pytest.mark.parametrize("second", ["", TWO_SKIPS], ids=["missing", "skipped"])
def test_whole_run_with_a_row_unproven_fails(project: pytest.Pytester, second: str) -> None:
    result = run(project, ONE, second)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*without proof*", "two"])


def test_row_whose_test_fails_is_not_proven_by_another(project: pytest.Pytester) -> None:
    result = run(project, ONE, TWO, TWO_FAILS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*without proof*", "two"])


@pytest.mark.parametrize(
    "args", [("-k", "one"), ("tests/test_it.py",), ("--collect-only",)], ids=["-k", "path", "list"]
)
def test_part_of_the_suite_need_not_prove_every_row(
    project: pytest.Pytester, args: tuple[str, ...]
) -> None:
    assert run(project, ONE, args=args).ret == pytest.ExitCode.OK


def test_unknown_row_stops_the_run(project: pytest.Pytester) -> None:
    result = run(project, '@pytest.mark.row("three")\ndef test_three(): pass')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*not in compatibility.toml: three*"])
