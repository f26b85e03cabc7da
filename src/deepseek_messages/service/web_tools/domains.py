"""Domain lists of the web tools, as Anthropic documents them: ``example.com`` covers its
subdomains, ``example.com/blog`` what lies below that path.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit


def is_allowed(url: str, allowed: Sequence[str], blocked: Sequence[str]) -> bool:
    """Whether ``url`` passes both lists; an empty list says nothing."""
    if any(_covers(each, url) for each in blocked):
        return False
    return not allowed or any(_covers(each, url) for each in allowed)


def _covers(entry: str, url: str) -> bool:
    domain, _, path = entry.lower().partition("//")[-1 if "//" in entry else 0].partition("/")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    domain = domain.rstrip(".")
    if not domain or not (host == domain or host.endswith(f".{domain}")):
        return False
    place = parts.path.lstrip("/").lower()
    return not path or place == path.rstrip("/") or place.startswith(path.rstrip("/") + "/")
