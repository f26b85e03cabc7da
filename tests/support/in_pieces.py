"""Bodies of any size, decoded as large ones are, to compare with what one call makes of them."""

import pytest

from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import large, parse, structure
from deepseek_messages.translation.request.parse import parse_request
from deepseek_messages.wire.messages import MessagesRequest


def decode_in_pieces(patch: pytest.MonkeyPatch) -> None:
    """From now on every body is large, and is decoded in very small pieces."""
    patch.setattr(parse, "LARGE_BODY", 0)
    patch.setattr(parse, "MAX_SETTINGS_VALUES", 0)
    patch.setattr(structure, "SLICE", 7)
    for name, value in {
        "SLICE": 7,
        "ONE_CALL_VALUES": 0,
        "ONE_CALL_BYTES": 0,
        "_BATCH_BYTES": 60,
        "_BATCH_ITEMS": 2,
    }.items():
        patch.setattr(large, name, value)


def outcome(data: bytes) -> MessagesRequest | str:
    """The request in ``data``, or why it is refused."""
    try:
        return parse_request(data, counting=True)
    except Refusal as refusal:
        return refusal.message


def whole(data: bytes) -> MessagesRequest | str:
    """``outcome`` by one call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "LARGE_BODY", len(data))
        return outcome(data)
