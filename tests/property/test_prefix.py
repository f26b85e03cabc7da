"""Law 8: turn n+1's prompt begins with turn n's; and translation never fails on odd histories."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepseek_messages.translation.dialects import DEEPSEEK
from deepseek_messages.translation.refusals import Refusal
from tests.property.conversations import (
    chat_prompt,
    images,
    inputs,
    requests,
    texts,
    translate,
    words,
)

EXAMPLES = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

REMINDER = msgspec.structs.replace(DEEPSEEK, system="user_reminder")


def turns(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests a client would have sent on the way to ``body``, in order."""
    messages = body["messages"]
    ends = [i for i, message in enumerate(messages) if message["role"] == "assistant" and i]
    return [{**body, "messages": messages[:end]} for end in [*ends, len(messages)]]


def without_header(prompt: str) -> str:
    """The prompt up to the place where the answer's first token decides about thinking."""
    return prompt.removesuffix("<think>").removesuffix("</think>")


@pytest.mark.slow
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_each_prompt_begins_with_the_one_before(encoding: Any, data: Any) -> None:
    prompts = [
        without_header(chat_prompt(translate(turn, encoding), encoding))
        for turn in turns(data.draw(requests(encoding)))
    ]

    for earlier, later in pairwise(prompts):
        assert later.startswith(earlier)


@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("dialect", [DEEPSEEK, REMINDER], ids=["in_place", "user_reminder"])
@pytest.mark.parametrize("encoding", [None, "v4", "v4.1"])
def test_each_message_list_begins_with_the_one_before(
    encoding: Any, dialect: Any, data: Any
) -> None:
    body = data.draw(requests("v4"))
    lists = [translate(turn, encoding, dialect=dialect).chat.messages for turn in turns(body)]

    for earlier, later in pairwise(lists):
        assert later[: len(earlier)] == earlier


# --- histories that no careful client would send --------------------------------------------------

ids = st.sampled_from(["1", "2", "fs.read:0", "é", ""])
odd_blocks = st.one_of(
    texts,
    images,
    st.builds(
        lambda i, n, v: {"type": "tool_use", "id": i, "name": n, "input": v}, ids, words, inputs
    ),
    st.builds(
        lambda i, c, e: {"type": "tool_result", "tool_use_id": i, "content": c, "is_error": e},
        ids,
        st.none() | words | st.lists(texts | images, max_size=2),
        st.none() | st.booleans(),
    ),
    st.sampled_from(
        [
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_reference", "tool_name": "nobody"},
            {"type": "search_result", "source": "s", "title": "t", "content": []},
            {"type": "document", "source": {"type": "text", "data": "d"}},
            {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
            {"type": "compaction", "content": "sum"},
            {"type": "container_upload", "file_id": "f"},
        ]
    ),
)
odd_messages = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant", "system", "ctx", "msg"]),
    words | st.lists(odd_blocks, max_size=4),
)


@EXAMPLES
@given(messages=st.lists(odd_messages, min_size=1, max_size=6), thinking=st.booleans())
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_any_history_becomes_a_request_that_deepseek_takes(
    encoding: Any, messages: list[Any], thinking: bool
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    if thinking:
        body["thinking"] = {"type": "adaptive"}

    assert chat_prompt(translate(body, encoding), encoding)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "role", "content", "name", "source", "input"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


OPTIONAL = ("system", "tools", "tool_choice", "thinking", "output_config", "metadata")


@EXAMPLES
@given(
    body=st.fixed_dictionaries(
        {"model": st.just("m") | garbage, "messages": st.lists(odd_messages, max_size=2) | garbage},
        optional=dict.fromkeys(OPTIONAL, garbage),
    )
)
def test_any_json_is_translated_or_refused_by_name(body: Any) -> None:
    refusal = None
    try:
        translate(body)
    except Refusal as error:
        refusal = error

    assert refusal is None or (refusal.status == 400 and refusal.path)
