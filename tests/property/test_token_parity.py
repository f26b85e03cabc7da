"""Laws 7 and 8 on the token route: the ids that go up are those of DeepSeek's own encoder for the
Messages request, and a turn's ids begin with those of the turn before.
"""

from functools import cache
from itertools import pairwise
from random import Random
from typing import Any

import deepseek_recipe as recipe
import msgspec
import pytest

from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.prompt.tokens import IMAGE, IMAGE_SPELLING, to_tokens
from deepseek_messages.translation.dialects import TOKENS
from tests.property.conversations import ENCODINGS, request, translate
from tests.property.test_parity import _without_empty_system as without_empty_system
from tests.property.test_prefix import turns
from tests.support.generated import cases

TAG = 1  # the last token decides about thinking
CASES = 1000


@cache
def encoder(encoding: Any) -> Any:
    return ENCODINGS[encoding][1].with_tokenizer(TOKENIZER.full)


def ids(body: dict[str, Any], encoding: Any) -> list[int]:
    """What goes up for a Messages request."""
    return to_tokens(translate(body, encoding, dialect=TOKENS).chat, encoding).ids


def deepseeks_ids(body: dict[str, Any], encoding: Any) -> list[int]:
    """DeepSeek's own, with the place of an image as V4.1's vocabulary has it."""
    version = ENCODINGS[encoding][0]
    options = recipe.ConversionOptions().with_model_alias("m", version)
    converted = recipe.MessagesRequest(msgspec.json.encode(body)).convert(
        options.with_default_thinking_mode(False)
    )
    found = encoder(encoding).encode(converted.conversation)
    image = TOKENIZER.special_ids[IMAGE_SPELLING]
    return [IMAGE if each == image else each for each in found]


@cases(CASES)
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_law_7_the_ids_are_those_of_deepseeks_own_conversion(encoding: Any, dice: Random) -> None:
    body = without_empty_system(request(dice, encoding))
    assert ids(body, encoding) == deepseeks_ids(body, encoding)


@cases(CASES)
@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_law_8_each_prompt_begins_with_the_one_before(encoding: Any, dice: Random) -> None:
    prompts = [ids(turn, encoding)[:-TAG] for turn in turns(request(dice, encoding))]
    for earlier, later in pairwise(prompts):
        assert later[: len(earlier)] == earlier
