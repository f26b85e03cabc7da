"""An answer that takes several calls of the upstream, as one lawful stream.

``Rounds`` stands where a ``MessageStream`` stands. It has one stream for each call and decides,
when a call ends, what comes next:

    CALL ──▶ ENDED                 the answer is whole
      │────▶ CALL                  a try that is not what was asked for is made again
      └────▶ TOOLS ──▶ CALL        tools of this server were called: run them, ask again

What the client must not see of a failed try is held back until it is known to be good:

* A forced call (``tool_choice`` any or tool): everything until the right tool's call begins. A
  second try asks for it in words, without thinking; a third asks for the arguments as JSON. An
  answer that the token limit, a stop sequence or a refusal ended stays as it is.
* Structured output: the text until it is valid, unless the upstream holds itself to the schema and
  the client streams: then it is passed on as it comes. A second try shows the model what was
  wrong. JSON that the token limit cut is given as it is; ``max_tokens`` says why.

Usage is the sum over all calls, failed tries included: they were made and paid for.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec.structs import replace

from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.hosted.hosted_calls import HostedCalls
from deepseek_messages.translation.hosted.one_round import OneRound, Seen
from deepseek_messages.translation.hosted.round_parts import PendingTool, read_call, total
from deepseek_messages.translation.hosted.server_tools import Outcome
from deepseek_messages.translation.hosted.structured import plain_json
from deepseek_messages.translation.hosted.tries import (
    ask_for_json,
    can_emulate,
    fits,
    insist,
    repair,
)
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.tools.names import upstream_id
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatChunk,
    ChatDelta,
    ChatMessage,
    ChatRequest,
    ChatUsage,
    ChunkChoice,
    FunctionCall,
    FunctionDelta,
    ToolCall,
    ToolCallDelta,
)
from deepseek_messages.wire.events import (
    ErrorEvent,
    MessageDelta,
    MessageDeltaBody,
    MessageStop,
    StreamEvent,
)
from deepseek_messages.wire.messages import StopReason, Usage

# Anthropic, "Server tools": the loop pauses after 10 calls of the model (``pause_turn``).
MAX_ROUNDS = 10

# The ends of a call that say by themselves why the answer is not what was asked for.
_EXCUSED: frozenset[StopReason | None] = frozenset(
    {"max_tokens", "model_context_window_exceeded", "refusal", "stop_sequence"}
)

NOT_CALLED = "the model did not call the tool that tool_choice asks for"


class Need(Enum):
    """What must be done next."""

    CALL = "call"  # open ``chat`` and feed what comes
    TOOLS = "tools"  # run what is ``waiting`` and give the outcomes to ``results``
    ENDED = "ended"


class Rounds:
    """Feed it as ``MessageStream``; after each ``finish`` look at ``need``."""

    def __init__(
        self,
        chat: ChatRequest,
        reply: ReplyPlan,
        plan: RoundPlan,
        message_id: str,
        *,
        notes: Notes,
        prompt_tokens: int | None,
        seal: Seal,
        first_index: int = 0,
    ) -> None:
        """With a ``first_index`` the answer goes on from blocks that were sent already."""
        self.need = Need.CALL
        self.chat = chat
        self._reply = reply
        self._plan = plan
        self._message_id = message_id
        self._notes = notes
        self._prompt_tokens = prompt_tokens
        self._seal = seal
        self._hosted = HostedCalls(plan, seal)
        self._seen = Seen(
            index=first_index, started=first_index > 0, call_ids=set(reply.used_tool_ids)
        )
        self._tries = 0  # that failed
        self._rounds = 1
        self._spent: list[Usage] = []
        self._round = self._begin(reply)

    @property
    def reply(self) -> ReplyPlan:
        """The plan of the present call."""
        return self._reply

    @property
    def spent(self) -> Sequence[Usage]:
        """What each call that ended has cost."""
        return self._spent

    @property
    def waiting(self) -> list[PendingTool]:
        """The calls of tools that somebody must run, in order."""
        return self._hosted.waiting

    # --- the stream's own interface ---------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the content of the present call is complete."""
        return self._round.complete

    def start(self) -> list[StreamEvent]:
        """``message_start``, if it was not sent yet."""
        return self._round.start()

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        """Take the next chunk of the present call. Raises ``Fault``."""
        return self._round.feed(chunk)

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        """The present call ended. Raises ``Fault`` when the last try failed."""
        return self._round.finish(counted) + self._decide()

    def so_far(self) -> Usage | None:
        """What all calls have cost until now; nothing if nothing came."""
        present = self._round.so_far()
        spent = [*self._spent, present] if present else self._spent
        return total(spent, self._hosted.uses) if spent else None

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        """The upstream broke, or a tool did: as ``MessageStream.fail``; nothing that is held back
        is shown.
        """
        self.need = Need.ENDED
        events = self._round.fail(fault)
        if not (events and isinstance(events[-1], ErrorEvent)):  # between two calls
            events.append(ErrorEvent(error=fault.detail()))
        return events

    def retry(self, fault: Fault) -> bool:
        """Whether a try that broke may be made again: nothing of it was seen, and it is the
        model's fault (a call that is none).
        """
        if fault.kind is not FaultKind.GARBAGE or not self._round.gated:
            return False
        cost = self._round.so_far()
        if not self._try_again(["the tool call was not valid"]):
            return False
        if cost is not None:
            self._spent.append(cost)
        return True

    def _begin(self, plan: ReplyPlan, *, as_json: bool = False) -> OneRound:
        """The next call of the upstream."""
        stream = reply_stream(
            replace(plan, display="shown", used_tool_ids=frozenset(self._seen.call_ids)),
            self._message_id,
            prompt_tokens=self._prompt_tokens if self._rounds == 1 else None,
            seal=self._seal,
        )
        return OneRound(stream, self._plan, self._reply, self._seen, as_json=as_json)

    # --- what comes next --------------------------------------------------------------------------

    def _decide(self) -> list[StreamEvent]:
        end = self._round.end
        assert end is not None, "a finished stream has its message_delta"
        self._spent.append(end.usage)
        reason = end.delta.stop_reason
        if self._round.as_json:
            return self._after_emulation(end)
        if reason not in _EXCUSED:
            if self._round.gated:
                if not self._try_again([]):
                    raise Fault(FaultKind.GARBAGE, NOT_CALLED)
                return []
            if self._plan.check == "schema" and not self._round.calls:
                return self._after_text(end)
        out = self._round.release()
        if reason not in _EXCUSED and any(call.tool for call in self._round.calls):
            self.need = Need.TOOLS
            self._hosted.take(self._round.calls)
            return out
        return out + self._stop(end)

    def _stop(self, end: MessageDelta, reason: StopReason | None = None) -> list[StreamEvent]:
        """The answer ends as its last call does, or for ``reason``."""
        self.need = Need.ENDED
        body = end.delta if reason is None else MessageDeltaBody(reason)
        usage = total(self._spent, self._hosted.uses)
        return [replace(end, delta=body, usage=usage), MessageStop()]

    def _after_text(self, end: MessageDelta) -> list[StreamEvent]:
        """Structured output: valid text goes out as JSON alone; other text is written anew."""
        check = self._plan.schema
        assert check is not None
        said = self._round.text
        text = said if self._plan.passes_text else plain_json(said)
        problems = check.problems(text)
        if problems:
            if self._plan.passes_text or not self._try_again(problems):
                why = "the answer does not fit the schema: " + "; ".join(problems)
                raise Fault(FaultKind.GARBAGE, why)
            return []
        shown = [] if self._plan.passes_text else self._round.show_text(text)
        return shown + self._stop(end)

    def _try_again(self, problems: Sequence[str]) -> bool:
        """Prepare the next try, if there is one."""
        self._tries += 1
        if self._plan.check == "schema" and self._tries == 1:
            again = repair(self.chat, self._plan, self._round.text, problems)
            self._next(again, self._reply)
        elif self._plan.check == "call" and self._tries == 1:
            self._next(insist(self.chat, self._plan, self._reply), self._reply)
        elif self._plan.check == "call" and self._tries == 2 and can_emulate(self._plan):
            asked = ask_for_json(self.chat, self._plan, self._reply)
            self._next(asked, replace(self._reply, tools=frozenset()), as_json=True)
        else:
            return False
        what = "tool_choice" if self._plan.check == "call" else "output_config.format.repair"
        self._notes.once(Action.EMULATED, what, what.removesuffix(".repair"))
        return True

    def _next(self, chat: ChatRequest, plan: ReplyPlan, *, as_json: bool = False) -> None:
        self._rounds += 1
        self.chat = chat
        self._round = self._begin(plan, as_json=as_json)
        self.need = Need.CALL

    def _left(self) -> int | None:
        """What is left of ``max_tokens`` after this call; failed tries do not count."""
        most: int | None = getattr(self.chat, self._plan.dialect.max_tokens_field)
        return None if most is None else max(0, most - self._spent[-1].output_tokens)

    def _after_emulation(self, end: MessageDelta) -> list[StreamEvent]:
        """The JSON as a call, through a stream of its own."""
        name, arguments = read_call(plain_json(self._round.emulated))
        self._round = self._begin(self._reply)
        if name not in self._reply.tools or not fits(self._plan, name, arguments):
            raise Fault(FaultKind.GARBAGE, NOT_CALLED)
        function = FunctionDelta(name, arguments)
        delta = ChatDelta(tool_calls=[ToolCallDelta(0, f"call_{len(self._spent)}", function)])
        chunk = ChatChunk(choices=[ChunkChoice(index=0, delta=delta, finish_reason="tool_calls")])
        out = self._round.feed(chunk) + self._round.finish()
        made = self._round.end
        assert made is not None
        self._round.end = replace(made, usage=end.usage)
        self._spent.pop()
        return out + self._decide()

    # --- tools of this server ---------------------------------------------------------------------

    def results(self, outcomes: Sequence[Outcome]) -> list[StreamEvent]:
        """The outcomes of ``waiting``, in its order: their blocks, and what comes next. Searches
        for tools are made here: it may take a second.
        """
        events: list[StreamEvent] = []
        told: list[ChatMessage] = [self._turn()]
        for block, message in self._hosted.results(outcomes):
            events += self._seen.block(block)
            told.append(message)
        return events + self._after_tools(told)

    def _after_tools(self, told: list[ChatMessage]) -> list[StreamEvent]:
        end = self._round.end
        assert end is not None
        if any(call.tool is None for call in self._round.calls):
            return self._stop(end, "tool_use")  # the client's own come first
        if self._rounds >= MAX_ROUNDS:
            return self._stop(end, "pause_turn")
        if self._left() == 0:
            return self._stop(end, "max_tokens")
        chat = replace(
            self.chat,
            messages=[*self.chat.messages, *told],
            tools=list(self._plan.book.functions),
            tool_choice=None,
            **{self._plan.dialect.max_tokens_field: self._left()},
        )
        plan = replace(
            self._reply, tools=frozenset(self._plan.book.callable), forced_tool=None,
            must_call=False, prefill="", sources=tuple(self._plan.citable.sources),
        )  # fmt: skip
        self._reply = plan
        self._next(chat, plan)
        return []

    def _turn(self) -> AssistantMessage:
        """What the model wrote in this round, as the next call's history."""
        field = self._plan.dialect.replays_reasoning
        demanded = self._reply.thinking and self._plan.dialect.demands_reasoning
        thought = self._round.reasoning or ("" if demanded else None)
        return AssistantMessage(
            content=self._round.text or None,
            reasoning_content=thought if field == "reasoning_content" else None,
            reasoning=thought if field == "reasoning" else None,
            tool_calls=[
                ToolCall(
                    upstream_id(call.id),
                    FunctionCall(call.name, call.arguments or "{}"),
                )
                for call in self._round.calls
                if call.tool is not None
            ],
        )
