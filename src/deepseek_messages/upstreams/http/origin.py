"""Where an upstream lives: its addresses, and the proxy on the way there."""

import re
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

# Endings that people paste after the address of a chat server. DeepSeek documents its own base
# with ``/v1``, ``/beta`` and ``/anthropic`` (DeepSeek API docs, "Your first API call", "Chat
# prefix completion", "Anthropic API").
_PASTED_ENDING = re.compile(r"(/chat/completions|/messages|/models)$")
_VERSION_ENDING = re.compile(r"/(v\d+|beta|anthropic)$")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")


class Origin:
    """The base address of one upstream, and every address below it.

    All addresses have the same scheme, host and port, so a key that is only ever sent to them
    never leaves its origin. Raises ``ValueError``, in words for the person who wrote the
    setting, when the address cannot be one; the text never repeats it, for it may hold a key.
    """

    def __init__(self, base_url: str) -> None:
        try:
            url = URL(base_url.strip())
        except ValueError as error:
            raise ValueError("an upstream's address must be a web address") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("an upstream's address begins with http:// or https://")
        if url.user is not None or url.password is not None:
            raise ValueError("an upstream's address must not carry a user name or password")
        if url.query_string or url.fragment:
            raise ValueError("an upstream's address has no query and no fragment")
        self.base = url.with_path(_PASTED_ENDING.sub("", url.path.rstrip("/")))
        self.host = url.host

    @property
    def label(self) -> str:
        """Scheme, host and port: what may be shown in messages and logs."""
        return str(self.base.origin())

    def api(self, path: str) -> URL:
        """The address of an API path such as ``/v1/chat/completions``.

        A version that the base already ends with (``https://host/v1``) is not doubled, and the
        base's own wins over the path's (``/api/v3``).
        """
        base = self.base.path.rstrip("/")
        ending = _VERSION_ENDING.search(base)
        if ending is None:
            return self.base.with_path(base + path)
        if path.startswith("/beta/") or ending[1] == "anthropic":
            return self.base.with_path(base[: ending.start()] + path)
        return self.base.with_path(base + re.sub(r"^/v\d+(?=/)", "", path))

    def root(self, path: str) -> URL:
        """The address of a path beside the API, such as ``/tokenize`` or ``/props``."""
        return self.base.with_path(_VERSION_ENDING.sub("", self.base.path.rstrip("/")) + path)

    def proxy(self) -> URL | None:
        """The proxy that the environment names for this origin, if any.

        ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``ALL_PROXY`` by scheme, unless ``NO_PROXY`` excludes
        the host (Python's ``urllib.request`` rules). Raises ``ValueError`` for a proxy that is
        not spoken to over HTTP.
        """
        proxies = getproxies_environment()
        named = proxies.get(self.base.scheme) or proxies.get("all")
        authority = f"{self.host}:{self.base.port}"
        if not named or proxy_bypass_environment(authority, proxies):
            return None
        proxy = URL(named if "://" in named else f"http://{named}")
        if proxy.scheme not in {"http", "https"}:
            raise ValueError(f"a proxy over {proxy.scheme} is not supported; use an http:// proxy")
        return proxy


def checked_key(key: str | None) -> str | None:
    """The key without surrounding blanks; ``None`` for none.

    Raises ``ValueError``, without showing the key, when it cannot be a header's value (line
    breaks, blanks, non-ASCII characters from copying).
    """
    bare = (key or "").strip()
    if not bare:
        return None
    if not _HEADER_VALUE.fullmatch(bare):
        raise ValueError("the key holds characters that cannot be part of a key")
    return bare
