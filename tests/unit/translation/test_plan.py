"""What a request plans for its answer: rounds, prefill, thinking, settings at their borders."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from deepseek_messages.translation.dialects import (
    DEEPSEEK,
    GENERIC,
    LLAMA_CPP,
    OLLAMA,
    VLLM,
    Dialect,
)
from deepseek_messages.translation.hosted.server_tools import Hosted
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan, no_rounds
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.edits import Edits
from deepseek_messages.wire.messages import ClearedThinking
from tests.support.translating import (
    Translated,
    assistant,
    call,
    model,
    result,
    text,
    tool,
    translated,
    user,
)

ON = {"type": "adaptive"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORMAT: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
WEB: dict[str, Any] = {
    "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    "hosted": Hosted(web_search=True),
}
FORCED: dict[str, Any] = {"tools": [tool("f")], "tool_choice": {"type": "any"}}

# --- rounds ---------------------------------------------------------------------------------------

CHECKS: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing special": ({}, None),
    "tools": ({"tools": [tool("f")]}, None),
    "a forced call": (FORCED, "call"),
    "a forced call of no tool": ({"tool_choice": {"type": "any"}}, None),
    "structured output": (FORMAT, "schema"),
    "both": ({**FORCED, **FORMAT}, "call"),
    "a tool of this server": (WEB, "none"),
    "no output": ({**FORCED, "max_tokens": 0}, None),
    "a summary": ({**FORCED, "compaction": {"type": "summarize"}}, None),
}


def planned(done: Translated) -> RoundPlan:
    assert done.rounds is not None
    return done.rounds


@pytest.mark.parametrize(
    ("given", "told", "cut"), [(("a",), False, True), (("a",), True, False), ((), False, False)]
)
def test_an_answer_may_be_cut_where_a_stop_sequence_is_looked_for(
    given: tuple[str, ...], told: bool, cut: bool
) -> None:
    plan = ReplyPlan(model="m", stop_sequences=given, reports_stop_string=told)
    assert plan.may_be_cut is cut


def test_no_rounds_ask_for_nothing() -> None:
    notes = Notes()
    plan = no_rounds(VLLM, notes)
    assert (plan.dialect, plan.check, plan.follow) == (VLLM, "none", None)
    assert (plan.book.dialect, plan.book.notes, plan.book.functions) == (VLLM, notes, [])
    assert not plan.book.updates_in_place


def test_what_tools_find_is_cited_beside_the_documents_of_the_request() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "One is odd."}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    done = translated(user(document, "And two?"), **WEB)
    assert len(done.plan.sources) == 1
    assert tuple(planned(done).citable.sources) == done.plan.sources


@pytest.mark.parametrize(("fields", "check"), CHECKS.values(), ids=CHECKS)
def test_an_answer_is_checked_for(fields: dict[str, Any], check: str | None) -> None:
    done = translated("hi", **fields)
    assert (done.rounds.check if done.rounds else None) == check
    if done.rounds is not None:
        assert (done.rounds.schema is not None) is (check == "schema")
        assert done.rounds.dialect is DEEPSEEK


def test_a_begun_answer_is_not_checked_for_a_schema() -> None:
    done = translated("hi", assistant("{"), dialect=VLLM, **FORMAT)
    assert done.plan.prefill == "{"
    assert done.rounds is None


def test_a_schema_that_is_none_is_refused_by_its_place() -> None:
    bad = {"output_config": {"format": {"type": "json_schema", "schema": {"type": 5}}}}
    with pytest.raises(Refusal) as caught:
        translated("hi", **bad)
    assert caught.value.path == "output_config.format.schema"
    assert translated("hi", **{**FORCED, **bad}).rounds is not None


@pytest.mark.parametrize(
    ("dialect", "stream", "passes"),
    [(VLLM, True, True), (VLLM, False, False), (DEEPSEEK, True, False), (DEEPSEEK, False, False)],
)
def test_text_passes_where_the_upstream_holds_itself_to_the_schema(
    dialect: Dialect, stream: bool, passes: bool
) -> None:
    done = translated("hi", dialect=dialect, stream=stream, **FORMAT)
    assert planned(done).passes_text is passes


QUIET: dict[str, tuple[Dialect, dict[str, Any]]] = {
    "deepseek": (DEEPSEEK, {"thinking": {"type": "disabled"}}),
    "vllm": (VLLM, {"chat_template_kwargs": {"thinking": False, "enable_thinking": False}}),
    "ollama": (OLLAMA, {"reasoning_effort": "none"}),
    "generic": (GENERIC, {}),
}


@pytest.mark.parametrize(("dialect", "said"), QUIET.values(), ids=QUIET)
def test_another_try_is_made_without_thinking(dialect: Dialect, said: dict[str, Any]) -> None:
    settings = {"thinking": ON, "output_config": {"effort": "high", **FORMAT["output_config"]}}
    quiet = msgspec.to_builtins(planned(translated("hi", dialect=dialect, **settings)).quiet)
    nothing = {"thinking": None, "chat_template_kwargs": None, "reasoning_effort": None}
    assert quiet == {**nothing, **said}


# --- the reply ------------------------------------------------------------------------------------


def test_citations_cannot_stand_in_structured_output() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "A long sentence."}
    document = {"type": "document", "source": source, "citations": {"enabled": True}}
    with pytest.raises(Refusal) as caught:
        translated(user(document, "q"), **FORMAT)
    assert caught.value.path == "output_config.format"


def test_edits_and_the_stop_string_are_planned() -> None:
    applied = (ClearedThinking(1, 2),)
    assert translated("hi", edits=Edits(applied=applied)).plan.applied_edits == applied
    assert translated("hi").plan.applied_edits is None
    for dialect in (DEEPSEEK, VLLM):
        done = translated("hi", dialect=dialect, stop_sequences=["x"])
        assert done.plan.reports_stop_string is dialect.reports_stop_string
        assert done.plan.may_be_cut is not dialect.reports_stop_string
        assert not translated("hi", dialect=dialect).plan.may_be_cut


# --- prefill --------------------------------------------------------------------------------------


def test_a_call_ends_an_answer_that_has_text() -> None:
    done = translated("a", assistant("b", call("t")))
    assert (done.plan.prefill, done.notes) == (
        "",
        ["repaired=tool_result.missing@messages.1.content.1"],
    )


def test_calls_of_earlier_answers_only_are_a_hindrance() -> None:
    earlier = [assistant(call("t")), user(result("t")), assistant("x"), "b"]
    assert translated("a", *earlier, assistant("{")).plan.prefill == ""
    assert translated("a", assistant("x"), "b", assistant("{")).plan.prefill == "{"
    assert translated("a", *earlier, assistant("{"), dialect=VLLM).plan.prefill == "{"
    own = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    assert translated(user("a", own), assistant("{")).plan.prefill == "{"


def test_a_begun_answer_and_a_form_do_not_go_together_at_deepseek() -> None:
    assert "response_format" not in translated("a", assistant("{"), **FORMAT).sent
    assert "response_format" in translated("a", assistant("{"), dialect=VLLM, **FORMAT).sent
    assert "response_format" in translated("a", **FORMAT).sent


@pytest.mark.parametrize("last", [user("x"), assistant(), assistant(text(""))])
def test_what_is_no_begun_answer_is_not_continued(last: Any) -> None:
    done = translated("a", last)
    assert done.plan.prefill == ""
    assert done.notes == []


# --- thinking -------------------------------------------------------------------------------------


def test_a_budget_is_noted() -> None:
    done = translated("hi", thinking={"type": "enabled", "budget_tokens": 2048})
    assert done.notes == ["ignored=thinking.budget_tokens@thinking.budget_tokens"]
    assert translated("hi", thinking=ON).notes == []


def test_an_effort_goes_alone_where_thinking_has_no_switch() -> None:
    plain = replace(GENERIC, efforts={"high": "most"})
    done = translated("hi", dialect=plain, thinking=ON, output_config={"effort": "high"})
    assert done.sent["reasoning_effort"] == "most"
    off = translated("hi", dialect=plain, output_config={"effort": "high"})
    assert "reasoning_effort" not in off.sent


@pytest.mark.parametrize("effort", [None, "low"])
def test_an_unknown_effort_is_not_sent(effort: str | None) -> None:
    plain = replace(DEEPSEEK, efforts={"high": "most", "": "odd"})
    config = {"effort": effort} if effort else {}
    done = translated("hi", dialect=plain, thinking=ON, output_config=config)
    assert done.sent.get("reasoning_effort") == (None if effort else "odd")


def test_a_name_that_thinks_needs_a_model_that_can() -> None:
    blunt = model(thinks=False)
    done = translated("hi", thinking_default=True, served=blunt)
    assert (done.plan.thinking, done.notes) == (False, [])


def test_where_both_can_be_done_a_forced_call_may_be_named_in_the_notes_only() -> None:
    done = translated("hi", thinking=ON, dialect=LLAMA_CPP, **FORCED)
    assert done.plan.thinking is LLAMA_CPP.forced_tool_while_thinking


# --- settings at their borders --------------------------------------------------------------------

BORDERS: dict[str, tuple[Dialect, dict[str, Any], str, Any, list[str]]] = {
    "the largest temperature": (DEEPSEEK, {"temperature": 2.0}, "temperature", 2.0, []),
    "no temperature at all": (DEEPSEEK, {"temperature": 0.0}, "temperature", 0.0, []),
    "a temperature beyond the upstream's": (
        replace(DEEPSEEK, max_temperature=1.0),
        {"temperature": 1.5},
        "temperature",
        1.0,
        ["clamped=temperature@temperature"],
    ),
    "the largest max_tokens": (DEEPSEEK, {"max_tokens": 393216}, "max_tokens", 393216, []),
    "one token": (DEEPSEEK, {"max_tokens": 1}, "max_tokens", 1, []),
    "the smallest top_p": (DEEPSEEK, {"top_p": 0.001}, "top_p", 0.001, []),
    "the smallest top_k": (VLLM, {"top_k": 1}, "top_k", 1, []),
    "no user": (DEEPSEEK, {"metadata": {"user_id": ""}}, "user_id", None, []),
    "no metadata": (DEEPSEEK, {"metadata": {}}, "user_id", None, []),
    "a field of null": (DEEPSEEK, {"container": None}, "container", None, []),
    "empty stops": (
        VLLM,
        {"stop_sequences": ["", "a", "a", "b"]},
        "stop",
        ["a", "b"],
        ["ignored=stop_sequences.empty@stop_sequences"],
    ),
}


@pytest.mark.parametrize(
    ("dialect", "given", "name", "sent", "notes"), BORDERS.values(), ids=BORDERS
)
def test_a_setting_is_sent_as(
    dialect: Dialect, given: dict[str, Any], name: str, sent: Any, notes: list[str]
) -> None:
    done = translated("hi", dialect=dialect, **given)
    assert done.sent.get(name) == sent
    assert done.notes == notes


@pytest.mark.parametrize("top_k", [-1, 1.5, "x", []])
def test_a_top_k_that_is_none_is_refused_by_name(top_k: Any) -> None:
    with pytest.raises(Refusal) as caught:
        translated("hi", dialect=VLLM, top_k=top_k)
    assert caught.value.path == "top_k"


def test_a_stream_is_asked_for_only_where_it_is_wanted_or_must_be_cut() -> None:
    assert "stream" not in translated("hi").sent
    assert "stream" not in translated("hi", dialect=VLLM, stop_sequences=["x"]).sent
    cut = translated("hi", stop_sequences=["x"]).sent
    assert (cut["stream"], cut["stream_options"]) == (True, {"include_usage": True})
    bare = replace(DEEPSEEK, stream_options=False)
    assert "stream_options" not in translated("hi", dialect=bare, stream=True).sent
