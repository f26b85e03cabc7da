"""One request as each upstream gets it: translated anew for whoever is asked next."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from deepseek_messages.prompt.estimate import estimate_prompt
from deepseek_messages.service.cut import CountText
from deepseek_messages.service.hosting import ToolRunner
from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.upstreams.base import Upstream, UpstreamCall
from deepseek_messages.upstreams.retries import is_overflow
from deepseek_messages.upstreams.route import Route


class Attempt(Struct, frozen=True, kw_only=True):
    """A request, ready to be opened at one upstream, and what reading its answer takes."""

    upstream: Upstream
    model: Model
    call: UpstreamCall
    plan: ReplyPlan
    rounds: RoundPlan | None = None
    tools: ToolRunner
    notes: Notes
    count: Callable[[], Awaitable[int | None]] | None
    count_output: CountText
    grace: Callable[[], float]

    def tokens(self) -> int:
        """About how much of the model's context the prompt and the answer may take."""
        chat = self.call.request
        return estimate_prompt(chat) + (chat.max_tokens or chat.max_completion_tokens or 0)


class Attempts:
    """The attempts at one request, one after the other, along its route."""

    def __init__(self, route: Route, translate: Callable[[Upstream], Awaitable[Attempt]]) -> None:
        self.route = route
        self._translate = translate
        self._overflow: Fault | None = None

    async def first(self) -> Attempt:
        """The request for the first upstream that can say what it serves. Raises ``Fault`` when
        none can, ``Refusal`` for what cannot be answered there.
        """
        while True:
            try:
                attempt = await self._translate(self.route.upstream)
            except Fault as fault:
                if not await self.route.again(fault):
                    raise
                continue
            if self.route.fits(attempt.model, attempt.tokens):
                return attempt

    async def next(self, fault: Fault) -> Attempt:
        """The request for another try after ``fault``. Raises it when there is none; but first
        of all that the prompt is too long: a client can do something about that.
        """
        if is_overflow(fault):
            self._overflow = fault
        if not await self.route.again(fault):
            raise self._overflow or fault
        return await self.first()
