"""One line of progress on a terminal; a line for each step elsewhere."""

from typing import TextIO

WIDTH = 30
STEPS = {"download": "downloading", "unpack": "unpacking", "load": "loading"}


class ProgressLine:
    """Called as ``line(step, done, total)`` with byte counts (total 0: unknown). On a terminal
    it redraws one line when the whole percentage changes; otherwise it writes a line when a step
    begins. ``end`` finishes the line.
    """

    def __init__(self, out: TextIO, name: str) -> None:
        self._out = out
        self._name = name
        self._terminal = out.isatty()
        self._shown: tuple[str, int] | None = None

    def __call__(self, step: str, done: int, total: int) -> None:
        percent = min(100, done * 100 // total) if total else 0
        shown = (step, percent if self._terminal else 0)
        if shown == self._shown:
            return
        self._shown = shown
        text = f"{STEPS.get(step, step)} {self._name}"
        if self._terminal:
            filled = WIDTH * percent // 100
            bar = "#" * filled + "." * (WIDTH - filled)
            self._out.write(f"\r\x1b[K{text} [{bar}] {percent:3d} %")
        else:
            self._out.write(text + (f" ({total / 1e6:.0f} MB)\n" if total else "\n"))
        self._out.flush()

    def end(self) -> None:
        """Leave the line, so that the next output starts a new one."""
        if self._terminal and self._shown is not None:
            self._out.write("\n")
            self._out.flush()
        self._shown = None
