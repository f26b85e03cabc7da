"""What makes a well-formed tree of settings unusable or unsafe."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec

from deepseek_messages.settings.addresses import split_url
from deepseek_messages.settings.tree import Settings
from deepseek_messages.settings.upstreams import UpstreamSettings
from deepseek_messages.translation.dialects import DIALECTS

_KEYS_ADVICE = (
    'set auth.mode = "keys" (a first key is made at start and shown once), or listen on 127.0.0.1'
)


def _each(settings: Settings) -> Iterator[tuple[str, UpstreamSettings]]:
    """Every upstream with the place where it stands."""
    yield "upstream", settings.upstream
    for number, member in enumerate(settings.upstreams):
        yield f"upstreams.{number}", member


def _base_urls(settings: Settings) -> str | None:
    return _first(_base_url(where, each) for where, each in _each(settings))


def _base_url(where: str, upstream: UpstreamSettings) -> str | None:
    url = upstream.base_url
    if url is None:
        missing = upstream.kind == "tokens"
        return f"{where}.base_url: a tokens server has no default address" if missing else None
    parts = split_url(url)
    if parts is None:
        return f"{where}.base_url: it is no http:// or https:// URL with a host"
    if parts.username or parts.password or parts.query:
        return f"{where}.base_url: it holds a password or a query; keys go into {where}.api_key"
    return None


def _dialects(settings: Settings) -> str | None:
    return _first(_dialect(where, each) for where, each in _each(settings))


def _dialect(where: str, upstream: UpstreamSettings) -> str | None:
    name, known = upstream.dialect, ["auto", *DIALECTS]
    if name in known:
        return None
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where}.dialect: {name!r} is none of {', '.join(known)}{hint}"


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem), None)


def _members(settings: Settings) -> str | None:
    names = [member.name for member in settings.upstreams]
    for number, name in enumerate(names):
        if name in names[:number]:
            return f"upstreams.{number}.name: there is another {name!r}; each has its own name"
    if [member.resolved_kind for member in settings.upstreams].count("embedded") > 1:
        return "upstreams: one embedded model at most; it takes its settings from [embedded]"
    if settings.upstreams and settings.auth.mode == "pass-through":
        return (
            "auth.mode: pass-through would show callers' keys to every one of [[upstreams]]: "
            "use keys, and give each upstream its own"
        )
    return None


def _workers(settings: Settings) -> str | None:
    kinds = [settings.upstream_kind, *(member.resolved_kind for member in settings.upstreams)]
    if settings.server.workers > 1 and "embedded" in kinds:
        return "server.workers: a model inside the process is served by one worker"
    return None


def _open_mode(settings: Settings) -> str | None:
    if settings.auth_mode != "open":
        return None
    if not settings.serves_itself:
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


def _tools(settings: Settings) -> str | None:
    tools = settings.tools
    url = tools.web_search_url
    if url is not None and split_url(url) is None:
        return "tools.web_search_url: it is no http:// or https:// URL with a host"
    if tools.web_search == "searxng" and url is None:
        return "tools.web_search_url: searxng has no default address"
    if tools.web_search in {"tavily", "brave"} and tools.web_search_key is None:
        return f"tools.web_search_key: {tools.web_search} asks for a key"
    if tools.mcp_hosts and find_spec("mcp") is None:
        return "tools.mcp_hosts: needs the extra: pip install 'deepseek-messages[mcp]'"
    return None


_RULES: tuple[Callable[[Settings], str | None], ...] = (
    _base_urls,
    _dialects,
    _members,
    _workers,
    _open_mode,
    _relay,
    _tools,
)


def check_settings(settings: Settings) -> list[str]:
    """What is wrong with ``settings``, a line each: the key, the trouble, what to do. Empty when
    the server may start.
    """
    return [problem for rule in _RULES if (problem := rule(settings)) is not None]
