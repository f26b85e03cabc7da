"""Blocks of types that nobody knows, kept where clients replay them without knowing them either: in
earlier answers and in results of tools.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct

from deepseek_messages.wire.content import ContentBlock, ToolResultContent

_object = msgspec.json.Decoder(dict[str, Raw])
_objects = msgspec.json.Decoder(list[dict[str, Raw]])
_items = msgspec.json.Decoder(list[Raw])


class _Kind(Struct, frozen=True, gc=False):
    """Nothing of a block but its type."""

    type: str | None = None


_kind = msgspec.json.Decoder(_Kind)


def _tags(union: object) -> frozenset[str]:
    return frozenset(struct.__struct_config__.tag for struct in getattr(union, "__args__", ())) - {
        "unknown"
    }


_RESULT_TAGS = _tags(ToolResultContent)
_BLOCK_TAGS = _tags(ContentBlock)


def may_be_unknown_block(error: str) -> bool:
    """Whether msgspec may have refused a body for nothing else."""
    return error.startswith("Invalid value") and ".content[" in error


def mark_unknown_blocks(body: bytes) -> bytes:
    """The body with blocks of unknown types wrapped, in assistant messages and tool results."""
    request = _object.decode(body)
    request["messages"] = Raw(marked_messages(request["messages"]))
    return msgspec.json.encode(request)


def marked_messages(data: bytes | Raw) -> bytes:
    """A list of messages with its unknown blocks wrapped."""
    messages = _objects.decode(data)
    for message in messages:
        if not _is_list(message.get("content")):
            continue
        assistant = bytes(message.get("role", b"")) == b'"assistant"'
        blocks = _items.decode(message["content"])
        message["content"] = _list([_marked(block, assistant) for block in blocks])
    return msgspec.json.encode(messages)


def _marked(block: Raw, assistant: bool) -> Raw:
    kind = _type_of(block)
    if kind == "tool_result":
        fields = _object.decode(block)
        if not _is_list(fields.get("content")):
            return block
        inner = [
            _wrapped(item, _type_of(item), _RESULT_TAGS)
            for item in _items.decode(fields["content"])
        ]
        return Raw(msgspec.json.encode({**fields, "content": _list(inner)}))
    return _wrapped(block, kind, _BLOCK_TAGS) if assistant else block


def _wrapped(block: Raw, kind: str | None, known: frozenset[str]) -> Raw:
    if kind is None or kind in known:
        return block
    return Raw(msgspec.json.encode({"type": "unknown", "original_type": kind, "raw": block}))


def _type_of(block: Raw) -> str | None:
    """The ``type`` of a block, if it is an object that has one."""
    try:
        return _kind.decode(block).type
    except msgspec.ValidationError:
        return None


def _is_list(value: Raw | None) -> bool:
    return value is not None and bytes(value).lstrip().startswith(b"[")


def _list(items: Sequence[Raw]) -> Raw:
    return Raw(msgspec.json.encode(items))
