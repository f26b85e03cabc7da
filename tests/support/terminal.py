"""A terminal for programs that want one: what they show as text, keys they are sent.

with terminal(start, [...], ...) as window:
    window.shows("Welcome")
    window.type("hello")
    window.press(ENTER)
"""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.gates import WAIT_SECONDS

ENTER, ESCAPE, INTERRUPT, DOWN = "\r", "\x1b", "\x03", "\x1b[B"

ROWS, COLUMNS = 50, 120
ATTEMPTS = 9

# A control sequence (ECMA-48: parameters, then a final byte), an operating system command, a
# two-character escape, or anything that is shown or moves the cursor.
_PIECE = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"
    r"|\x1b[ -/][0-~]|\x1b(?P<escape>[0-~])"
    r"|(?P<plain>[^\x1b])",
    re.DOTALL,
)


class Screen:
    """The characters on a screen, after ECMA-48's common control functions; colours are left
    out.
    """

    def __init__(self, rows: int = ROWS, columns: int = COLUMNS) -> None:
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self._saved = (0, 0)
        self._rest = ""

    @property
    def text(self) -> str:
        """The lines, without blanks at their ends."""
        return "\n".join("".join(line).replace("\xa0", " ").rstrip() for line in self.cells)

    def feed(self, text: str) -> None:
        """What a program wrote; a sequence may be cut anywhere."""
        text, position = self._rest + text, 0
        while found := _PIECE.match(text, position):
            position = found.end()
            if found["plain"]:
                self._put(found["plain"])
            elif found["final"]:
                self._control(found["parameters"], found["final"])
            elif found["escape"] == "7":
                self._saved = (self.row, self.column)
            elif found["escape"] == "8":
                self._move(*self._saved)
        self._rest = text[position:]

    def _put(self, character: str) -> None:
        match character:
            case "\r":
                self.column = 0
            case "\n":
                self._down()
            case "\b":
                self._move(self.row, self.column - 1)
            case "\t":
                self._move(self.row, self.column // 8 * 8 + 8)
            case _ if character >= " ":
                self._show(character)

    def _show(self, character: str) -> None:
        if unicodedata.combining(character):
            return
        if self.column >= self.columns:
            self.column = 0
            self._down()
        self.cells[self.row][self.column] = character
        self.column += 2 if unicodedata.east_asian_width(character) in "WF" else 1

    def _down(self) -> None:
        if self.row == self.rows - 1:
            self.cells = [*self.cells[1:], [" "] * self.columns]
        else:
            self.row += 1

    def _move(self, row: int, column: int) -> None:
        self.row = min(max(row, 0), self.rows - 1)
        self.column = min(max(column, 0), self.columns - 1)

    def _control(self, parameters: str, final: str) -> None:
        if not re.fullmatch(r"[0-9;]*", parameters):
            return  # private modes: mouse, alternate screen, ...
        numbers = [int(each or 0) for each in parameters.split(";")] or [0]
        first = max(numbers[0], 1)
        match final:
            case "A":
                self._move(self.row - first, self.column)
            case "B":
                self._move(self.row + first, self.column)
            case "C":
                self._move(self.row, self.column + first)
            case "D":
                self._move(self.row, self.column - first)
            case "G":
                self._move(self.row, first - 1)
            case "d":
                self._move(first - 1, self.column)
            case "H" | "f":
                self._move(first - 1, max(numbers[1] if len(numbers) > 1 else 1, 1) - 1)
            case "J":
                self._erase_screen(numbers[0])
            case "K":
                self._erase_line(numbers[0])
            case "r":
                self._move(0, 0)

    def _erase_line(self, which: int) -> None:
        start = self.column if which == 0 else 0
        end = self.column + 1 if which == 1 else self.columns
        self.cells[self.row][start:end] = [" "] * (end - start)

    def _erase_screen(self, which: int) -> None:
        if which == 0:
            self._erase_line(0)
        first = self.row + 1 if which == 0 else 0
        last = self.row if which == 1 else self.rows
        for row in range(first, last):
            self.cells[row] = [" "] * self.columns


class Terminal:
    """A program in a window of its own."""

    def __init__(self, process: "subprocess.Popen[Any]", descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._screen = Screen()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What is on the screen now."""
        with self._changed:
            return self._screen.text

    def shows(self, words: str, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until ``words`` are on the screen. Fails with what is there instead."""
        self.until(lambda text: words in text, f"{words!r} on the screen", seconds)

    def until(self, holds: Callable[[str], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the screen's text is as ``holds`` says."""
        with self._changed:
            done = self._changed.wait_for(lambda: holds(self._screen.text), seconds)
            assert done, f"waited for {what}; there is:\n{self._screen.text}"

    def type(self, text: str) -> None:
        """Write text, and wait until it is shown."""
        self.press(text)
        self.shows(text)

    def press(self, keys: str) -> None:
        """Send keys."""
        os.write(self._descriptor, keys.encode())

    def answer(self, keys: str, question: str) -> None:
        """Send keys until ``question`` is gone: a dialog ignores keys in its first moments."""
        with self._changed:
            for attempt in range(ATTEMPTS):  # ever more patient: the next screen has keys, too
                self.press(keys)
                seconds = 0.5 * 2**attempt
                if self._changed.wait_for(lambda: question not in self._screen.text, seconds):
                    return
            raise AssertionError(f"{question!r} is still there:\n{self._screen.text}")

    def ended(self, seconds: float = WAIT_SECONDS) -> int:
        """Wait for the program's end; its exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """End the program and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(WAIT_SECONDS)
        os.close(self._descriptor)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := self._next():
            with self._changed:
                self._screen.feed(decoder.decode(data))
                self._changed.notify_all()

    def _next(self) -> bytes:
        try:
            return os.read(self._descriptor, 65536)
        except OSError:  # Linux: nobody has the other end open
            return b""


@contextmanager
def terminal(
    start: Callable[..., "subprocess.Popen[Any]"], command: list[str], **options: Any
) -> Iterator[Terminal]:
    """Run a program in a terminal until the block ends; ``start`` is ``subprocess.Popen`` or
    works like it.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    options["env"] = options["env"] | {"TERM": "xterm-256color"}
    process = start(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, **options
    )
    os.close(theirs)
    window = Terminal(process, ours)
    try:
        yield window
    finally:
        window.close()
