"""Lines on their way to a log. Those that can wait are written together, in their order."""

import asyncio
from typing import TextIO

# Seconds that a line may wait, and how many may.
LONGEST_WAIT = 0.05
MOST_WAITING = 256


class Lines:
    """Writes to ``out``. ``later`` keeps a line for a moment where an event loop runs, so that a
    busy server makes one system call for many; whatever else is written goes out behind it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def later(self, line: str) -> None:
        """Write ``line`` soon."""
        self._waiting.append(line)
        if len(self._waiting) >= MOST_WAITING:
            self.flush()
        elif self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.flush()
            else:
                self._timer = loop.call_later(LONGEST_WAIT, self.flush)

    def write(self, text: str) -> None:
        """Write ``text`` now, behind what waits."""
        self.flush()
        self._out.write(text)

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._waiting = self._waiting, []
        if not self._out.closed:
            if lines:
                self._out.write("".join(lines))
            self._out.flush()

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._out.isatty()
