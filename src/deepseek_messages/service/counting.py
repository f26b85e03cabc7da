"""How many tokens a request's prompt is: by DeepSeek's encoder, by the upstream, or by a guess."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec import Struct

from deepseek_messages.prompt.counting import PromptCount, count_text
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.prompt.estimate import estimate_prompt
from deepseek_messages.prompt.grown import GrownCounter
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.translation.catalogue import Choice, Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.edits import NO_EDITS, Edits
from deepseek_messages.translation.request.request import to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.upstreams.base import Upstream, UpstreamCall
from deepseek_messages.wire.messages import MessagesRequest

# Tokenizing runs outside the interpreter's lock, so threads really work side by side; two keep
# one very long prompt from holding up the short ones.
THREADS = 2

# Claude Code asks for about 25 counts at once; this many sessions may do so at the same time.
MOST_WAITING = 1_000

# Seconds that the first event waits for the prompt's size once the upstream has spoken. Counting
# runs beside the upstream's own work and is nearly always done before it; the size is in the
# last event in any case.
COUNT_GRACE = 0.1

# The same while the tokenizer is being loaded, which takes about half a second.
FIRST_COUNT_GRACE = 1.0

T = TypeVar("T")


class CountResult(Struct, frozen=True, kw_only=True):
    """A prompt's size in tokens; ``exact`` is false for an estimate, and ``notes`` say so."""

    tokens: int
    exact: bool
    notes: Notes
    original_tokens: int | None = None  # before context management, if that cleared something


class TranslatedPrompt:
    """The size of a prompt that is about to be answered."""

    def __init__(self, counter: "Counter", call: UpstreamCall, model: Model, owner: str) -> None:
        self._counter = counter
        self._call = call
        self._size = (
            None
            if model.encoding is None
            else counter.sizes.of(call.request, model.encoding, owner)
        )

    def known(self) -> int | None:
        """The size, if that is quickly told; ``None`` when it is to be counted."""
        size = None if self._size is None else self._size.now()
        return None if size is None else size.tokens

    async def count(self) -> int | None:
        """The size, or ``None`` when nothing better than a guess is known. Raises nothing: the
        upstream's own figure comes at the end of its answer.
        """
        try:
            if self._size is None:
                return await self._counter.upstream.count_tokens(self._call)
            return (await self._counter.in_thread(self._size.whole)).tokens
        except (NotEncodable, UnicodeEncodeError, Refusal, Fault):
            return None


class Counter:
    """Counts prompts, on the event loop only what is quick. ``aclose`` ends its threads."""

    def __init__(self, *, seal: Seal, upstream: Upstream, threads: int = THREADS) -> None:
        self._seal = seal
        self.upstream = upstream
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="count-tokens")
        self._waiting = 0
        self.sizes = GrownCounter()

    async def count(
        self,
        request: MessagesRequest,
        choice: Choice,
        *,
        caller: Caller = NOBODY,
        strict: bool = False,
        edits: Edits = NO_EDITS,
        hosted: Hosted = NOTHING_HOSTED,
        upstream: Upstream | None = None,
    ) -> CountResult:
        """The size of the prompt that ``request`` would become at ``upstream``, which is one of
        several, or at whoever would be asked first. An upstream that is asked gets the caller's
        own key, if that is what it takes. Raises ``Refusal`` for a request that
        could not be served, and (529) when too many counts are waiting.
        """
        notes = Notes(strict=strict)
        seal = self._seal.of(caller.identity)
        dialect = (upstream or self.upstream).dialect
        translation = await self.in_thread(
            lambda: to_chat(request, choice, dialect, notes, seal, edits=edits, hosted=hosted)
        )
        call = UpstreamCall(
            request=translation.chat,
            credential=caller.credential,
            upstream=upstream.name if upstream is not None else None,
        )
        count = await self._measure(call, choice.model, dialect, caller.identity)
        if not count.exact:
            notes.add(Action.ESTIMATED, "input_tokens")
        return CountResult(tokens=count.tokens, exact=count.exact, notes=notes)

    def prompt(self, call: UpstreamCall, model: Model, caller: Caller) -> TranslatedPrompt:
        """The size of a translated prompt. What is remembered of it is ``caller``'s alone."""
        return TranslatedPrompt(self, call, model, caller.identity)

    @property
    def grace(self) -> float:
        """Seconds that are worth waiting for a count: more for the first, which loads the
        tokenizer.
        """
        return COUNT_GRACE if TOKENIZER.is_loaded else FIRST_COUNT_GRACE

    async def count_output(self, text: str, model: Model) -> int | None:
        """The size of what ``model`` wrote, or ``None`` when its vocabulary is not known."""
        if model.encoding is None:
            return None
        try:
            return await self.in_thread(lambda: count_text(text))
        except (UnicodeEncodeError, Refusal):
            return None

    async def aclose(self) -> None:
        """Drop what waits. A count that runs is finished by its thread and thrown away."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _measure(
        self, call: UpstreamCall, model: Model, dialect: Dialect, owner: str
    ) -> PromptCount:
        """The best count there is: the server's own tokenizer where it can be asked, DeepSeek's
        encoder where the model uses it, else a guess.
        """
        if not (model.encoding and dialect.count == "deepseek"):
            tokens = await self._by_upstream(call)
            if tokens is not None:
                return PromptCount(tokens, exact=True)
        if model.encoding is not None:
            try:
                size = self.sizes.of(call.request, model.encoding, owner)
                known = size.now()
                return await self.in_thread(size.whole) if known is None else known
            except (NotEncodable, UnicodeEncodeError):
                pass  # the upstream will say what is wrong with it; a count need not
        guess = await self.in_thread(lambda: estimate_prompt(call.request))
        return PromptCount(guess, exact=False)

    async def _by_upstream(self, call: UpstreamCall) -> int | None:
        try:
            return await self.upstream.count_tokens(call)
        except Fault:
            return None

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What ``work`` comes to in a thread. Raises ``Refusal`` (529) when too much waits."""
        if self._waiting >= MOST_WAITING:
            raise Refusal("too many token counts are waiting", status=529)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
