"""What happens to text on its way: think tags, leaked tool mark-up, stop sequences.

Each stage holds back only what it cannot judge yet. Stages that a request cannot need are not
built, so that plain text passes at no cost.
"""

from msgspec import Struct

from deepseek_messages.translation.answer.dsml import DsmlRescue, FoundCall
from deepseek_messages.translation.answer.stops import StopWatch
from deepseek_messages.translation.answer.thinktags import ThinkTags
from deepseek_messages.translation.plan import ReplyPlan


class Reasoning(Struct, frozen=True):
    """Reasoning that stood in the text."""

    text: str


Piece = str | Reasoning | FoundCall


class TextPath:
    """Takes the upstream's text, gives the pieces it stands for, in order."""

    def __init__(self, plan: ReplyPlan) -> None:
        self._echo = plan.prefill if plan.prefill_echoed else ""
        self._tags: ThinkTags | None = ThinkTags(inside=plan.starts_thinking)
        if plan.prefill:
            self._tags = None  # the answer's start lies before what comes now
        self._dsml = DsmlRescue(plan.tools) if plan.tools else None
        # What the upstream was sent and cuts out itself never shows up in the text; looking for
        # all of them finds those that it was not sent.
        watched = plan.watch_stops or (() if plan.reports_stop_string else plan.stop_sequences)
        self._stops = StopWatch(watched) if watched else None
        self._echoed = ""

    @property
    def stopped(self) -> str | None:
        """The stop sequence that was found; nothing comes after it."""
        return self._stops.matched if self._stops else None

    def passes(self, text: str) -> bool:
        """Whether ``feed`` would return just ``text``."""
        return (
            self._tags is None
            and (self._dsml is None or self._dsml.passes(text))
            and (self._stops is None or self._stops.passes(text))
            and not self._echo
        )

    @property
    def guarded(self) -> bool:
        """Whether text is looked through for the mark-up of tool calls."""
        return self._dsml is not None

    @property
    def is_open(self) -> bool:
        """Whether all text that holds no such mark-up passes now."""
        return (
            self._tags is None
            and self._stops is None
            and not self._echo
            and (self._dsml is None or self._dsml.passes("-"))
        )

    def passes_each(self, texts: list[str]) -> bool:
        """Whether ``feed`` would return just each of ``texts``, one after the other."""
        if self._dsml is None and self._stops is None:
            return self._tags is None and not self._echo
        return all(map(self.passes, texts))

    def feed(self, text: str) -> list[Piece]:
        """Take text; return what is certain."""
        if self._echo:
            text = self._after_echo(text)
        if self._tags is None:
            return self._after_tags(text)
        reasoning, text = self._tags.feed(text)
        if self._tags.passing:
            self._tags = None
        pieces: list[Piece] = [Reasoning(reasoning)] if reasoning else []
        return pieces + self._after_tags(text)

    def skip_tags(self) -> list[Piece]:
        """Reasoning came in a field of its own: tags in the text are text from here on."""
        if self._tags is None:
            return []
        reasoning, text = self._tags.flush()
        self._tags = None
        pieces: list[Piece] = [Reasoning(reasoning)] if reasoning else []
        return pieces + self._after_tags(text)

    def flush(self, *, truncated: bool = False) -> list[Piece]:
        """The text ended, or something else comes next: give what was held back."""
        pieces: list[Piece] = []
        if self._echo:
            text, self._echo, self._echoed = self._echoed, "", ""
            pieces += self.feed(text)
        pieces += self.skip_tags()
        if self._dsml:
            pieces += self._watched(self._dsml.flush(truncated=truncated))
        if self._stops and (text := self._stops.flush()):
            pieces.append(text)
        return pieces

    def _after_tags(self, text: str) -> list[Piece]:
        if not text:
            return []
        return self._watched(self._dsml.feed(text) if self._dsml else [text])

    def _watched(self, pieces: list[str | FoundCall]) -> list[Piece]:
        if self._stops is None:
            return list(pieces)
        watched: list[Piece] = []
        for piece in pieces:
            if self._stops.matched is not None:
                break
            plain = isinstance(piece, str)
            shown = self._stops.feed(piece) if isinstance(piece, str) else self._stops.flush()
            if shown:
                watched.append(shown)
            if not plain and self._stops.matched is None:
                watched.append(piece)
        return watched

    def _after_echo(self, text: str) -> str:
        """Drop the prefill where the upstream repeats it."""
        text = self._echoed + text
        if len(text) < len(self._echo) and self._echo.startswith(text):
            self._echoed = text
            return ""
        echo, self._echo, self._echoed = self._echo, "", ""
        return text.removeprefix(echo)
