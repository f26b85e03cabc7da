"""Overflow errors of chat servers: which sentence of Anthropic's each stands for.

The wordings themselves are in ``test_faults``.
"""

import pytest

from deepseek_messages.translation.overflow import anthropic_wording

RANGE = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
TOO_LARGE = "max_tokens is too large: {asked}. This model supports at most 8192 completion tokens"


@pytest.mark.parametrize(
    ("prompt", "limit", "said"),
    [
        (9000, 4000, "prompt is too long: 9000 tokens > 4000 maximum"),
        (9000, None, None),
        (None, 4000, None),
        (None, None, None),
    ],
)
def test_figures_beside_the_message_count_together(
    prompt: int | None, limit: int | None, said: str | None
) -> None:
    assert anthropic_wording("No.", prompt=prompt, limit=limit) == said


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (4000, "input length and `max_tokens` exceed context limit: 4000 + 50 > 4000"),
        (4001, "prompt is too long: 4001 tokens > 4000 maximum"),
    ],
)
def test_a_prompt_that_fits_alone_is_too_long_only_with_its_answer(
    prompt: int, sentence: str
) -> None:
    said = (
        f"passed {prompt} input tokens and requested 50 output tokens, context length is only 4000"
    )
    assert (anthropic_wording(said) or "").startswith(sentence)


@pytest.mark.parametrize(("asked", "changed"), [(8193, True), (8192, False), (5, False)])
def test_an_answer_that_may_be_that_long_is_another_error(asked: int, changed: bool) -> None:
    told = f"max_tokens: {asked} > 8192, which is the maximum allowed number of output tokens "
    told += "for this model"
    assert anthropic_wording(RANGE, max_tokens=asked) == (told if changed else RANGE)
    said = TOO_LARGE.format(asked=asked)
    assert anthropic_wording(said) == (told if changed else said)


def test_anthropics_words_without_figures_are_kept() -> None:
    assert anthropic_wording("Your prompt is too long, friend") == "Your prompt is too long, friend"
    assert anthropic_wording("Prompt too long.") == "prompt is too long: Prompt too long."


def test_figures_may_have_commas_and_are_bounded() -> None:
    said = "The input ({p} tokens) is longer than the model's context length (131,072 tokens)."
    assert anthropic_wording(said.format(p="140,000")) == (
        "prompt is too long: 140000 tokens > 131072 maximum"
    )
    assert anthropic_wording(said.format(p="9" * 5000)) == (
        f"prompt is too long: {'9' * 18} tokens > 131072 maximum"
    )
