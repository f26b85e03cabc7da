"""Stop sequences found in the text, for upstreams that cannot take or report them."""

import re
from collections.abc import Sequence


class StopWatch:
    """Looks for stop sequences in a text that arrives in pieces.

    Text that may be the beginning of a match is held back until it is certain: at most one
    character less than the longest sequence. The earliest match wins; of those that begin at
    the same place, the one the client named first. After a match everything is swallowed.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        sequences = [sequence for sequence in sequences if sequence]
        self._pattern = re.compile("|".join(map(re.escape, sequences)))
        self._sequences = sequences
        self._longest = max(map(len, sequences), default=0)
        self._firsts = frozenset(sequence[0] for sequence in sequences)
        self._held = ""
        self.matched: str | None = None

    def passes(self, text: str) -> bool:
        """Whether ``feed`` would return ``text`` unchanged, since no match can begin in it."""
        return not self._held and self.matched is None and self._firsts.isdisjoint(text)

    def feed(self, text: str) -> str:
        """Take text; return what can be shown."""
        if self.matched is not None or not self._sequences:
            return "" if self.matched is not None else text
        text = self._held + text
        start = self._open_match(text)
        found = self._pattern.search(text)
        if found and found.start() < start:
            self.matched, self._held = found[0], ""
            return text[: found.start()]
        if found and found.start() == start and self._certain(text, found[0]):
            self.matched, self._held = found[0], ""
            return text[:start]
        self._held = text[start:]
        return text[:start]

    def flush(self) -> str:
        """The text ended: what was held back, up to a match that only waited for a longer one."""
        held, self._held = self._held, ""
        if self.matched is None and self._sequences and (found := self._pattern.search(held)):
            self.matched = found[0]
            return held[: found.start()]
        return held

    def _open_match(self, text: str) -> int:
        """Where the earliest match begins that the end of the text cuts off."""
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            tail = text[start:]
            if any(len(tail) < len(s) and s.startswith(tail) for s in self._sequences):
                return start
        return len(text)

    def _certain(self, text: str, found: str) -> bool:
        """Whether no sequence that the client named earlier may still match at the same place."""
        tail = text[text.index(found, max(0, len(text) - self._longest + 1)) :]
        earlier = self._sequences[: self._sequences.index(found)]
        return not any(len(s) > len(tail) and s.startswith(tail) for s in earlier)
