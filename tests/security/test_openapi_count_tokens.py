"""``described`` for ``POST /v1/messages/count_tokens``: lawful requests and broken ones."""

import pytest
from schemathesis.generation import GenerationMode

from tests.security.described import answering, ask_all

NAME = "post_v1_messages_count_tokens"


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.name.lower())
def test_requests_made_from_the_document(mode: GenerationMode) -> None:
    with answering() as target:
        statuses = ask_all(target, (NAME, mode))
    expected = 200 if mode is GenerationMode.POSITIVE else 400
    assert statuses.count(expected) > 0.8 * len(statuses)
