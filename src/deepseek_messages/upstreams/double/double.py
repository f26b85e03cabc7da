"""The double itself: its script, its rules, and what it saw."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deepseek_messages.upstreams.double.answers import echo
from deepseek_messages.upstreams.double.cache import PrefixCache
from deepseek_messages.upstreams.double.errors import Refused
from deepseek_messages.upstreams.double.models import CURRENT, Hosted
from deepseek_messages.upstreams.double.rules import Accepted
from deepseek_messages.upstreams.double.script import Answer, Step, steps

Outcome = Literal["whole", "refused", "cut", "client gone", "script error"]

# How many requests are remembered: enough for any test, and a bound for a demo.
MAX_SEEN = 10_000


@dataclass(eq=False)
class Seen:
    """A request the double got. ``body`` is its JSON, or ``None`` if it had none; ``prompt`` and
    the token counts are there when it was accepted. ``outcome`` and ``problem`` are final once
    ``ended`` is set.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes = b""
    body: dict[str, Any] | None = None
    key: str = ""
    prompt: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    max_tokens: int = 0
    thinking: bool = False
    refused: Refused | None = None
    outcome: Outcome | None = None
    problem: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_chat(self) -> bool:
        """Whether it asked for a chat completion."""
        return self.path.endswith("/chat/completions")


Respond = Callable[[Seen], Answer | None]


class Double:
    """A scripted, strict DeepSeek.

    ``script`` holds one answer per accepted chat request, in order. ``respond`` is asked when
    the script is used up (or has nothing); ``None`` from it, or no ``respond``, means the echo.
    ``models`` are the names it serves. With ``usage_chunk`` a stream with ``include_usage`` has
    its usage in an extra chunk without choices, as other gateways send it.
    """

    def __init__(
        self,
        script: Iterable[Answer] = (),
        *,
        respond: Respond | None = None,
        models: Mapping[str, Hosted] = CURRENT,
        usage_chunk: bool = False,
        enlarged_models: bool = True,
    ) -> None:
        self.models = models
        self.usage_chunk = usage_chunk
        self.enlarged_models = enlarged_models
        self.cache = PrefixCache()
        self._script: deque[Answer] = deque(script)
        self._respond = respond
        self._seen: deque[Seen] = deque(maxlen=MAX_SEEN)
        self._changed = threading.Condition()

    # --- what a test says and asks ----------------------------------------------------------------

    def expect(self, *answers: Answer) -> None:
        """Add answers to the script."""
        self._script.extend(answers)

    @property
    def pending(self) -> int:
        """How many scripted answers were not asked for yet."""
        return len(self._script)

    @property
    def requests(self) -> list[Seen]:
        """The chat requests so far, in order, the refused ones too."""
        return [seen for seen in self._seen if seen.is_chat]

    @property
    def everything(self) -> list[Seen]:
        """Every request so far, in order."""
        return list(self._seen)

    @property
    def refusals(self) -> list[Seen]:
        """The requests it answered with an error of its own (not a scripted one)."""
        return [seen for seen in self._seen if seen.refused is not None]

    def request(self, number: int = 0, *, seconds: float = 120.0) -> Seen:
        """The n-th chat request; waits for it. Raises ``TimeoutError``."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) > number, seconds):
                raise TimeoutError(f"chat request {number} never came")
            return self.requests[number]

    def clear(self) -> None:
        """Forget requests, script and cache."""
        self._seen.clear()
        self._script.clear()
        self.cache.clear()

    # --- what the server asks ---------------------------------------------------------------------

    def saw(self, seen: Seen) -> None:
        """Record a request."""
        with self._changed:
            self._seen.append(seen)
            self._changed.notify_all()

    def answer(self, seen: Seen, accepted: Accepted) -> list[Step]:
        """What to answer to an accepted request."""
        if self._script:
            return steps(self._script.popleft())
        chosen = self._respond(seen) if self._respond else None
        return echo(accepted.body) if chosen is None else steps(chosen)
