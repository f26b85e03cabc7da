"""What a client of the server must know: the address, the key, the model, its window."""

import importlib.util
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Literal
from urllib.parse import quote, urlsplit

from msgspec import Struct

from deepseek_messages.settings import Settings, UpstreamKind, UpstreamSettings
from deepseek_messages.translation.catalogue import FLASH, describe
from deepseek_messages.translation.dialects import DEEPSEEK, by_host

PREFIX = "/anthropic"

# The least window with which Claude Code can work: its compaction starts at the window less
# about 33,000 tokens, and its first request with all tools is about 15,000 tokens.
CLAUDE_CODE_WINDOW = 50_000

# In a smaller window this part is for its longest answer. It keeps back room for that, 20,000
# tokens unless told otherwise, and calls every prompt too long when nothing is left for one
# (Claude Code 2.1.330 with a window of 16,384).
ANSWER_SHARE = 4

# Claude Code's own default time-out is 600 s as well; DeepSeek's integration page set it.
API_TIMEOUT_MS = 600_000

# Windows of the models that are fetched by name, so that they are known before the first load
# (SmolLM2-135M-Instruct's own header: llama.context_length).
PACKAGED_WINDOWS = {"smollm2": 8_192}

_KEY_VARIABLES = {"keys": "DEEPSEEK_MESSAGES_KEY", "pass-through": "DEEPSEEK_API_KEY"}


ENGINE_MISSING = (
    "the engine of the embedded upstream is not installed: pip install "
    "'deepseek-messages[embedded]', set DEEPSEEK_API_KEY, or choose an upstream with --upstream"
)


def engine_is_missing(settings: Settings) -> bool:
    """Whether the embedded upstream is chosen and its engine is not installed."""
    return settings.upstream_kind == "embedded" and importlib.util.find_spec("xllamacpp") is None


class Token(Struct, frozen=True):
    """What a client sends as its key: a text, or the variable that holds it."""

    kind: Literal["text", "variable"]
    value: str


class Access(Struct, frozen=True, kw_only=True):
    """How a client reaches the server. ``url`` has no trailing slash; ``window`` is in tokens,
    ``None`` when it is not known before the model is loaded.
    """

    url: str
    token: Token
    model: str
    window: int | None = None


def token_for(settings: Settings, key: str | None = None) -> Token:
    """``key`` when the caller has one; else the variable that should hold it; else, where no key
    is asked for, a word (clients insist on sending something).
    """
    if key:
        return Token("text", key)
    variable = _KEY_VARIABLES.get(settings.auth_mode)
    return Token("variable", variable) if variable else Token("text", "none")


def base_url(settings: Settings, address: str | None = None) -> str:
    """The base URL a client is given: ``address`` (scheme, host, port) or the configured one."""
    if address is None:
        host = settings.server.host
        host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared
        address = f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"
    address = address.rstrip("/")
    return address if urlsplit(address).path else address + PREFIX


def window_of(settings: Settings) -> int | None:
    """The window of the model that these settings serve, without asking anybody, in tokens. Of
    several upstreams the longest counts, where a prompt that is too long for others goes; it is not
    known as long as that of one of them is not.
    """
    if settings.upstream_kind != "pool":
        return _window(settings, settings.upstream_kind, settings.upstream)
    windows = [
        each.context_window or _window(settings, each.resolved_kind, each)
        for each in settings.upstreams
    ]
    return None if None in windows else max(filter(None, windows), default=None)


def _window(settings: Settings, kind: UpstreamKind, upstream: UpstreamSettings) -> int | None:
    match kind:
        case "embedded":
            return settings.embedded.context or PACKAGED_WINDOWS.get(settings.embedded.model)
        case "double":
            return FLASH.context_window
        case "chat" | "tokens" if upstream.context_window:
            return upstream.context_window
        case "chat" | "tokens" if upstream.model:
            return describe(upstream.model).context_window
        case "chat" | "tokens":
            host = urlsplit(upstream.url).hostname or ""
            return FLASH.context_window if by_host(host) is DEEPSEEK else None


def served_window(url: str, token: str, model: str, *, timeout: float = 2.0) -> int | None:
    """The window that the running server at ``url`` gives for ``model`` in its model list, in
    tokens; ``None`` when no server answers within ``timeout`` seconds or it does not say.
    """
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=timeout)
    try:
        path = f"{parts.path}/v1/models/{quote(model, safe='')}"
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
        described = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    window = described.get("max_input_tokens") if isinstance(described, dict) else None
    return window if isinstance(window, int) else None
