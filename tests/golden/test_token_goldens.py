"""The same golden conversations on the token route: the model's answer comes as token ids from
vLLM, SGLang or llama.cpp, and the client gets the same message.
"""

import json
from typing import Any

import msgspec
import pytest

from deepseek_messages.translation.answer.response import fold
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.faults import Fault
from deepseek_messages.wire.events import ErrorEvent
from tests.support.sse import assert_lawful
from tests.support.token_goldens import (
    GOLDENS,
    answer,
    error_of_upstream,
    message,
    plain,
    plan,
)
from tests.support.token_route import MODELS, SERVERS

# --- what differs, and why ------------------------------------------------------------------------

ONE_OF_EACH = "DeepSeek's encoding has one reasoning, one text, then the calls: none comes again"
NO_FILTER = "no token server filters content"
MARK_UP = "the model's own mark-up is a call, as in DeepSeek's service, whatever stands around it"
LINE_END = "DeepSeek's reader takes the line ends off the end of reasoning"

DIFFERENT = {
    "call_arguments_verbatim": "an argument that is no JSON (Infinity) has no form in tokens",
    "call_then_text": ONE_OF_EACH,
    "calls_interleaved_with_reasoning": ONE_OF_EACH,
    "reasoning_after_text": ONE_OF_EACH,
    "dsml_bare_invoke": ONE_OF_EACH,
    "content_filter": NO_FILTER,
    "finish_sensitive": NO_FILTER,
    "dsml_mentioned": MARK_UP,
    "dsml_unknown_tool": MARK_UP,
    "think_tag_mentioned": "a closing tag that is a token of its own is no text",
    "reasoning_blanks_kept": LINE_END,
    "think_tag_open_in_prompt": LINE_END,
    "think_tags": LINE_END,
    "whole_think_tags": LINE_END,
    "finish_model_length": "the room is known and asked for, so only max_tokens ends an answer",
}

CUT = ("cut", "cut_in_frame", "done_without_finish", "citations_cut_upstream")
REPORTED = ("error_in_stream", "error_as_text", "error_numeric_code", "whole_error_text")
NOT_ON_THIS_ROUTE = {
    "call_name_never": "a call's mark-up has its name first",
    "no_resources": "DeepSeek's API alone has this finish reason",
    "whole_error": "answers are always streamed; an error before them has a status",
    "whole_empty_choices": "answers are always streamed",
    "not_json": "tests/faults/test_tokens_matrix.py has broken frames at every stage",
    "call_invalid": "test_arguments_that_are_no_json_are_an_error",
    "finish_aborted": "test_an_aborted_answer_is_an_error",
}

WHOLE = [name for name, golden in GOLDENS.items() if message(golden)["type"] == "message"]
SAME = [name for name in WHOLE if name not in DIFFERENT]


def read(name: str, kind: str, encoding: Encoding, **more: Any) -> dict[str, Any]:
    """The message, or the error, that the client gets."""
    made = answer(GOLDENS[name], kind, encoding, **more)
    events = made.events([made.body], plan(GOLDENS[name]))
    assert_lawful(encode_events(events))
    try:
        whole: dict[str, Any] = json.loads(msgspec.json.encode(fold(events)))
    except Fault as fault:
        return {"error": json.loads(msgspec.json.encode(fault.detail()))}
    return whole


def told(whole: dict[str, Any]) -> tuple[Any, ...]:
    ended = whole["stop_reason"], whole["stop_sequence"]
    return plain(whole["content"]), *ended


@pytest.mark.parametrize("encoding", MODELS)
@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", SAME)
def test_the_message_is_the_chat_routes(name: str, kind: str, encoding: Encoding) -> None:
    found = read(name, kind, encoding)
    assert told(found) == told(message(GOLDENS[name]))


@pytest.mark.parametrize("encoding", MODELS)
@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_really_does(name: str, encoding: Encoding) -> None:
    found = read(name, "vllm", encoding)
    assert "error" not in found
    assert told(found) != told(message(GOLDENS[name])), f"no longer true: {DIFFERENT[name]}"


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("name", CUT)
def test_a_cut_answer_is_the_same_error(name: str, kind: str) -> None:
    made = answer(GOLDENS[name], kind, "v4.1")
    cut = made.body.rindex(b"stop")  # inside the frame that says so
    if name != "cut_in_frame":
        cut = made.body.rindex(b"data: ", 0, cut)
    done = b"data: [DONE]\n\n" if name == "done_without_finish" else b""
    events = made.events([made.body[:cut], done], plan(GOLDENS[name]))
    assert_lawful(encode_events(events))
    assert isinstance(events[-1], ErrorEvent)
    found = json.loads(msgspec.json.encode(events[-1].error))
    assert found == message(GOLDENS[name])["error"]


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp"])  # SGLang's are aborts: the fault matrix
@pytest.mark.parametrize("name", REPORTED)
def test_a_reported_error_is_the_same_error(name: str, kind: str) -> None:
    found = read(name, kind, "v4.1", error=error_of_upstream(GOLDENS[name]))
    assert found["error"] == message(GOLDENS[name])["error"]


def test_an_aborted_answer_is_an_error() -> None:
    found = read("finish_aborted", "vllm", "v4.1", finish="abort")
    assert found["error"] == message(GOLDENS["finish_aborted"])["error"]


def test_no_golden_is_forgotten() -> None:
    rest = {name for name in GOLDENS if name not in WHOLE}
    assert rest == {*CUT, *REPORTED, *NOT_ON_THIS_ROUTE}
    assert set(DIFFERENT) <= set(WHOLE)
    assert len(SAME) >= 85


@pytest.mark.parametrize("kind", SERVERS)
def test_the_last_event_may_lack_its_empty_line(kind: str) -> None:
    made = answer(GOLDENS["text_deepseek"], kind, "v4.1")
    body = made.body.removesuffix(b"data: [DONE]\n\n").rstrip()
    chosen = plan(GOLDENS["text_deepseek"])
    assert made.events([body], chosen) == made.events([made.body], chosen)
