"""The table of servers that take token ids: how each is asked, and how its answers read.

Sources: vLLM, entrypoints/openai/completion/protocol.py (``prompt`` as ids, ``return_token_ids``,
``structured_outputs``); SGLang, managers/io_struct.py and docs "Sampling Parameters" (``/generate``
with ``input_ids``; ``output_ids`` and ``text`` grow from event to event unless the server streams
increments); llama.cpp, tools/server/README.md, "POST /completion" (``prompt`` as ids,
``return_tokens``, ``stop_type``, ``tokens_cached``).

Images. SGLang takes them beside token ids: ``image_data`` in order, one placeholder token each,
and leaves the other ids as they are (multimodal/processors/deepseek_v41.py). vLLM's completions
have no field for them. llama.cpp's ``multimodal_data`` goes with a prompt in text only, in which
whatever a user writes could become a special token; and it has no vision part of DeepSeek V4.1.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from deepseek_messages.prompt.tokens import Constraint
from deepseek_messages.translation.answer.finish_reasons import BROKEN
from deepseek_messages.translation.dialects import LLAMA_CPP, SGLANG, VLLM, Dialect

Finish = Literal["stop", "length"]


class Ask(Struct, frozen=True, kw_only=True):
    """A completion to be asked for. ``images`` is empty for servers that take none."""

    ids: list[int]
    images: list[str] = []
    model: str
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    constraint: Constraint | None = None


class Piece(Struct, frozen=True, kw_only=True):
    """What one event of an answer says. ``ids`` and ``text`` say the same; ids are exact, text is
    for servers that do not give them, or not all. Figures are of the whole answer so far.
    """

    ids: list[int] = []
    text: str = ""
    grows: bool = False  # ids and text are all that was written so far
    loses_ids: bool = False  # text is whole; ids that are missing show in completion_tokens
    finish: Finish | None = None
    broken: str | None = None  # the finish reason of an answer that is not whole
    error: Any = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class TokenServer(Struct, frozen=True, kw_only=True):
    """One kind of server. ``listing`` says how its models are listed, ``images`` whether it takes
    images with token ids.
    """

    name: str
    path: str
    listing: Dialect
    ask: Callable[[Ask], dict[str, Any]]
    read: Callable[[dict[str, Any]], Piece]
    images: bool = False


def _numbers(ask: Ask, **names: str) -> dict[str, Any]:
    """The sampling numbers that are set, under the server's names."""
    given = {"temperature": ask.temperature, "top_p": ask.top_p, "top_k": ask.top_k}
    return {names.get(name, name): value for name, value in given.items() if value is not None}


def _finish(reason: object) -> Finish | None:
    if reason is None or _broken(reason) is not None:
        return None
    return "length" if reason in ("length", "limit") else "stop"


def _broken(reason: object) -> str | None:
    return reason if isinstance(reason, str) and reason in BROKEN else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _ids(value: object) -> list[int]:
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        return []
    return value


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


# --- vLLM -----------------------------------------------------------------------------------------


def _ask_vllm(ask: Ask) -> dict[str, Any]:
    body = {
        "model": ask.model,
        "prompt": ask.ids,
        "max_tokens": ask.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        "return_token_ids": True,
        **_numbers(ask),
    }
    match ask.constraint:
        case Constraint("json", schema):
            body["structured_outputs"] = {"json": msgspec.Raw(schema.encode())}
        case Constraint("regex", pattern):
            body["structured_outputs"] = {"regex": pattern}
    return body


def _read_vllm(event: dict[str, Any]) -> Piece:
    choices, usage = event.get("choices"), _dict(event.get("usage"))
    choice = _dict(choices[0]) if isinstance(choices, list) and choices else {}
    return Piece(
        ids=_ids(choice.get("token_ids")),
        text=_text(choice.get("text")),
        finish=_finish(choice.get("finish_reason")),
        broken=_broken(choice.get("finish_reason")),
        error=event.get("error"),
        prompt_tokens=_number(usage.get("prompt_tokens")),
        completion_tokens=_number(usage.get("completion_tokens")),
        cached_tokens=_number(_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
    )


# --- SGLang ---------------------------------------------------------------------------------------


def _ask_sglang(ask: Ask) -> dict[str, Any]:
    sampling: dict[str, Any] = {
        "max_new_tokens": ask.max_tokens,
        "skip_special_tokens": False,
        "spaces_between_special_tokens": False,
        **_numbers(ask),
    }
    if ask.constraint is not None:
        name = "json_schema" if ask.constraint.kind == "json" else "regex"
        sampling[name] = ask.constraint.text
    body = {"input_ids": ask.ids, "sampling_params": sampling, "stream": True}
    return body | {"image_data": ask.images} if ask.images else body


def _read_sglang(event: dict[str, Any]) -> Piece:
    meta, ids = _dict(event.get("meta_info")), _ids(event.get("output_ids"))
    reason = meta.get("finish_reason")
    written = _number(meta.get("completion_tokens"))
    kind = reason.get("type") if isinstance(reason, dict) else reason
    error = _dict(reason) if kind == "abort" else event.get("error")
    return Piece(
        ids=ids,
        text=_text(event.get("text")),
        grows=not ids or len(ids) == written,
        finish=None if error else _finish(kind),
        error=error,
        prompt_tokens=_number(meta.get("prompt_tokens")),
        completion_tokens=written,
        cached_tokens=_number(meta.get("cached_tokens")),
    )


# --- llama.cpp ------------------------------------------------------------------------------------


_LAST_EVENT = [
    "content",
    "tokens",
    "stop",
    "stop_type",
    "tokens_evaluated",
    "tokens_predicted",
    "timings",
]


def _ask_llama_cpp(ask: Ask) -> dict[str, Any]:
    body = {
        "prompt": ask.ids,
        "n_predict": ask.max_tokens,
        "stream": True,
        "return_tokens": True,
        "cache_prompt": True,
        # Of the last event, which else repeats the whole prompt.
        "response_fields": _LAST_EVENT,
        # Off, which is not this server's default: DeepSeek samples from all tokens.
        "top_k": 0,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        **_numbers(ask),
    }
    if ask.constraint is not None and ask.constraint.kind == "json":
        body["json_schema"] = msgspec.Raw(ask.constraint.text.encode())
    return body


def _read_llama_cpp(event: dict[str, Any]) -> Piece:
    ended = event.get("stop") is True
    timings = _dict(event.get("timings"))
    return Piece(
        # The last event repeats nothing: its ``tokens`` are empty when streaming.
        ids=[] if ended else _ids(event.get("tokens")),
        text=_text(event.get("content")),
        # A character of several tokens comes with the last one's id alone (server-context.cpp,
        # ``process_token``: nothing is sent while the text is no whole UTF-8).
        loses_ids=True,
        finish=_finish(event.get("stop_type", "eos")) if ended else None,
        error=event.get("error"),
        prompt_tokens=_number(event.get("tokens_evaluated")),
        completion_tokens=_number(event.get("tokens_predicted")),
        cached_tokens=_number(timings.get("cache_n")),
    )


TOKEN_SERVERS: dict[str, TokenServer] = {
    server.name: server
    for server in (
        TokenServer(
            name="vllm",
            path="/v1/completions",
            listing=VLLM,
            ask=_ask_vllm,
            read=_read_vllm,
        ),
        TokenServer(
            name="sglang",
            path="/generate",
            listing=SGLANG,
            ask=_ask_sglang,
            read=_read_sglang,
            images=True,
        ),
        TokenServer(
            name="llama.cpp",
            path="/completion",
            listing=LLAMA_CPP,
            ask=_ask_llama_cpp,
            read=_read_llama_cpp,
        ),
    )
}
