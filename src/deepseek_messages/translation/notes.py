"""What a translation changed, in a short stable vocabulary.

Every dropped, replaced, emulated, repaired or clamped part of a request becomes one ``Note``.
They travel in the ``deepseek-messages-notes`` response header and in the log. In strict mode a
note whose action loses meaning becomes a 400 that names the path instead.
"""

from enum import Enum

from msgspec import Struct

from deepseek_messages.translation.refusals import Refusal


class Action(Enum):
    """What was done. The first group keeps the meaning, the second loses some of it."""

    __hash__ = object.__hash__  # there is one of each; ``Enum`` hashes its name, in Python

    MAPPED = "mapped"  # a name was exchanged for the one that is served
    EMULATED = "emulated"  # done here because the upstream cannot
    CLAMPED = "clamped"  # a number was moved into the upstream's range
    REPAIRED = "repaired"  # an invalid history or schema was made valid
    IGNORED = "ignored"  # accepted without effect, and none is needed

    REPLACED = "replaced"  # a text note stands where something unusable was
    DROPPED = "dropped"  # left out
    ESTIMATED = "estimated"  # a count that could not be made exactly


LOSSY = frozenset({Action.REPLACED, Action.DROPPED})


class Note(Struct, frozen=True):
    """``what`` is a word of the vocabulary (``image``, ``top_k``, ``tool_choice`` …), ``path``
    where it was (``messages.3.content.0``).
    """

    action: Action
    what: str
    path: str = ""

    def __str__(self) -> str:
        """``replaced=image@messages.3.content.0``, as it stands in the header."""
        return f"{self.action.value}={self.what}" + (f"@{self.path}" if self.path else "")


class Notes:
    """Collects the notes of one request; with ``strict``, refuses instead of losing meaning."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.entries: list[Note] = []
        self.seen: set[tuple[Action, str]] = set()

    def add(self, action: Action, what: str, path: str = "") -> None:
        """Record a change. Raises ``Refusal`` (400, naming ``path``) in strict mode when the
        action loses meaning.
        """
        if self.strict and action in LOSSY:
            raise Refusal(f"{what} is not supported by the selected model (strict mode)", path=path)
        self.entries.append(Note(action, what, path))

    def once(self, action: Action, what: str, path: str = "") -> None:
        """Like ``add``, but keeps only the first place: for what recurs through a history."""
        if (action, what) not in self.seen:
            self.seen.add((action, what))
            self.add(action, what, path)

    def take(self, other: "Notes") -> None:
        """All that ``other`` collected, as if it had been told here."""
        for note in other.entries:
            tell = self.once if (note.action, note.what) in other.seen else self.add
            tell(note.action, note.what, note.path)
