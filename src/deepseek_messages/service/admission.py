"""How many answers are made at one time, and what the caller above that hears."""

from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.places import OwnPlaces, Places

# Seconds after which a refused caller may ask again. Anthropic's 529 carries no such time; the
# official SDKs wait exactly as long as they are told, else 0.5 s doubling.
RETRY_AFTER = 1.0

ANSWERS = "answers"


class Admission:
    """Counts answers in the making. Not a queue: whoever does not fit hears so at once.
    ``per_caller`` of them may be one caller's; 0: as many as there are.
    """

    def __init__(self, limit: int, per_caller: int = 0, places: Places | None = None) -> None:
        self._limit = limit
        self._per_caller = per_caller
        self._places = places or OwnPlaces()

    @property
    def open(self) -> int:
        """How many answers are made now."""
        return self._places.held(ANSWERS)

    def enter(self, identity: str = "") -> None:
        """Take a place. Raises ``Refusal``: 529 ``overloaded_error`` when none is free, 429
        ``rate_limit_error`` when the caller of that identity has its share.
        """
        if not self._places.take(ANSWERS, self._limit):
            raise Refusal(
                "This server is at its limit of concurrent requests. Please try again.",
                status=529,
                retry_after=RETRY_AFTER,
            )
        if not (self._per_caller and identity):
            return
        if not self._places.take(_of(identity), self._per_caller):
            self._places.give_back(ANSWERS)
            raise Refusal(
                f"This key has {self._per_caller} requests in progress, which is its limit."
                " Please try again.",
                status=429,
                retry_after=RETRY_AFTER,
            )

    def leave(self, identity: str = "") -> None:
        """Give the place back."""
        self._places.give_back(ANSWERS)
        if self._per_caller and identity:
            self._places.give_back(_of(identity))


def _of(identity: str) -> str:
    return f"caller {identity}"
