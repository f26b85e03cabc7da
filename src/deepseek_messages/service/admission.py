"""How many answers are made at one time, and what the caller above that hears."""

from deepseek_messages.translation.refusals import Refusal

# Seconds after which a refused caller may ask again. Anthropic's 529 carries no such time; the
# official SDKs wait exactly as long as they are told, else 0.5 s doubling.
RETRY_AFTER = 1.0


class Admission:
    """Counts answers in the making. Not a queue: whoever does not fit hears so at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.open = 0

    def enter(self) -> None:
        """Take a place. Raises ``Refusal`` (529 ``overloaded_error``) when none is free."""
        if self.open >= self._limit:
            raise Refusal(
                "This server is at its limit of concurrent requests. Please try again.",
                status=529,
                retry_after=RETRY_AFTER,
            )
        self.open += 1

    def leave(self) -> None:
        """Give the place back."""
        self.open -= 1
