"""What must never reach a log: credentials in any field, and texts of errors we did not write."""

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from types import TracebackType

HIDDEN = "[hidden]"

# Field names whose value is a secret, compared without case and with - as _.
SECRET_FIELDS = frozenset(
    {
        "authorization",
        "proxy_authorization",
        "x_api_key",
        "api_key",
        "apikey",
        "auth_token",
        "token",
        "key",
        "secret",
        "password",
        "credential",
        "cookie",
        "set_cookie",
    }
)

# Field names under which the words of a conversation travel.
CONTENT_FIELDS = frozenset(
    {"messages", "system", "content", "prompt", "text", "thinking", "body", "input", "arguments"}
)

# Keys as their makers shape them (sk-…, sk-ant-…, hf_…, ours: dsm-…), and bearer credentials.
SECRET_TEXT = re.compile(
    r"\b(?:sk|dsm|hf|pk|rk)[-_][A-Za-z0-9_\-]{8,}|\b(?:Bearer|Basic)\s+[^\s\"',]+", re.IGNORECASE
)

# "Bearer" and a blank before one more character.
SHORTEST_SECRET = 7

# Longer texts are cut: a log line is no place for documents.
MAX_TEXT = 2000


def redact(fields: Mapping[str, object]) -> dict[str, object]:
    """The same fields with secrets and conversation content hidden, at any depth."""
    return {name: _value(name, value) for name, value in fields.items()}


def redact_text(text: str) -> str:
    """``text`` without anything shaped like a key, bounded in length."""
    if len(text) < SHORTEST_SECRET:
        return text
    return SECRET_TEXT.sub(HIDDEN, text[:MAX_TEXT])


@lru_cache(maxsize=1024)
def _is_hidden(name: str) -> bool:
    plain = name.lower().replace("-", "_")
    return plain in SECRET_FIELDS or plain in CONTENT_FIELDS


def _value(name: str, value: object) -> object:
    if _is_hidden(name):
        return HIDDEN
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, MutableMapping):
        return redact({str(key): item for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [_value("", item) for item in value]
    return value


def describe_exception(error: BaseException) -> dict[str, object]:
    """The type and the places of ``error`` and of what caused it, without their texts: messages
    of exceptions often quote the data that raised them, which may be a prompt or a key.
    """
    described: dict[str, object] = {
        "error": type(error).__qualname__,
        "at": _places(error.__traceback__),
    }
    cause = error.__cause__ or error.__context__
    if cause is not None:
        described["caused_by"] = type(cause).__qualname__
        described["caused_at"] = _places(cause.__traceback__)
    return described


def _places(traceback: TracebackType | None) -> list[str]:
    places = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return places[-12:]
