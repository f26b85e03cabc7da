"""What DeepSeek can read from its cache in a session of Claude Code (``make cache-rate``)."""

from itertools import pairwise

import pytest

from bench.cache_rate import TURNS, prompt, session
from deepseek_messages.translation.catalogue import Encoding


@pytest.mark.parametrize("encoding", ["v4", "v4.1"])
def test_a_session_of_50_turns_keeps_99_percent_of_its_prompt(encoding: Encoding) -> None:
    prompts = [prompt(body, encoding) for body in session()]

    kept = sum(len(before) for before, now in pairwise(prompts) if now.startswith(before))

    assert len(prompts) == TURNS
    assert kept >= 0.99 * sum(len(each) for each in prompts[:-1])
