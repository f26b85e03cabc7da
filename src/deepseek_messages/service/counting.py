"""How many tokens a request's prompt is: by DeepSeek's encoder, by the upstream, or by a guess."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TypeVar

from msgspec import Struct
from msgspec.json import encode

from deepseek_messages.prompt.counting import PromptCount, count_text, measure_prompt
from deepseek_messages.prompt.encoding import NotEncodable
from deepseek_messages.prompt.estimate import estimate_prompt
from deepseek_messages.prompt.tokenizer import TOKENIZER
from deepseek_messages.service.callers import NOBODY, Caller
from deepseek_messages.translation.catalogue import Choice, Encoding, Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.edits import NO_EDITS, Edits
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import to_chat
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.server_tools import NOTHING_HOSTED, Hosted
from deepseek_messages.upstreams.base import Upstream, UpstreamCall
from deepseek_messages.wire.chat import ChatRequest
from deepseek_messages.wire.messages import MessagesRequest

# Tokenizing runs outside the interpreter's lock, so threads really work side by side; two keep
# one very long prompt from holding up the short ones.
THREADS = 2

# Characters and messages of a conversation whose size is remembered as a whole, and how many sizes
# are: about 100 bytes for each.
SMALL_PROMPT = 16 * 1024
MOST_MESSAGES = 16
MOST_KNOWN = 4096

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


class KnownCounts:
    """Sizes of small prompts that were counted before, by their digests: programs ask the same
    again, and a thread that looks up every piece of such a prompt costs more than the request.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def get(self, chat: ChatRequest, encoding: Encoding) -> int | None:
        """The size, if it is known."""
        key = _digest(chat, encoding)
        return self._counts.get(key) if key is not None else None

    def keep(self, chat: ChatRequest, encoding: Encoding, tokens: int) -> None:
        """Remember a size."""
        if (key := _digest(chat, encoding)) is not None:
            self._counts[key] = tokens
            if len(self._counts) > MOST_KNOWN:
                self._counts.popitem(last=False)


def _digest(chat: ChatRequest, encoding: Encoding) -> bytes | None:
    if chat.tools or not _is_small(chat):
        return None
    try:
        return blake2b(encode(chat), digest_size=16, key=encoding.encode()).digest()
    except UnicodeEncodeError:
        return None


def _is_small(chat: ChatRequest) -> bool:
    """A look that costs nothing, also for a long conversation."""
    if len(chat.messages) > MOST_MESSAGES:
        return False
    texts = [message.content for message in chat.messages]
    return (
        sum(len(text) if isinstance(text, str) else SMALL_PROMPT for text in texts) < SMALL_PROMPT
    )


class Counter:
    """Counts prompts, never on the event loop. ``aclose`` ends its threads."""

    def __init__(self, *, seal: Seal, upstream: Upstream, threads: int = THREADS) -> None:
        self._seal = seal
        self._upstream = upstream
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="count-tokens")
        self._waiting = 0
        self._known = KnownCounts()

    async def count(
        self,
        request: MessagesRequest,
        choice: Choice,
        *,
        caller: Caller = NOBODY,
        strict: bool = False,
        edits: Edits = NO_EDITS,
        hosted: Hosted = NOTHING_HOSTED,
    ) -> CountResult:
        """The size of the prompt that ``request`` would become. An upstream that is asked gets
        the caller's own key, if that is what it takes. Raises ``Refusal`` for a request that
        could not be served, and (529) when too many counts are waiting.
        """
        notes = Notes(strict=strict)
        seal = self._seal.of(caller.identity)
        translation = await self._in_thread(
            lambda: to_chat(
                request, choice, self._upstream.dialect, notes, seal, edits=edits, hosted=hosted
            )
        )
        call = UpstreamCall(request=translation.chat, credential=caller.credential)
        count = await self._measure(call, choice.model)
        if not count.exact:
            notes.add(Action.ESTIMATED, "input_tokens")
        return CountResult(tokens=count.tokens, exact=count.exact, notes=notes)

    async def count_chat(self, call: UpstreamCall, model: Model) -> int | None:
        """The size of a translated prompt, or ``None`` when nothing better than a guess is known.
        Raises nothing: the upstream's own figure comes at the end of its answer.
        """
        try:
            if model.encoding is None:
                return await self._upstream.count_tokens(call)
            tokens = (await self._by_encoder(call.request, model.encoding)).tokens
        except (NotEncodable, UnicodeEncodeError, Refusal, Fault):
            return None
        self._known.keep(call.request, model.encoding, tokens)
        return tokens

    def known(self, call: UpstreamCall, model: Model) -> int | None:
        """What ``count_chat`` said of the same small prompt; ``None`` when it is to be asked."""
        return None if model.encoding is None else self._known.get(call.request, model.encoding)

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
            return await self._in_thread(lambda: count_text(text))
        except (UnicodeEncodeError, Refusal):
            return None

    async def aclose(self) -> None:
        """Drop what waits. A count that runs is finished by its thread and thrown away."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _measure(self, call: UpstreamCall, model: Model) -> PromptCount:
        """The best count there is: the server's own tokenizer where it can be asked, DeepSeek's
        encoder where the model uses it, else a guess.
        """
        if not (model.encoding and self._dialect.count == "deepseek"):
            tokens = await self._by_upstream(call)
            if tokens is not None:
                return PromptCount(tokens, exact=True)
        if model.encoding is not None:
            try:
                return await self._by_encoder(call.request, model.encoding)
            except (NotEncodable, UnicodeEncodeError):
                pass  # the upstream will say what is wrong with it; a count need not
        guess = await self._in_thread(lambda: estimate_prompt(call.request))
        return PromptCount(guess, exact=False)

    @property
    def _dialect(self) -> Dialect:
        return self._upstream.dialect

    async def _by_upstream(self, call: UpstreamCall) -> int | None:
        try:
            return await self._upstream.count_tokens(call)
        except Fault:
            return None

    async def _by_encoder(self, chat: ChatRequest, encoding: Encoding) -> PromptCount:
        return await self._in_thread(lambda: measure_prompt(chat, encoding))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Refusal("too many token counts are waiting", status=529)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
