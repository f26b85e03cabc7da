"""Law 7: DeepSeek's own encoder makes the same prompt of our chat request as of the request.

The reference is ``deepseek-recipe``, DeepSeek's published converter. Where we differ on purpose,
a test below says exactly how.
"""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.property.conversations import (
    chat_prompt,
    messages_prompt,
    requests,
    translate,
)

EXAMPLES = settings(
    max_examples=1000,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def _without_empty_system(body: dict[str, Any]) -> dict[str, Any]:
    """Chat completions drop system messages without text; V4.1 spends a token on each of them in
    a Messages request. The only difference in generated requests.
    """
    body = copy.deepcopy(body)

    def empty(content: Any) -> bool:
        return not (
            content if isinstance(content, str) else "\n\n".join(b["text"] for b in content)
        )

    body["messages"] = [
        m for m in body["messages"] if m["role"] != "system" or not empty(m["content"])
    ]
    if "system" in body and empty(body["system"]):
        del body["system"]
    return body


@pytest.mark.slow
@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_prompt_is_the_one_of_deepseeks_own_conversion(encoding: Any, data: Any) -> None:
    body = _without_empty_system(data.draw(requests(encoding)))

    assert chat_prompt(translate(body, encoding), encoding) == messages_prompt(body, encoding)
