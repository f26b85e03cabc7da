"""One request as each upstream gets it: translated anew for whoever is asked next."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from deepseek_messages.prompt.estimate import estimate_prompt
from deepseek_messages.service.hedging import open_hedged
from deepseek_messages.service.hosting import ToolRunner
from deepseek_messages.service.prompt_size import PromptCounter, PromptSize
from deepseek_messages.telemetry.record import RequestRecord, Tokens
from deepseek_messages.translation.answer.usage import to_usage
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.base import ChatStream, Upstream, UpstreamCall
from deepseek_messages.upstreams.pool.retries import is_overflow
from deepseek_messages.upstreams.route import Route
from deepseek_messages.wire.messages import Usage


class Attempt(Struct, frozen=True, kw_only=True):
    """A request, ready to be opened at one upstream, and what reading its answer takes."""

    upstream: Upstream
    model: Model
    call: UpstreamCall
    plan: ReplyPlan
    rounds: RoundPlan | None = None
    tools: ToolRunner
    notes: Notes
    counter: PromptCounter
    size: PromptSize | None  # of the prompt, if the answer is to tell it

    def tokens(self) -> int:
        """About how much of the model's context the prompt and the answer may take."""
        chat = self.call.request
        return estimate_prompt(chat) + (chat.max_tokens or chat.max_completion_tokens or 0)


class Attempts:
    """The attempts at one request along its route: one after the other, or two when one is slow."""

    def __init__(
        self,
        route: Route,
        translate: Callable[[Upstream], Awaitable[Attempt]],
        record: RequestRecord,
    ) -> None:
        self.route = route
        self._translate = translate
        self._record = record
        self._overflow: Fault | None = None

    async def first(self) -> Attempt:
        """The request for the first upstream that can say what it serves. Raises ``Fault`` when
        none can, ``Refusal`` for what cannot be answered there.
        """
        while True:
            try:
                attempt = await self._translate(self.route.upstream)
            except Fault as fault:
                if not await self._again(fault):
                    raise
                continue
            if self.route.fits(attempt.model, attempt.tokens):
                return attempt

    async def next(self, fault: Fault) -> Attempt:
        """The request for another try after ``fault``. Raises it when there is none; but first
        of all that the prompt is too long: a client can do something about that. Raises
        ``Refusal`` as ``first``.
        """
        if fault.usage is not None:
            told = to_usage(fault.usage, prompt_tokens=None, output_estimate=0)
            self._record.spend(tokens_of(told))
        if is_overflow(fault):
            self._overflow = fault
        if not await self._again(fault):
            raise self._overflow or fault
        return await self.first()

    async def _again(self, fault: Fault) -> bool:
        """Whether there is another try, which the record then tells of."""
        failed = self.route.upstream.name
        if not await self.route.again(fault):
            return False
        self._record.tried += (f"{failed}={fault.kind.value}",)
        return True

    async def open(self, attempt: Attempt) -> tuple[Attempt, ChatStream]:
        """Open ``attempt``, or the same request at a second upstream that speaks first. Gives the
        one that is open. Raises ``Fault``.

        Only streamed answers are hedged: the first word of a whole one comes with its last.
        """
        if not self.route.hedges or not attempt.call.request.stream:
            return attempt, await attempt.upstream.open(attempt.call)
        answers, stream = await open_hedged(attempt, self.route, self._second)
        self._record.upstream, self._record.model = answers.upstream.name, answers.model.id
        return answers, stream

    async def _second(self, upstream: Upstream) -> Attempt | None:
        """The request for a second upstream; ``None`` when it cannot be asked there."""
        asked = self._record.upstream, self._record.model
        try:
            attempt = await self._translate(upstream)
        except (Fault, Refusal):
            return None
        finally:  # translating tells the record who is asked; it is not known yet who answers
            self._record.upstream, self._record.model = asked
        return attempt if attempt.tokens() <= attempt.model.context_window else None


def tokens_of(usage: Usage) -> Tokens:
    """The same for the record."""
    return Tokens(
        input=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_creation=usage.cache_creation_input_tokens,
        output=usage.output_tokens,
    )
