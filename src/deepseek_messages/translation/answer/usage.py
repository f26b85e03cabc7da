"""Token arithmetic. The three input counts always add up to the prompt's size.

Sources: DeepSeek's API reference (``prompt_tokens`` = hit + miss; ``completion_tokens`` includes
reasoning) and OpenAI's names for the same figures, which vLLM, SGLang and llama.cpp use.
"""

import math

from msgspec import UNSET

from deepseek_messages.wire.chat import ChatUsage, CompletionTokensDetails, PromptTokensDetails
from deepseek_messages.wire.messages import OutputTokensDetails, Usage

# The largest integer that every JSON reader keeps exactly (RFC 8259, section 6).
MAX_COUNT = 2**53 - 1

# DeepSeek's "Token & Token Usage": about 0.3 token for an English character, 0.6 for a Chinese one.
_TOKENS_PER_ASCII = 0.3
_TOKENS_PER_OTHER = 0.6


def to_usage(usage: ChatUsage | None, *, prompt_tokens: int | None, output_estimate: int) -> Usage:
    """The client's usage for what the upstream reported.

    ``prompt_tokens`` (counted here) stands in for a prompt size that the upstream does not tell,
    ``output_estimate`` for a missing output size; a zero there is a size not told, since some
    gateways fill in zeros. Nonsense is clamped: no count is negative, no part is larger than
    its whole.
    """
    usage = usage or ChatUsage()
    hit = _cached(usage)
    prompt = _prompt(usage, hit, prompt_tokens)
    read = min(hit, prompt)
    output = _count(usage.completion_tokens) or max(0, output_estimate)
    details = usage.completion_tokens_details
    thinking = _count(details.reasoning_tokens) if details else None
    return Usage(
        input_tokens=prompt - read,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=read,
        output_tokens=output,
        output_tokens_details=(
            UNSET if thinking is None else OutputTokensDetails(min(thinking, output))
        ),
    )


def merge(earlier: ChatUsage | None, later: ChatUsage) -> ChatUsage:
    """Two reports of one answer: totals, so the later one counts, field by field, unless it is
    missing, null or a zero that takes a figure back.
    """
    if earlier is None:
        return later
    return ChatUsage(
        prompt_tokens=_later(earlier.prompt_tokens, later.prompt_tokens),
        completion_tokens=_later(earlier.completion_tokens, later.completion_tokens),
        prompt_cache_hit_tokens=_later(
            earlier.prompt_cache_hit_tokens, later.prompt_cache_hit_tokens
        ),
        prompt_cache_miss_tokens=_later(
            earlier.prompt_cache_miss_tokens, later.prompt_cache_miss_tokens
        ),
        prompt_tokens_details=PromptTokensDetails(
            _later(_detail_cached(earlier), _detail_cached(later))
        ),
        completion_tokens_details=CompletionTokensDetails(
            _later(_reasoning(earlier), _reasoning(later))
        ),
    )


def estimate_tokens(ascii_characters: int, other_characters: int) -> int:
    """A rough count for a text whose tokens nobody counted, by DeepSeek's rule of thumb."""
    return math.ceil(ascii_characters * _TOKENS_PER_ASCII + other_characters * _TOKENS_PER_OTHER)


def count_characters(text: str) -> tuple[int, int]:
    """How many of ``text``'s characters are ASCII, and how many are not."""
    plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return plain, len(text) - plain


def _prompt(usage: ChatUsage, hit: int, counted: int | None) -> int:
    told = _count(usage.prompt_tokens)
    if told:
        return told
    told = min(MAX_COUNT, hit + (_count(usage.prompt_cache_miss_tokens) or 0))
    return told or _count(counted) or 0


def _cached(usage: ChatUsage) -> int:
    return _count(usage.prompt_cache_hit_tokens) or _count(_detail_cached(usage)) or 0


def _detail_cached(usage: ChatUsage) -> int | None:
    return usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None


def _reasoning(usage: ChatUsage) -> int | None:
    details = usage.completion_tokens_details
    return details.reasoning_tokens if details else None


def _later(earlier: int | None, later: int | None) -> int | None:
    return earlier if earlier and (later is None or later <= 0) else later


def _count(value: int | None) -> int | None:
    return None if value is None else max(0, min(value, MAX_COUNT))
