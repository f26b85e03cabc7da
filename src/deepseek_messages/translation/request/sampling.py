"""Sampling, limits and stop sequences: from the client's ranges into the upstream's."""

import hashlib
import re
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import StreamOptions
from deepseek_messages.wire.messages import MessagesRequest, Metadata


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
_accepted = attrgetter(*_ACCEPTED)
_NONE_ACCEPTED = (UNSET,) * len(_ACCEPTED)


def settings_of(
    request: MessagesRequest, choice: Choice, dialect: Dialect, notes: Notes
) -> Settings:
    """The request's numbers as the upstream takes them. Raises ``Refusal`` for a bad ``top_k``.

    Most requests set few of them, so each is looked at only when it is there.
    """
    if _accepted(request) != _NONE_ACCEPTED:
        _note_accepted(request, notes)
    stops = _stops(request, notes) if request.stop_sequences else ()
    fields: dict[str, Any] = {}
    # Where stop sequences are matched here, an answer must be seen as it grows, to be cut.
    if request.stream or (stops and matches_here(dialect)):
        fields["stream"] = True
        if dialect.stream_options:
            fields["stream_options"] = _STREAM_OPTIONS
    if request.temperature is not None:
        fields["temperature"] = _temperature(request.temperature, dialect, notes)
    if request.top_p is not None:
        fields["top_p"] = _top_p(request.top_p, notes)
    if request.top_k is not UNSET:
        fields["top_k"] = _top_k(request.top_k, dialect, notes)
    if stops:
        fields["stop"] = _stop(stops, dialect, notes)
    if request.metadata is not None:
        fields["user_id"] = _user_id(request.metadata, dialect, notes)
    if request.max_tokens is not None:
        fields[dialect.max_tokens_field] = _max_tokens(request.max_tokens, choice, notes)
    return Settings(fields, stops)


_STREAM_OPTIONS = StreamOptions()


def _note_accepted(request: MessagesRequest, notes: Notes) -> None:
    for name, value in zip(_ACCEPTED, _accepted(request), strict=True):
        if value is not UNSET and bytes(value) != b"null":
            notes.add(Action.IGNORED, name, name)


def _stops(request: MessagesRequest, notes: Notes) -> tuple[str, ...]:
    given = request.stop_sequences or []
    if "" in given:
        notes.add(Action.IGNORED, "stop_sequences.empty", "stop_sequences")
    return tuple(dict.fromkeys(text for text in given if text))


def _max_tokens(wanted: int, choice: Choice, notes: Notes) -> int:
    largest = choice.model.max_output_tokens
    if wanted == 0:  # only fill the prompt cache; no chat server takes less than one token
        notes.add(Action.EMULATED, "max_tokens", "max_tokens")
        return 1
    if wanted > largest:
        notes.add(Action.CLAMPED, "max_tokens", "max_tokens")
        return largest
    return wanted


def _temperature(wanted: float, dialect: Dialect, notes: Notes) -> float:
    if wanted > dialect.max_temperature:
        notes.add(Action.CLAMPED, "temperature", "temperature")
        return dialect.max_temperature
    return wanted


# DeepSeek's range excludes 0 ("(0, 1.0]"), Anthropic's does not: the smallest nucleus is meant. So
# it is by numbers that are 0 in single precision, which DeepSeek's service reads.
_LEAST_TOP_P = 0.01
_ZERO = 2.0**-126


def _top_p(wanted: float, notes: Notes) -> float:
    if wanted < _ZERO:
        notes.add(Action.CLAMPED, "top_p", "top_p")
        return _LEAST_TOP_P
    return wanted


def _top_k(wanted: Raw, dialect: Dialect, notes: Notes) -> int | None:
    if bytes(wanted) == b"null":
        return None
    if not dialect.top_k:
        notes.add(Action.IGNORED, "top_k", "top_k")
        return None
    try:
        value = msgspec.json.decode(wanted, type=int)
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
    if matches_here(dialect):
        notes.add(Action.EMULATED, "stop_sequences", "stop_sequences")
        return None
    return list(stops)


def _user_id(metadata: Metadata, dialect: Dialect, notes: Notes) -> str | None:
    """A digest of the user in ``metadata.user_id``: always inside DeepSeek's alphabet, the same for
    the same user's next session (DeepSeek isolates caches by it), and nothing of what the client
    wrote in it.
    """
    user = metadata.user_id
    if not user:
        return None
    if not dialect.user_id:
        notes.add(Action.IGNORED, "metadata.user_id", "metadata.user_id")
        return None
    return _remembered_digest(user) if len(user) <= _MEMO_CHARS else _digest(user)


def _digest(user: str) -> str:
    whole = _without_session(user)
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]


# Claude Code names the user and the session together: as JSON ``{device_id, account_uuid,
# session_id}``, in older versions as ``user_…_account_…_session_<uuid>``.
_SESSION = "session_id"
_OLD_SESSION = re.compile(r"_session_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def _without_session(user: str) -> str:
    """What is left of ``user`` when its session is taken out, unless that was all it said."""
    if not user.startswith("{"):
        return _OLD_SESSION.sub("", user)
    try:
        said = msgspec.json.decode(user, type=dict[str, Any])
        rest = {name: value for name, value in said.items() if name != _SESSION}
        return repr(sorted(rest.items())) if any(rest.values()) else user
    except (msgspec.DecodeError, RecursionError):
        return user


_MEMO_CHARS = 500
_remembered_digest = lru_cache(256)(_digest)
