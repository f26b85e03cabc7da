"""Laws 7 and 8 over what real clients sent: the prompt is the one of DeepSeek's own conversion, and
each turn's prompt begins with the one before.
"""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.property.conversations import chat_prompt, messages_prompt, translate
from tests.property.test_prefix import turns, without_header
from tests.support.captures import captures

CAPTURES = {
    each.name: {**each.body, "model": "m"}
    for each in captures()
    if each.is_messages and "thread" not in each.body
}
ENCODINGS = ["v4", "v4.1"]

# DeepSeek's conversion refuses it.
REFUSED = {"cc_websearch_side_call-0"}

# Where the prompts differ on purpose, and why.
FORCED = "a forced call is begun in the prompt"
SCHEMA = "the schema stands in the prompt"
OFF = "thinking that nobody asked for is off"
DOCUMENT = "a document that cannot be shown is named"
IS_ERROR = "a call that failed is marked"
EMPTY = "an empty system message is none"
IMAGE = "an image that the model cannot see is named"
ORDER = "a deferred tool stands behind the others, in the order of reference"
DIFFERENT: dict[str, dict[str, str]] = {
    "v4.1": {
        "ai_sdk_object-0": FORCED,
        "pydantic_ai_output_tool-0": FORCED,
        "langchain_json_schema-0": SCHEMA,
        "py_parse-0": SCHEMA,
        "cc_thinking_off-0": OFF,
        "cc_title_side_call-0": OFF,
        "cc_webfetch_side_call-0": OFF,
        "cc_pdf_in_tool_result-0": DOCUMENT,
        "cc_user_image_and_document-0": DOCUMENT,
        "cc_tool_loop_full-0": IS_ERROR,
        "cc_effort_switch_empty_system-0": EMPTY,
    },
}
DIFFERENT["v4"] = {name: why for name, why in DIFFERENT["v4.1"].items() if why is not EMPTY} | {
    "cc_mcp_tool-0": ORDER,
    "cc_tool_reference-0": ORDER,
    "cc_tool_reference-1": ORDER,
    "cc_image_in_tool_result-0": IMAGE,
}

# V4 shows tools in the head of its prompt only, where one that is referred to joins the others.
REFERRING = {name for name, why in DIFFERENT["v4"].items() if why is ORDER}

# The effort stands in the head of the prompt, and this conversation changes it on its way.
SWITCHED = "cc_effort_switch_empty_system-0"


def without_deferred(body: dict[str, Any]) -> dict[str, Any]:
    """V4 has no place for tools that come later: DeepSeek shows all of them from the beginning, we
    none before the conversation refers to it (so that new ones do not change the prompt).
    """
    tools = [tool for tool in body.get("tools", ()) if not tool.get("defer_loading")]
    return {**body, "tools": tools} if tools else body


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", sorted(CAPTURES.keys() - REFUSED))
def test_the_prompt_is_the_one_of_deepseeks_own_conversion(name: str, encoding: Any) -> None:
    body = CAPTURES[name]
    deferred = encoding == "v4" and name not in REFERRING
    reference = without_deferred(body) if deferred else body

    same = chat_prompt(translate(body, encoding), encoding) == messages_prompt(reference, encoding)

    assert same == (name not in DIFFERENT[encoding])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", sorted(CAPTURES.keys() - {SWITCHED}))
def test_each_turns_prompt_begins_with_the_one_before(name: str, encoding: Any) -> None:
    body = CAPTURES[name] | {"tool_choice": {"type": "auto"}}
    if encoding == "v4" and name in REFERRING:
        body = without_deferred(body)
    prompts = [
        without_header(chat_prompt(translate(turn, encoding), encoding)) for turn in turns(body)
    ]

    for earlier, later in pairwise(prompts):
        assert later.startswith(earlier)


SESSIONS = ["ai_sdk_tools_stream", "cc_tool_loop_second", "langchain_tools", "pydantic_ai_tools"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("session", SESSIONS)
def test_the_requests_of_a_session_share_their_prompt(session: str, encoding: Any) -> None:
    """As the client sent them, one after the other: it rewrites its own history a little."""
    first, second = (
        without_header(chat_prompt(translate(CAPTURES[f"{session}-{number}"], encoding), encoding))
        for number in (0, 1)
    )

    assert second.startswith(first)


def test_several_captures_have_several_turns() -> None:
    lengths = [len(turns(body)) for body in CAPTURES.values()]

    assert sum(length > 1 for length in lengths) >= 15
    assert msgspec.json.encode(CAPTURES)
