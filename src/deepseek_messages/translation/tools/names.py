"""Names and ids that every chat server takes, and readable stand-ins for others."""

import hashlib
import re

from deepseek_messages.translation.limits import MAX_TOOL_ID_CHARS, MAX_TOOL_NAME_CHARS

# DeepSeek API reference, create-chat-completion.
_PLAIN_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_NAME_CHARS}}}").fullmatch
_PLAIN_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_ID_CHARS}}}").fullmatch


# Nearly every name and id is letters, digits and underscores of ASCII with no digit first. Python
# calls that an identifier, and tells it in a fraction of the time of a regular expression.


def upstream_name(name: str) -> str:
    """``name`` if every server takes it, otherwise a readable stand-in: always the same one for
    the same name, different for different names.
    """
    if name.isidentifier() and name.isascii() and len(name) <= MAX_TOOL_NAME_CHARS:
        return name
    if _PLAIN_NAME(name):
        return name
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name[:48])}_{_digest(name)[:12]}"


def upstream_id(tool_id: str) -> str:
    """A tool call id inside the upstream's alphabet; calls and results agree by construction."""
    if tool_id.isidentifier() and tool_id.isascii() and len(tool_id) <= MAX_TOOL_ID_CHARS:
        return tool_id
    return tool_id if _PLAIN_ID(tool_id) else f"call_{_digest(tool_id)[:24]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
