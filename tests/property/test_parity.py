"""Law 7: DeepSeek's own encoder makes the same prompt of our chat request as of the request.

The reference is ``deepseek-recipe``, DeepSeek's published converter. Where we differ on purpose,
``DIFFERENCES`` says exactly how.
"""

from random import Random
from typing import Any, NamedTuple

import pytest

from tests.property.conversations import (
    IMAGES,
    chat_prompt,
    messages_prompt,
    request,
    translate,
)
from tests.support.generated import cases
from tests.support.translating import assistant, call, result, tool, user


def _without_empty_system(body: dict[str, Any]) -> dict[str, Any]:
    """Chat completions drop system messages without text; V4.1 spends a token on each of them in
    a Messages request. The only difference in generated requests.
    """

    def empty(content: Any) -> bool:
        return not (
            content if isinstance(content, str) else "\n\n".join(b["text"] for b in content)
        )

    kept = {key: value for key, value in body.items() if key != "system" or not empty(value)}
    kept["messages"] = [
        m for m in body["messages"] if m["role"] != "system" or not empty(m["content"])
    ]
    return kept


@cases()
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_prompt_is_the_one_of_deepseeks_own_conversion(encoding: Any, dice: Random) -> None:
    body = _without_empty_system(request(dice, encoding))

    assert chat_prompt(translate(body, encoding), encoding) == messages_prompt(body, encoding)


class Difference(NamedTuple):
    """``ours`` stands in our prompt where ``theirs`` stands in DeepSeek's."""

    messages: list[dict[str, Any]]
    theirs: str
    ours: str
    fields: dict[str, Any] = {}
    encodings: tuple[str, ...] = ("v4", "v4.1")


ASKED = [user("a"), assistant(call())]
PLAIN = {"type": "text", "media_type": "text/plain", "data": "D"}
LEFT_OUT = ("[Unsupported Image]", "[image left out: this model cannot see images]")

DIFFERENCES = {
    "a failed tool says so": Difference(
        [*ASKED, user(result(content="no such file", is_error=True))],
        "<tool_result>no such file",
        "<tool_result>[tool error] no such file",
        {"tools": [tool()]},
    ),
    "a document of plain text is shown": Difference(
        [user({"type": "document", "title": "T", "source": PLAIN}, "q")],
        "[Unsupported document type: text/plain]",
        '<document title="T">\nD\n</document>',
    ),
    "an image that cannot be seen": Difference(
        [user(IMAGES[1], "q")], *LEFT_OUT, encodings=("v4",)
    ),
    "an image in a result that cannot be seen": Difference(
        [*ASKED, user(result(content=[IMAGES[1]]))],
        *LEFT_OUT,
        {"tools": [tool()]},
        encodings=("v4",),
    ),
    "a name that no server takes": Difference(
        [user("a"), assistant(call(name="bad name!")), user(result())],
        'name="bad name!"',
        'name="bad_name__12ad77e9ceb0"',
    ),
    "a begun answer goes on": Difference(
        [user("a"), assistant("b")], "b<｜end▁of▁sentence｜><｜Assistant｜></think>", "b"
    ),
    "an empty system text is no message": Difference(
        [user("a")], "<｜System｜>", "", {"system": ""}, encodings=("v4.1",)
    ),
}


@pytest.mark.parametrize(
    ("difference", "encoding"),
    [(each, encoding) for each in DIFFERENCES.values() for encoding in each.encodings],
    ids=[f"{name}-{encoding}" for name, each in DIFFERENCES.items() for encoding in each.encodings],
)
def test_where_we_differ_on_purpose(difference: Difference, encoding: Any) -> None:
    body = {"model": "m", "max_tokens": 64, "messages": difference.messages, **difference.fields}

    theirs = messages_prompt(body, encoding)

    assert theirs.count(difference.theirs) == 1
    ours = chat_prompt(translate(body, encoding), encoding)
    assert ours == theirs.replace(difference.theirs, difference.ours)


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_a_forced_call_is_begun_for_the_model(encoding: Any) -> None:
    body = {"model": "m", "max_tokens": 64, "messages": [user("a")], "tools": [tool()]}
    body["tool_choice"] = {"type": "any"}
    begun = chat_prompt(translate(body, encoding), encoding).removeprefix(
        messages_prompt(body, encoding)
    )
    assert begun.startswith("\n\n<｜DSML｜")
    assert begun.rstrip("\n").endswith("calls>")


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_an_effort_alone_does_not_turn_thinking_on(encoding: Any) -> None:
    body: dict[str, Any] = {"model": "m", "max_tokens": 64, "messages": [user("a")]}
    effort = {**body, "output_config": {"effort": "high"}}

    assert messages_prompt(effort, encoding).endswith("<think>")
    assert chat_prompt(translate(effort, encoding), encoding) == messages_prompt(body, encoding)
