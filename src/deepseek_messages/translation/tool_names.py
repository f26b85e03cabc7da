"""Names and ids that every chat server takes, and readable stand-ins for others."""

import hashlib
import re

from deepseek_messages.translation.limits import MAX_TOOL_ID_CHARS, MAX_TOOL_NAME_CHARS

# DeepSeek API reference, create-chat-completion.
_PLAIN_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_NAME_CHARS}}}").fullmatch
_PLAIN_ID = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_ID_CHARS}}}").fullmatch


def upstream_name(name: str) -> str:
    """``name`` if every server takes it, otherwise a readable stand-in: always the same one for
    the same name, different for different names.
    """
    if (_is_word(name) and len(name) <= MAX_TOOL_NAME_CHARS) or _PLAIN_NAME(name):
        return name
    return f"{re.sub(r'[^a-zA-Z0-9_-]', '_', name[:48])}_{_digest(name)[:12]}"


def upstream_id(tool_id: str) -> str:
    """A tool call id inside the upstream's alphabet; calls and results agree by construction."""
    if (_is_word(tool_id) and len(tool_id) <= MAX_TOOL_ID_CHARS) or _PLAIN_ID(tool_id):
        return tool_id
    return f"call_{_digest(tool_id)[:24]}"


def _is_word(text: str) -> bool:
    """Letters, digits and underscores of ASCII, with no digit first. Nearly every name and id is
    one, and this is told in a fraction of the time that a regular expression takes.
    """
    return text.isascii() and text.isidentifier()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
