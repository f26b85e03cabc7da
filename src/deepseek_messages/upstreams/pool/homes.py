"""Which server was last given a prompt that begins in a certain way."""

from collections import OrderedDict
from collections.abc import Sequence

# Some hundred bytes each. A server's cache forgets sooner.
MOST = 10_000


class Homes:
    """Remembers the servers of long beginnings, the last used longest. A process's own: where
    nothing is remembered, hashing decides (``balance``), which is the same in every process.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._homes: OrderedDict[bytes, str] = OrderedDict()

    def of(self, prefixes: Sequence[bytes]) -> str | None:
        """The server of the longest of ``prefixes`` (given shortest first) that is remembered."""
        return next((self._homes[each] for each in reversed(prefixes) if each in self._homes), None)

    def remember(self, prefixes: Sequence[bytes], server: str) -> None:
        """``server`` gets a prompt that begins so."""
        for each in prefixes:
            self._homes[each] = server
            self._homes.move_to_end(each)
        while len(self._homes) > self._most:
            self._homes.popitem(last=False)
