"""Sampling, limits and stop sequences: from the client's ranges into the upstream's."""

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import StreamOptions
from deepseek_messages.wire.messages import MessagesRequest


class Settings(Struct, frozen=True):
    """``fields`` are named as in ``ChatRequest``; ``stops`` are all the client gave."""

    fields: dict[str, Any]
    stops: tuple[str, ...]


# Accepted without effect (DeepSeek API guide, Anthropic API: "ignored").
_ACCEPTED = (
    "cache_control", "service_tier", "speed", "inference_geo", "container", "diagnostics",
    "fallbacks", "fallback_credit_token", "billing_policy", "safeguards",
    "safety_check", "tags",
)  # fmt: skip


def settings_of(
    request: MessagesRequest, choice: Choice, dialect: Dialect, notes: Notes
) -> Settings:
    """The request's numbers as the upstream takes them. Raises ``Refusal`` for a bad ``top_k``."""
    for name in _ACCEPTED:
        if getattr(request, name) is not UNSET and bytes(getattr(request, name)) != b"null":
            notes.add(Action.IGNORED, name, name)
    stops = tuple(dict.fromkeys(text for text in request.stop_sequences or () if text))
    if "" in (request.stop_sequences or ()):
        notes.add(Action.IGNORED, "stop_sequences.empty", "stop_sequences")
    fields: dict[str, Any] = {
        # Where stop sequences are matched here, an answer must be seen as it grows, to be cut.
        "stream": (streams := bool(request.stream) or (bool(stops) and matches_here(dialect))),
        "temperature": _temperature(request, dialect, notes),
        "top_p": _top_p(request, notes),
        "top_k": _top_k(request, dialect, notes),
        "stop": _stop(stops, dialect, notes),
        "user_id": _user_id(request, dialect, notes),
        dialect.max_tokens_field: _max_tokens(request, choice, notes),
    }
    if streams and dialect.stream_options:
        fields["stream_options"] = StreamOptions()
    return Settings(fields, stops)


def _max_tokens(request: MessagesRequest, choice: Choice, notes: Notes) -> int | None:
    wanted, largest = request.max_tokens, choice.model.max_output_tokens
    if wanted is None:
        return None
    if wanted == 0:  # only fill the prompt cache; no chat server takes less than one token
        notes.add(Action.EMULATED, "max_tokens", "max_tokens")
        return 1
    if wanted > largest:
        notes.add(Action.CLAMPED, "max_tokens", "max_tokens")
        return largest
    return wanted


def _temperature(request: MessagesRequest, dialect: Dialect, notes: Notes) -> float | None:
    if request.temperature is not None and request.temperature > dialect.max_temperature:
        notes.add(Action.CLAMPED, "temperature", "temperature")
        return dialect.max_temperature
    return request.temperature


# DeepSeek's range excludes 0 ("(0, 1.0]"), Anthropic's does not: the smallest nucleus is meant.
_LEAST_TOP_P = 0.01


def _top_p(request: MessagesRequest, notes: Notes) -> float | None:
    if request.top_p == 0:
        notes.add(Action.CLAMPED, "top_p", "top_p")
        return _LEAST_TOP_P
    return request.top_p


def _top_k(request: MessagesRequest, dialect: Dialect, notes: Notes) -> int | None:
    if request.top_k is UNSET or bytes(request.top_k) == b"null":
        return None
    if not dialect.top_k:
        notes.add(Action.IGNORED, "top_k", "top_k")
        return None
    try:
        value = msgspec.json.decode(request.top_k, type=int)
    except msgspec.ValidationError:
        raise Refusal("Input should be a valid integer", path="top_k") from None
    if value < 0:
        raise Refusal("Input should be greater than or equal to 0", path="top_k")
    return value or None  # 0 means no limit here, and means it by its absence everywhere


def matches_here(dialect: Dialect) -> bool:
    """Whether stop sequences are looked for here. An upstream that does not say which one matched
    cuts it out of the text and calls the end a plain stop, so it must not be told of them.
    """
    return not dialect.reports_stop_string


def _stop(stops: tuple[str, ...], dialect: Dialect, notes: Notes) -> list[str] | None:
    if not stops:
        return None
    if matches_here(dialect):
        notes.add(Action.EMULATED, "stop_sequences", "stop_sequences")
        return None
    return list(stops)


def _user_id(request: MessagesRequest, dialect: Dialect, notes: Notes) -> str | None:
    """A digest of ``metadata.user_id``: always inside DeepSeek's alphabet, the same for the same
    user (DeepSeek isolates caches by it), and nothing of what the client wrote in it.
    """
    user = request.metadata.user_id if request.metadata is not None else None
    if not user:
        return None
    if not dialect.user_id:
        notes.add(Action.IGNORED, "metadata.user_id", "metadata.user_id")
        return None
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
