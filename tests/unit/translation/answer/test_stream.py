"""Each case is fed whole, byte by byte, and at every two-way split."""

from typing import Any

import pytest

from deepseek_messages.translation.answer.block_queue import MAX_BLANKS
from deepseek_messages.translation.answer.sse import encode_events
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.answer.writer import MOVES, EventWriter, IllegalMoveError, State
from deepseek_messages.translation.faults import Fault, FaultKind, garbage
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChunkChoice
from deepseek_messages.wire.events import (
    ContentBlockStop,
    MessageDelta,
    TextDelta,
    TextStart,
    ToolUseStart,
)
from tests.support.answers import FakeSeal, call, cuts, delta, plain, sse, translate
from tests.support.sse import assert_lawful

S, E = "message_start", "message_stop"
DSML = (
    '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n'
    '<｜DSML｜parameter name="a" string="true">v</｜DSML｜parameter>\n'
    "</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
)


def calls(*entries: dict[str, Any]) -> dict[str, Any]:
    return delta(tool_calls=list(entries))


def plan(**fields: Any) -> ReplyPlan:
    return ReplyPlan(model="deepseek-chat", **fields)


TEXT = [S, "0+text", "0=Hi", "0-", "end_turn", E]
CUT = "error api_error: the upstream's answer ended without a finish reason"
ONE_CALL = [S, "0+tool f c", '0={"a":1}', "0-", "tool_use", E]

CASES: dict[str, tuple[list[Any], list[str], ReplyPlan | None]] = {
    "plain text": ([delta(content="Hi"), delta("stop")], TEXT, None),
    "a role-only chunk opens nothing": (
        [delta(role="assistant", content=""), delta(content="Hi"), delta("stop", content="")],
        TEXT,
        None,
    ),
    "SSE-03 empty content before reasoning opens no text block": (
        [delta(content=""), delta(reasoning_content="hm"), delta(content="Hi"), delta("stop")],
        [S, "0+thinking", "0=hm", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        None,
    ),
    "SSE-01 reasoning then a call without text between": (
        [delta(reasoning_content="hm"), calls(call(0, "c", "f", '{"a":1}')), delta("tool_calls")],
        [S, "0+thinking", "0=hm", "0-", "1+tool f c", '1={"a":1}', "1-", "tool_use", E],
        None,
    ),
    "SSE-07 the chunk that changes the block keeps its text": (
        [
            delta(reasoning_content="hm"),
            delta(reasoning_content=" ok", content="Hi"),
            delta("stop"),
        ],
        [S, "0+thinking", "0=hm", "0= ok", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        None,
    ),
    "SSE-08 a first chunk with tool calls and no role": (
        [calls(call(0, "c", "f", '{"a":1}')), delta("tool_calls")],
        ONE_CALL,
        None,
    ),
    "SSE-09 usage after the finish gives one message_delta": (
        [delta(content="Hi"), delta("stop"), {"choices": [], "usage": {"completion_tokens": 3}}],
        TEXT,
        None,
    ),
    "SSE-11 no finish reason is a cut": (
        [delta(content="Hi")],
        [S, "0+text", "0=Hi", "0-", CUT],
        None,
    ),
    "SSE-17 text then a call": (
        [delta(content="Hi"), calls(call(0, "c", "f", "{}")), delta("tool_calls")],
        [S, "0+text", "0=Hi", "0-", "1+tool f c", "1={}", "1-", "tool_use", E],
        None,
    ),
    "nothing at all is a cut": ([], [CUT], None),
    "an empty answer stays empty": ([delta("stop", content="")], [S, "end_turn", E], None),
    "an answer of reasoning alone stays so": (
        [delta(reasoning_content="hm"), delta("length")],
        [S, "0+thinking", "0=hm", "0-", "max_tokens", E],
        None,
    ),
    "blank text opens no block": (
        [delta(content="\n\n"), calls(call(0, "c", "f", '{"a":1}')), delta("tool_calls")],
        ONE_CALL,
        None,
    ),
    "blanks before text are kept": (
        [delta(content="\n"), delta(content=" "), delta(content="Hi"), delta("stop")],
        [S, "0+text", "0=\n Hi", "0-", "end_turn", E],
        None,
    ),
    "text that begins with more blanks than are held": (
        [delta(content="\n" * MAX_BLANKS), delta(content="\n"), delta("stop")],
        [S, "0+text", "0=" + "\n" * (MAX_BLANKS + 1), "0-", "end_turn", E],
        None,
    ),
    "reasoning under its other name": (
        [delta(reasoning="hm"), delta(content="Hi"), delta("stop")],
        [S, "0+thinking", "0=hm", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        None,
    ),
    "reasoning under both names counts once": (
        [delta(reasoning="hm", reasoning_content="hm"), delta("stop")],
        [S, "0+thinking", "0=hm", "0-", "end_turn", E],
        None,
    ),
    "reasoning in think tags": (
        [
            delta(content="<th"),
            delta(content="ink>\nhm</thi"),
            delta(content="nk>\n\nHi"),
            delta("stop"),
        ],
        [S, "0+thinking", "0=hm", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        None,
    ),
    "think tags later in the text are text": (
        [delta(content="Hi"), delta(content="<think>x</think>"), delta("stop")],
        [S, "0+text", "0=Hi", "0=<think>x</think>", "0-", "end_turn", E],
        None,
    ),
    "think tags after reasoning in its own field are text": (
        [delta(reasoning_content="hm"), delta(content="<think>"), delta("stop")],
        [S, "0+thinking", "0=hm", "0-", "1+text", "1=<think>", "1-", "end_turn", E],
        None,
    ),
    "the prompt opened the think tag": (
        [delta(content="hm</think>"), delta(content="Hi"), delta("stop")],
        [S, "0+thinking", "0=hm", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        plan(starts_thinking=True),
    ),
    "TH-19 reasoning keeps its blanks": (
        [delta(reasoning_content=" a "), delta(reasoning_content="\n"), delta("stop")],
        [S, "0+thinking", "0= a ", "0=\n", "0-", "end_turn", E],
        None,
    ),
    "reasoning between texts gets its own block": (
        [delta(content="a"), delta(reasoning_content="hm"), delta(content="b"), delta("stop")],
        [
            S,
            "0+text",
            "0=a",
            "0-",
            "1+thinking",
            "1=hm",
            "1-",
            "2+text",
            "2=b",
            "2-",
            "end_turn",
            E,
        ],
        None,
    ),
    # --- tool calls ---
    "TC-01 two calls in one delta without index": (
        [
            calls(call(None, "c", "f", '{"a":'), call(None, "d", "g", '{"b":')),
            calls(call(arguments="1}"), call(arguments="2}")),
            delta("tool_calls"),
        ],
        [S, "0+tool f c", '0={"a":', "0=1}", "0-", "1+tool g d", '1={"b":2}', "1-", "tool_use", E],
        None,
    ),
    "TC-01 without index, told apart by id": (
        [
            calls(call(None, "c", "f", "{")),
            calls(call(None, "c", None, "}")),
            calls(call(None, "d", "f", "{}")),
            delta("tool_calls"),
        ],
        [S, "0+tool f c", "0={", "0=}", "0-", "1+tool f d", "1={}", "1-", "tool_use", E],
        None,
    ),
    "without index and id, a crumb belongs to the last call": (
        [calls(call(None, None, "f", "{")), calls(call(arguments="}")), delta("tool_calls")],
        [S, "0+tool f toolu_", "0={", "0=}", "0-", "tool_use", E],
        None,
    ),
    "TC-03 three calls streamed one after the other": (
        [
            *(
                calls(
                    call(n, f"c{n}", "f", ""),
                )
                if k == 0
                else calls(call(n, arguments=a))
                for n in range(3)
                for k, a in enumerate(["", "{", "}"])
            ),
            delta("tool_calls"),
        ],
        [
            S,
            *(e for n in range(3) for e in [f"{n}+tool f c{n}", f"{n}={{", f"{n}=}}", f"{n}-"]),
            "tool_use",
            E,
        ],
        None,
    ),
    "TC-04 two calls under one index": (
        [
            calls(call(0, "c", "f", '{"a":1}')),
            calls(call(0, "d", "f", '{"a":2}')),
            delta("tool_calls"),
        ],
        [S, "0+tool f c", '0={"a":1}', "0-", "1+tool f d", '1={"a":2}', "1-", "tool_use", E],
        None,
    ),
    "TC-05 interleaved calls": (
        [
            calls(call(0, "c", "f", ""), call(1, "d", "g", "")),
            calls(call(0, arguments='{"a":')),
            calls(call(1, arguments='{"b":')),
            calls(call(0, arguments="1}")),
            calls(call(1, arguments="2}")),
            delta("tool_calls"),
        ],
        [
            S,
            "0+tool f c",
            '0={"a":',
            "0=1}",
            "0-",
            "1+tool g d",
            '1={"b":',
            "1=2}",
            "1-",
            "tool_use",
            E,
        ],
        None,
    ),
    "jumping indexes": (
        [calls(call(3, "c", "f", "{}")), calls(call(1, "d", "g", "{}")), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "1+tool g d", "1={}", "1-", "tool_use", E],
        None,
    ),
    "id and name repeated in every crumb": (
        [calls(call(0, "c", "f", '{"a"')), calls(call(0, "c", "f", ":1}")), delta("tool_calls")],
        [S, "0+tool f c", '0={"a"', "0=:1}", "0-", "tool_use", E],
        None,
    ),
    "a new id in every crumb": (
        [calls(call(0, "c", "f", '{"a"')), calls(call(0, "x", None, ":1}")), delta("tool_calls")],
        [S, "0+tool f c", '0={"a"', "0=:1}", "0-", "tool_use", E],
        None,
    ),
    "TC-07 empty arguments only": (
        [calls(call(0, "c", "f", "")), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "tool_use", E],
        None,
    ),
    "no arguments ever": (
        [calls(call(0, "c", "f")), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "tool_use", E],
        None,
    ),
    "null arguments": (
        [calls(call(0, "c", "f", "null")), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "tool_use", E],
        None,
    ),
    "arguments as an object": (
        [calls(call(0, "c", "f", {"a": [1, "x"]})), delta("tool_calls")],
        [S, "0+tool f c", '0={"a": [1, "x"]}', "0-", "tool_use", E],
        None,
    ),
    "TC-08 the name comes late": (
        [
            calls(call(0, None, "", "")),
            calls(call(0, "c", None, '{"a"')),
            calls(call(0, None, "f", ":1}")),
            delta("tool_calls"),
        ],
        ONE_CALL,
        plan(tools=frozenset({"f", "g"})),
    ),
    "TC-08 the name never comes: the forced tool": (
        [calls(call(0, "c", None, '{"a":1}')), delta("tool_calls")],
        ONE_CALL,
        plan(tools=frozenset({"f", "g"}), forced_tool="f"),
    ),
    "TC-08 the name never comes: the only tool": (
        [calls(call(0, "c", None, '{"a":1}')), delta("tool_calls")],
        ONE_CALL,
        plan(tools=frozenset({"f"})),
    ),
    "TC-08 the name never comes: a fault": (
        [calls(call(0, "c", None, '{"a":1}')), delta("tool_calls")],
        [S, "error api_error: the upstream made a tool call without a name"],
        plan(tools=frozenset({"f", "g"})),
    ),
    "a nameless call that the limit cut off is left out": (
        [delta(content="Hi"), calls(call(0, "c")), delta("length")],
        [S, "0+text", "0=Hi", "0-", "max_tokens", E],
        None,
    ),
    "the name in pieces": (
        [calls(call(0, "c", "get_")), calls(call(0, None, "time", "{}")), delta("tool_calls")],
        [S, "0+tool get_time c", "0={}", "0-", "tool_use", E],
        plan(tools=frozenset({"get_time"})),
    ),
    "TC-09 an id outside the alphabet": (
        [calls(call(0, "fs.readFile:0", "f", "{}")), delta("tool_calls")],
        [S, "0+tool f toolu_", "0={}", "0-", "tool_use", E],
        None,
    ),
    "an id twice": (
        [calls(call(0, "c", "f", "{}"), call(1, "c", "g", "{}")), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "1+tool g toolu_", "1={}", "1-", "tool_use", E],
        None,
    ),
    "an id that the history has": (
        [calls(call(0, "c", "f", "{}")), delta("tool_calls")],
        [S, "0+tool f toolu_", "0={}", "0-", "tool_use", E],
        plan(used_tool_ids=frozenset({"c"})),
    ),
    "TC-28 text and a call in one delta": (
        [delta(content="Hi", tool_calls=[call(0, "c", "f", "{}")]), delta("tool_calls")],
        [S, "0+text", "0=Hi", "0-", "1+tool f c", "1={}", "1-", "tool_use", E],
        None,
    ),
    "text, a call and the finish in one chunk": (
        [delta("tool_calls", content="Hi", tool_calls=[call(0, "c", "f", "{}")])],
        [S, "0+text", "0=Hi", "0-", "1+tool f c", "1={}", "1-", "tool_use", E],
        None,
    ),
    "text after a call": (
        [calls(call(0, "c", "f", "{}")), delta(content="Hi"), delta("tool_calls")],
        [S, "0+tool f c", "0={}", "0-", "1+text", "1=Hi", "1-", "tool_use", E],
        None,
    ),
    "text in the middle of a call waits": (
        [
            calls(call(0, "c", "f", "{")),
            delta(content="Hi"),
            calls(call(0, arguments="}")),
            delta("stop"),
        ],
        [S, "0+tool f c", "0={", "0=}", "0-", "1+text", "1=Hi", "1-", "tool_use", E],
        None,
    ),
    "a tool name goes back to the client's": (
        [calls(call(0, "c", "a_b", "{}")), delta("tool_calls")],
        [S, "0+tool a.b c", "0={}", "0-", "tool_use", E],
        plan(tool_names={"a_b": "a.b"}, tools=frozenset({"a_b"})),
    ),
    "one call only where the client allows one": (
        [calls(call(0, "c", "f", '{"a":1}'), call(1, "d", "f", "{}")), delta("tool_calls")],
        ONE_CALL,
        plan(single_tool=True),
    ),
    "a call that is cut stays open: clients run what was closed, some of them half an object": (
        [calls(call(0, "c", "f", '{"a":"rm -r x"'))],
        [S, "0+tool f c", '0={"a":"rm -r x"', CUT],
        None,
    ),
    "a call that is whole is closed by a cut after it": (
        [calls(call(0, "c", "f", '{"a":1}'))],
        [S, "0+tool f c", '0={"a":1}', "0-", CUT],
        None,
    ),
    "invalid arguments are a fault": (
        [calls(call(0, "c", "f", '{"a":')), delta("tool_calls")],
        [
            S,
            "0+tool f c",
            '0={"a":',
            "error api_error: the arguments of the tool call 'f' are not JSON",
        ],
        None,
    ),
    "two values as arguments are a fault": (
        [calls(call(0, "c", "f", "{}")), calls(call(0, arguments="{}")), delta("tool_calls")],
        [
            S,
            "0+tool f c",
            "0={}",
            "0={}",
            "error api_error: the arguments of the tool call 'f' are not JSON",
        ],
        None,
    ),
    "arguments after the end of their block are a fault": (
        [
            calls(call(0, "c", "f", "{}")),
            calls(call(1, "d", "g", "{")),
            calls(call(0, arguments="1")),
        ],
        [
            S,
            "0+tool f c",
            "0={}",
            "0-",
            "1+tool g d",
            "1={",
            "error api_error: the arguments of the tool call 'f' went on after the end",
        ],
        None,
    ),
    "arguments that are no object wait for their end": (
        [calls(call(0, "c", "f", '"a')), calls(call(0, arguments='b"')), delta("tool_calls")],
        [S, "0+tool f c", '0="ab"', "0-", "tool_use", E],
        None,
    ),
    "SR-08 the limit inside the arguments": (
        [calls(call(0, "c", "f", '{"a":"x')), delta("length")],
        [S, "0+tool f c", '0={"a":"x', "0-", "max_tokens", E],
        None,
    ),
    "the limit before the arguments": (
        [calls(call(0, "c", "f", "")), delta("length")],
        [S, "0+tool f c", "0-", "max_tokens", E],
        None,
    ),
    "the limit inside arguments that are no object": (
        [calls(call(0, "c", "f", '"a')), delta("length")],
        [S, "0+tool f c", "0-", "max_tokens", E],
        None,
    ),
    # --- how it ends ---
    "SR-01 length": (
        [delta(content="Hi"), delta("length")],
        [S, "0+text", "0=Hi", "0-", "max_tokens", E],
        None,
    ),
    "SR-03 content_filter": (
        [delta(content="Hi"), delta("content_filter")],
        [S, "0+text", "0=Hi", "0-", "refusal", E],
        None,
    ),
    "a refusal in its own field": (
        [delta(refusal="No."), delta("stop")],
        [S, "0+text", "0=No.", "0-", "refusal", E],
        None,
    ),
    "SR-04 insufficient_system_resource": (
        [delta(content="Hi"), delta("insufficient_system_resource")],
        [
            S,
            "0+text",
            "0=Hi",
            "0-",
            "error overloaded_error: the upstream ran out of resources in the middle of its answer",
        ],
        None,
    ),
    "aborted": (
        [delta("aborted", content="Hi")],
        [
            S,
            "0+text",
            "0=Hi",
            "0-",
            "error api_error: the upstream gave up in the middle of its answer (aborted)",
        ],
        None,
    ),
    "function_call as finish": (
        [calls(call(0, "c", "f", '{"a":1}')), delta("function_call")],
        ONE_CALL,
        None,
    ),
    "stop although there was a call": (
        [calls(call(0, "c", "f", '{"a":1}')), delta("stop")],
        ONE_CALL,
        None,
    ),
    "tool_calls although there was none": ([delta(content="Hi"), delta("tool_calls")], TEXT, None),
    "an unknown finish reason": ([delta(content="Hi"), delta("eos")], TEXT, None),
    "an empty finish reason is none": ([delta("", content="Hi"), delta("stop")], TEXT, None),
    "SR-05 the upstream names the stop sequence": (
        [
            delta(content="Hi"),
            {"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": "END"}]},
        ],
        [S, "0+text", "0=Hi", "0-", "stop_sequence END", E],
        plan(stop_sequences=("END",), reports_stop_string=True),
    ),
    "SR-05 the upstream names it as SGLang does": (
        [
            delta(content="Hi"),
            {"choices": [{"delta": {}, "finish_reason": "stop", "matched_stop": "END"}]},
        ],
        [S, "0+text", "0=Hi", "0-", "stop_sequence END", E],
        plan(stop_sequences=("END",), reports_stop_string=True),
    ),
    "a stop token is no stop sequence": (
        [
            delta(content="Hi"),
            {"choices": [{"delta": {}, "finish_reason": "stop", "stop_reason": 128001}]},
        ],
        TEXT,
        plan(stop_sequences=("END",), reports_stop_string=True),
    ),
    "a stop sequence found here, across chunks": (
        [
            delta(content="HiE"),
            delta(content="N"),
            delta(content="D more"),
            delta(content="x"),
            delta("stop"),
        ],
        [S, "0+text", "0=Hi", "0-", "stop_sequence END", E],
        plan(stop_sequences=("END",)),
    ),
    "a stop sequence that did not come whole": (
        [delta(content="HiE"), delta(content="N"), delta("stop")],
        [S, "0+text", "0=Hi", "0=EN", "0-", "end_turn", E],
        plan(stop_sequences=("END",)),
    ),
    "nothing follows a stop sequence, no call either": (
        [delta(content="Hi END", tool_calls=[call(0, "c", "f", "{}")]), delta("tool_calls")],
        [S, "0+text", "0=Hi ", "0-", "stop_sequence END", E],
        plan(watch_stops=("END",)),
    ),
    "a second answer after the end": (
        [delta(content="Hi"), delta("stop"), delta(content="again"), delta("stop")],
        TEXT,
        None,
    ),
    "other choices": (
        [
            {
                "choices": [
                    {"index": 1, "delta": {"content": "no"}},
                    delta(content="Hi")["choices"][0],
                ]
            },
            {"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]},
            delta("stop"),
        ],
        TEXT,
        None,
    ),
    "ER-04 an error inside the stream": (
        [delta(content="Hi"), {"error": {"message": "GPU lost", "code": 500}}],
        [S, "0+text", "0=Hi", "0-", "error api_error: GPU lost"],
        None,
    ),
    "an error that is null is none": (
        [{"error": None, **delta(content="Hi")}, delta("stop")],
        TEXT,
        None,
    ),
    "junk after the end mark": (
        [delta(content="Hi"), delta("stop"), b"data: [DONE]\n\ndata: {junk\n\n"],
        TEXT,
        None,
    ),
    "garbage": (
        [delta(content="Hi"), b"data: {junk\n\n"],
        [
            S,
            "0+text",
            "0=Hi",
            "0-",
            "error api_error: the upstream sent something that is no chat completion",
        ],
        None,
    ),
    # --- thinking left out, prefill, no output ---
    "TH-20 reasoning left out": (
        [
            delta(reasoning_content="hm"),
            delta(reasoning_content=" ok"),
            delta(content="Hi"),
            delta("stop"),
        ],
        [S, "0+thinking", "0~sealed.5c4fe771c5d9", "0-", "1+text", "1=Hi", "1-", "end_turn", E],
        plan(display="omitted"),
    ),
    "a prefill that is not repeated": (
        [delta(content="{x}"), delta("stop")],
        [S, "0+text", "0={x}", "0-", "end_turn", E],
        plan(prefill="{"),
    ),
    "a prefill that is repeated": (
        [delta(content="Sure"), delta(content=", he"), delta(content="re"), delta("stop")],
        [S, "0+text", "0=he", "0=re", "0-", "end_turn", E],
        plan(prefill="Sure, ", prefill_echoed=True),
    ),
    "a prefill that is only begun": (
        [delta(content="Su"), delta("stop")],
        [S, "0+text", "0=Su", "0-", "end_turn", E],
        plan(prefill="Sure, ", prefill_echoed=True),
    ),
    "no output wanted": (
        [
            delta(reasoning_content="hm"),
            delta(content="Hi"),
            calls(call(0, "c", "f", "{}")),
            delta("length"),
        ],
        [S, "max_tokens", E],
        plan(no_output=True),
    ),
    # --- leaked mark-up ---
    "TC-27 leaked mark-up becomes a call": (
        [delta(content="Hi\n\n" + DSML), delta("stop")],
        [S, "0+text", "0=Hi", "0-", "1+tool f toolu_", '1={"a": "v"}', "1-", "tool_use", E],
        plan(tools=frozenset({"f"})),
    ),
    "mark-up in a request without tools is text": (
        [delta(content=DSML), delta("stop")],
        [S, "0+text", "0=" + DSML, "0-", "end_turn", E],
        None,
    ),
    "leaked mark-up that the limit cut off": (
        [delta(content=DSML[:70]), delta("length")],
        [S, "0+tool f toolu_", "0={", "0-", "max_tokens", E],
        plan(tools=frozenset({"f"})),
    ),
}


def matches(found: list[str], expected: list[str]) -> bool:
    """Equal, but for ids made here, of which the beginning is enough."""
    return len(found) == len(expected) and all(
        f.startswith(e) if "toolu_" in e else f == e for f, e in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(("frames", "expected", "reply"), CASES.values(), ids=CASES)
def test_case(frames: list[Any], expected: list[str], reply: ReplyPlan | None) -> None:
    raw = sse(*frames)
    seal = FakeSeal() if reply and reply.display == "omitted" else None
    events = translate([raw], reply, seal=seal)
    assert matches(plain(events), expected), plain(events)
    if expected[0] == S:
        assert_lawful(encode_events(events))
    if len(raw) < 4000:
        for pieces in cuts(raw):
            assert translate(pieces, reply, seal=seal) == events


def chunk(text: str | None = None, finish: str | None = None) -> ChatChunk:
    return ChatChunk(choices=[ChunkChoice(delta=ChatDelta(content=text), finish_reason=finish)])


def stream(**fields: Any) -> MessageStream:
    return MessageStream(plan(**fields), "msg_test", prompt_tokens=7, seal=None)


def test_the_message_starts_with_the_counted_prompt() -> None:
    (start,) = stream().start()
    assert start.message.usage.input_tokens == 7  # type: ignore[union-attr]
    assert start.message.id == "msg_test"  # type: ignore[union-attr]


def test_a_start_already_sent_is_not_repeated() -> None:
    answer = stream()
    answer.start()
    assert answer.start() == []
    assert [type(event).__name__ for event in answer.feed(chunk("a"))] == [
        "ContentBlockStart",
        "ContentBlockDelta",
    ]


def test_nothing_comes_after_the_end() -> None:
    answer = stream()
    answer.feed(chunk("a", "stop"))
    assert answer.finish()
    assert answer.feed(chunk("b")) == answer.finish() == answer.fail(garbage("x")) == []


def test_nothing_comes_after_a_failure() -> None:
    answer = stream()
    answer.feed(chunk("a"))
    assert [type(event).__name__ for event in answer.fail(garbage("x"))] == [
        "ContentBlockStop",
        "ErrorEvent",
    ]
    assert answer.feed(chunk("b")) == answer.finish() == answer.fail(garbage("x")) == []


def test_a_failure_before_anything_is_one_error() -> None:
    assert plain(stream().fail(garbage("x"))) == ["error api_error: x"]


def test_what_a_failing_chunk_brought_is_sent_with_the_failure() -> None:
    answer = stream()
    with pytest.raises(Fault) as raised:
        answer.feed(chunk("a", "aborted"))
    assert plain(answer.fail(raised.value))[:3] == ["message_start", "0+text", "0=a"]


def test_lack_of_resources_is_529() -> None:
    with pytest.raises(Fault) as raised:
        stream().feed(chunk(None, "insufficient_system_resource"))
    assert (raised.value.status, raised.value.error_type) == (529, "overloaded_error")
    assert raised.value.transient
    assert raised.value.kind is FaultKind.REPORTED


@pytest.mark.parametrize("reason", ["aborted", "abort", "error"])
def test_an_answer_that_was_given_up_is_a_failure_of_the_upstream(reason: str) -> None:
    with pytest.raises(Fault, match=reason) as raised:
        stream().feed(chunk(None, reason))
    assert (raised.value.status, raised.value.kind) == (502, FaultKind.REPORTED)


def test_a_cut_is_told_as_one() -> None:
    with pytest.raises(Fault) as raised:
        stream().finish()
    assert raised.value.kind is FaultKind.CUT


def test_complete_once_a_stop_sequence_was_found() -> None:
    answer = stream(watch_stops=("END",))
    answer.feed(chunk("a"))
    assert not answer.complete
    answer.feed(chunk("END"))
    assert answer.complete
    assert plain(answer.finish()) == ["stop_sequence END", "message_stop"]


def test_an_unreported_output_size_is_estimated() -> None:
    answer = stream()
    answer.feed(chunk("a" * 10 + "中", "stop"))
    (end, _) = answer.finish()
    assert isinstance(end, MessageDelta)
    assert end.usage.output_tokens == 4  # 10 times 0.3 and once 0.6, by DeepSeek's rule of thumb


def test_an_answer_without_end_is_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepseek_messages.translation.answer.stream.MAX_ANSWER_BYTES", 5)
    answer = stream()
    answer.feed(chunk("abc"))
    with pytest.raises(Fault):
        answer.feed(chunk("def"))


class TestWriter:
    def test_every_state_can_reach_the_end(self) -> None:
        for state in State:
            assert state is State.CLOSED or MOVES[state]

    def test_no_block_opens_inside_a_block(self) -> None:
        writer = EventWriter()
        writer.state = State.BETWEEN
        writer.open(TextStart())
        with pytest.raises(IllegalMoveError):
            writer.open(ToolUseStart(id="c", name="f"))

    def test_a_delta_must_fit(self) -> None:
        writer = EventWriter()
        writer.state = State.BETWEEN
        writer.open(ToolUseStart(id="c", name="f"))
        with pytest.raises(IllegalMoveError):
            writer.delta(TextDelta(text="x"))

    def test_nothing_is_closed_that_is_not_open(self) -> None:
        writer = EventWriter()
        with pytest.raises(IllegalMoveError):
            writer.close()
        assert ContentBlockStop(index=0) not in writer.take()
