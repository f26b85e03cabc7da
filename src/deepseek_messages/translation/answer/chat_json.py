"""Chat completions from JSON: one typed decode, and a patient second look at odd shapes.

The first decode is strict and fast. Only what it refuses is looked at again: arguments sent as
an object instead of text, ids and codes that are numbers, content in parts, usage figures that
are floats, strings or NaN, broken UTF-8, half surrogate pairs. What is still no chat completion
raises ``Fault`` (garbage).
"""

import json
import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from deepseek_messages.translation.faults import garbage
from deepseek_messages.wire.chat import (
    AnswerChoice,
    ChatAnswer,
    ChatChunk,
    ChatDelta,
    ChatUsage,
    ChunkChoice,
    CompletionTokensDetails,
    FunctionDelta,
    PromptTokensDetails,
    ToolCallDelta,
)

_Bad = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_chunk = msgspec.json.Decoder(ChatChunk).decode
_answer = msgspec.json.Decoder(ChatAnswer).decode
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_chunk(payload: bytes) -> ChatChunk:
    """One ``data:`` payload. Raises ``Fault`` (garbage) when it is no chat completion chunk."""
    try:
        chunk = _chunk(payload)
    except _Bad:
        loose = _decode_loosely(payload)
        return ChatChunk(
            choices=_each(loose.choices, _to_chunk_choice),
            usage=_to_usage(loose.usage),
            model=_text(loose.model),
            id=_text(loose.id),
            error=_error(loose, payload),
        )
    if chunk.choices is None and chunk.usage is None and chunk.error is UNSET:
        return msgspec.structs.replace(chunk, error=_error(_decode_loosely(payload), payload))
    return chunk


def decode_answer(body: bytes) -> ChatAnswer:
    """A whole answer; blank lines before it are keep-alives of DeepSeek's service. Raises
    ``Fault`` (garbage) when it is no chat completion.
    """
    body = body.strip()
    try:
        answer = _answer(body)
    except _Bad:
        loose = _decode_loosely(body)
        return ChatAnswer(
            choices=_each(loose.choices, _to_answer_choice),
            usage=_to_usage(loose.usage),
            model=_text(loose.model),
            id=_text(loose.id),
            error=_error(loose, body),
        )
    if answer.choices is None and answer.error is UNSET:
        return msgspec.structs.replace(answer, error=_error(_decode_loosely(body), body))
    return answer


# --- the second look ------------------------------------------------------------------------------


class _Function(Struct):
    name: Any = None
    arguments: Raw | UnsetType = UNSET


class _ToolCall(Struct):
    index: Any = None
    id: Any = None
    function: _Function | None = None


class _Delta(Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[_ToolCall] | None = None
    refusal: Any = None


class _Choice(Struct):
    index: Any = None
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    stop_reason: Any = None
    matched_stop: Any = None


class _Loose(Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    id: Any = None
    error: Raw | UnsetType = UNSET
    object: Any = None
    detail: Raw | UnsetType = UNSET  # FastAPI's error body
    message: Any = None


_loose = msgspec.json.Decoder(_Loose).decode


def _decode_loosely(payload: bytes) -> _Loose:
    try:
        try:
            return _loose(payload)
        except msgspec.ValidationError:
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _loose(_mended(payload))
    except (*_Bad, ValueError) as error:
        raise garbage("the upstream sent something that is no chat completion") from error


def _mended(payload: bytes) -> bytes:
    """Rewrite JSON that Python's lenient reader still takes: broken UTF-8, half surrogate pairs,
    NaN. Raises ``ValueError`` or ``RecursionError`` when it is none.
    """
    value = json.loads(payload.decode("utf-8", "replace"), parse_constant=lambda _: None)
    return _HALF_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()


def _error(loose: _Loose, payload: bytes) -> Raw | UnsetType:
    """The error object, also when it is the payload itself (vLLM's older shape, FastAPI's)."""
    if loose.error is not UNSET:
        return loose.error
    if loose.object == "error" or loose.detail is not UNSET:
        return Raw(payload)
    if loose.choices is None and isinstance(loose.message, str):
        return Raw(payload)
    return UNSET


def _each(choices: list[_Choice] | None, convert: Any) -> Any:
    return None if choices is None else [convert(choice) for choice in choices]


def _to_chunk_choice(choice: _Choice) -> ChunkChoice:
    return ChunkChoice(
        index=_whole(choice.index),
        delta=_to_delta(choice.delta),
        finish_reason=_text(choice.finish_reason),
        stop_reason=_stop(choice.stop_reason),
        matched_stop=_stop(choice.matched_stop),
    )


def _to_answer_choice(choice: _Choice) -> AnswerChoice:
    return AnswerChoice(
        message=_to_delta(choice.message),
        finish_reason=_text(choice.finish_reason),
        stop_reason=_stop(choice.stop_reason),
        matched_stop=_stop(choice.matched_stop),
    )


def _to_delta(delta: _Delta | None) -> ChatDelta | None:
    if delta is None:
        return None
    calls = delta.tool_calls
    return ChatDelta(
        content=_text(delta.content),
        reasoning_content=_text(delta.reasoning_content),
        reasoning=_text(delta.reasoning),
        tool_calls=None if calls is None else [_to_call(call) for call in calls],
        refusal=_text(delta.refusal),
    )


def _to_call(call: _ToolCall) -> ToolCallDelta:
    function = call.function
    return ToolCallDelta(
        index=_whole(call.index),
        id=_text(call.id),
        function=None
        if function is None
        else FunctionDelta(name=_text(function.name), arguments=argument_text(function.arguments)),
    )


def argument_text(arguments: str | Raw | UnsetType | None) -> str | None:
    """Arguments as JSON text: a JSON string is unwrapped, any other JSON value is its own text.
    Raises ``Fault`` (garbage) for a string that cannot be read.
    """
    if arguments is None or isinstance(arguments, UnsetType):
        return None
    if isinstance(arguments, str):
        return arguments
    raw = bytes(arguments)
    if raw.startswith(b'"'):
        return _unquoted(raw)
    text = raw.decode("utf-8", "replace").strip()
    return None if text == "null" else text


def _unquoted(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except _Bad:
        try:
            return msgspec.json.decode(_mended(raw), type=str)
        except (*_Bad, ValueError) as error:
            raise garbage("the upstream sent tool arguments that cannot be read") from error


def _to_usage(value: Any) -> ChatUsage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    return ChatUsage(
        prompt_tokens=_whole(value.get("prompt_tokens")),
        completion_tokens=_whole(value.get("completion_tokens")),
        prompt_cache_hit_tokens=_whole(value.get("prompt_cache_hit_tokens")),
        prompt_cache_miss_tokens=_whole(value.get("prompt_cache_miss_tokens")),
        prompt_tokens_details=(
            PromptTokensDetails(_whole(prompt.get("cached_tokens")))
            if isinstance(prompt, dict)
            else None
        ),
        completion_tokens_details=(
            CompletionTokensDetails(_whole(completion.get("reasoning_tokens")))
            if isinstance(completion, dict)
            else None
        ),
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):  # content in parts
        parts = (part.get("text") if isinstance(part, dict) else part for part in value)
        return "".join(part for part in parts if isinstance(part, str))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if value.isdecimal() and len(value) < 20 else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _stop(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) else None
