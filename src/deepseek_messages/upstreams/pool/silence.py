"""Whether a server that takes requests has fallen silent.

A server that is stuck accepts connections, answers probes, and says nothing to any request: no
deadline is due for minutes. One that thinks long, or reads a long prompt, looks the same to that
one request, but goes on with its other answers. So it is silent only when a request has waited for
its first word for so long, and meanwhile not one word of any answer came from there.
"""

from collections.abc import Callable


class Silence:
    """The requests that wait for a first word, and when a word came last. ``after`` is in seconds;
    0: nobody is ever silent.
    """

    def __init__(self, after: float, clock: Callable[[], float]) -> None:
        self._after = after
        self._clock = clock
        self._waiting: dict[int, float] = {}  # since when, the longest first
        self._requests = 0
        self._heard = 0.0
        # Whether a word came since anybody looked: the time of each would cost more than it tells.
        self.spoke = False

    def wait(self) -> int:
        """A request waits from now on; what to ``end`` it by."""
        self._requests += 1
        self._waiting[self._requests] = self._clock()
        return self._requests

    def end(self, request: int) -> bool:
        """It has got its word, or is given up. Whether it waited in silence."""
        since = self._waiting.pop(request, None)
        return since is not None and self._lasts(since)

    @property
    def lasts(self) -> bool:
        """Whether the server is silent now."""
        return bool(self._waiting) and self._lasts(next(iter(self._waiting.values())))

    def _lasts(self, since: float) -> bool:
        now = self._clock()
        if self.spoke:
            self.spoke, self._heard = False, now
        return self._after > 0 and now - max(since, self._heard) >= self._after
