"""Names for requests and messages, in the form of Anthropic's."""

import os

# 96 random bits, as many as Anthropic's 24 characters of base 58 roughly hold.
RANDOM_BYTES = 12

# Names for which randomness is fetched at once: a system call for each is a measurable cost.
AT_ONCE = 256


class _Random:
    """Random bytes of the operating system, in hexadecimal digits."""

    def __init__(self) -> None:
        self._names: list[str] = []
        # Two processes must never give the same names.
        os.register_at_fork(after_in_child=self._names.clear)

    def name(self) -> str:
        if not self._names:
            digits = os.urandom(RANDOM_BYTES * AT_ONCE).hex()
            size = 2 * RANDOM_BYTES
            self._names += [digits[at : at + size] for at in range(0, len(digits), size)]
        return self._names.pop()


_random = _Random()


def request_id() -> str:
    """A new ``req_…``."""
    return "req_" + _random.name()


def message_id() -> str:
    """A new ``msg_…``."""
    return "msg_" + _random.name()
