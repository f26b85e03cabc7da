"""What makes a well-formed tree of settings unusable or unsafe."""

import difflib
from collections.abc import Callable

from deepseek_messages.settings.schema import Settings, split_url
from deepseek_messages.translation.dialects import DIALECTS

_KEYS_ADVICE = (
    'set auth.mode = "keys" (a first key is made at start and shown once), or listen on 127.0.0.1'
)


def _base_url(settings: Settings) -> str | None:
    url = settings.upstream.base_url
    if url is None:
        return None
    parts = split_url(url)
    if parts is None:
        return "upstream.base_url: it is no http:// or https:// URL with a host"
    if parts.username or parts.password or parts.query:
        return "upstream.base_url: it holds a password or a query; keys go into upstream.api_key"
    return None


def _dialect(settings: Settings) -> str | None:
    name, known = settings.upstream.dialect, ["auto", *DIALECTS]
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"upstream.dialect: {name!r} is none of {', '.join(known)}{hint}"


def _open_mode(settings: Settings) -> str | None:
    if settings.auth_mode != "open":
        return None
    if settings.upstream_kind == "chat":
        return (
            'auth.mode: "open" is for the embedded and double upstreams; use pass-through or keys'
        )
    if settings.public:
        return (
            f"server.host: {settings.server.host} is public and no key is asked for: "
            + _KEYS_ADVICE
        )
    return None


def _relay(settings: Settings) -> str | None:
    """A local chat server seldom asks for a key: passing keys on would let everybody in."""
    passes = settings.auth.mode == "auto" and settings.auth_mode == "pass-through"
    if not (passes and settings.public and settings.upstream_is_local):
        return None
    return (
        f"server.host: {settings.server.host} is public and {settings.upstream.url} may "
        f'answer without a key: {_KEYS_ADVICE}, or set auth.mode = "pass-through" if it '
        "asks for one"
    )


_RULES: tuple[Callable[[Settings], str | None], ...] = (_base_url, _dialect, _open_mode, _relay)


def check_settings(settings: Settings) -> list[str]:
    """What is wrong with ``settings``, a line each: the key, the trouble, what to do. Empty when
    the server may start.
    """
    return [problem for rule in _RULES if (problem := rule(settings)) is not None]
