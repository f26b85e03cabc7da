"""The path and the position of a value of the wrong type."""

import json

import pytest

from deepseek_messages.upstreams.double.typing_errors import locate, shape_error

USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("change", "located"),
    [
        ({"temperature": "hot"}, 'temperature: invalid type: string "hot", expected f32 at 75'),
        ({"stream": 1}, "stream: invalid type: integer `1`, expected a boolean at 66"),
        ({"tools": [1]}, "tools[0]: invalid type: integer `1`"),
        ({"max_tokens": -1}, "max_tokens: invalid value: integer `-1`, expected u32 at 71"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1]: missing field `content` at 70"),
        ({"messages": [USER, {"role": "ctx", "content": ""}]}, "messages[1].role: unknown variant"),
        (
            {"messages": [USER, {"role": "user", "content": [{"type": "thinking"}]}]},
            "messages[1]: unknown variant `thinking`, expected one of `text`, `image_url`, `file`",
        ),
    ],
)
def test_says_where(change, located):
    body = {"model": "m", "messages": [USER]} | change
    message = shape_error(body)
    assert message is not None
    text = json.dumps(body, separators=(",", ":"))
    found = locate(text, message).replace(" at line 1 column ", " at ")
    assert found.startswith(located)


def test_a_right_shape_has_no_error():
    assert shape_error({"model": "m", "messages": [USER]}) is None
