"""One spelling for every path a client may use for the same thing.

Served under ``/anthropic`` (DeepSeek's base URL for Anthropic clients) and at the root alike;
with or without ``/v1`` (the Vercel AI SDK wants it in the base URL, others add it themselves),
with doubled and trailing slashes (clients join base URL and path carelessly).
"""

import re

PREFIX = "/anthropic"

SLASHES = re.compile("/{2,}")

# First segments that belong under /v1.
VERSIONED = ("/messages", "/models")


def normalise(path: str) -> str:
    """The path as the routes spell it."""
    path = SLASHES.sub("/", path).rstrip("/") or "/"
    if path == PREFIX or path.startswith(PREFIX + "/"):
        path = path.removeprefix(PREFIX) or "/"
    if path.startswith("/v1/v1/"):
        path = path.removeprefix("/v1")
    if path in VERSIONED or path.startswith(tuple(each + "/" for each in VERSIONED)):
        path = "/v1" + path
    return path


# The spellings in use of the one path that is worth a short cut, as they stand in a request line.
MESSAGES = "/v1/messages"
MESSAGES_SPELLINGS = frozenset(
    {b"/v1/messages", b"/anthropic/v1/messages", b"/messages", b"/anthropic/messages"}
)
