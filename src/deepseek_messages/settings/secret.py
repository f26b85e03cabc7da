"""A value that must not appear in a log, an error or a page."""

import hmac


class Secret:
    """A string that shows itself only when asked by ``reveal``.

    ``repr`` and ``str`` give ``***``, so formatting a settings tree by mistake is harmless.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("Expected `str`")
        if not value.strip():
            raise ValueError("Expected a non-empty string")
        self._value = value.strip()

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        """``***``, whatever the value."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        """Equal secrets have equal hashes."""
        return hash(("Secret", self._value))
