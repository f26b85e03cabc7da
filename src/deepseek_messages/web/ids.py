"""Names for requests and messages, in the form of Anthropic's."""

import secrets

# 96 random bits, as many as Anthropic's 24 characters of base 58 roughly hold.
RANDOM_BYTES = 12


def request_id() -> str:
    """A new ``req_…``."""
    return "req_" + secrets.token_hex(RANDOM_BYTES)


def message_id() -> str:
    """A new ``msg_…``."""
    return "msg_" + secrets.token_hex(RANDOM_BYTES)
