"""Law 7: DeepSeek's own encoder makes the same prompt of our chat request as of the request.

The reference is ``deepseek-recipe``, DeepSeek's published converter. Where we differ on purpose,
a test below says exactly how.
"""

from random import Random
from typing import Any

import pytest

from tests.property.conversations import chat_prompt, messages_prompt, request, translate
from tests.support.generated import cases


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
