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

from deepseek_messages.translation.faults import Fault, FaultKind
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.reply import reply_stream
from deepseek_messages.translation.result_text import Reading
from deepseek_messages.translation.round_parts import (
    MadeCall,
    PendingTool,
    marks_of,
    pending_tool,
    read_call,
    server_id,
    server_start,
    text_of_chunk,
    tool_text,
    total,
)
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.server_tools import (
    Outcome,
    failed,
    found_tools,
    result_block,
)
from deepseek_messages.translation.stages import Stream
from deepseek_messages.translation.structured import plain_json
from deepseek_messages.translation.tool_names import upstream_id
from deepseek_messages.translation.tool_search import (
    SearchError,
    candidate,
    search_bm25,
    search_regex,
)
from deepseek_messages.translation.tries import ask_for_json, can_emulate, fits, insist, repair
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
    ToolMessage,
)
from deepseek_messages.wire.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJsonDelta,
    MessageDelta,
    MessageDeltaBody,
    MessageStart,
    MessageStop,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ToolUseStart,
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
    TOOLS = "tools"  # run ``pending`` and give their outcomes to ``results``
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
        self.pending: list[PendingTool] = []
        self._reply = reply
        self._plan = plan
        self._message_id = message_id
        self._notes = notes
        self._prompt_tokens = prompt_tokens
        self._seal = seal
        self._tools = plan.book.server
        self._used_ids = set(self._reply.used_tool_ids)
        self._uses: dict[str, int] = {}  # server tools that ran, by name
        self._tries = 0  # that failed
        self._rounds = 1
        self._started = first_index > 0
        self._index = first_index  # of the next block
        self._spent: list[Usage] = []
        self._begin(self._reply)

    @property
    def reply(self) -> ReplyPlan:
        """The plan of the present call."""
        return self._reply

    @property
    def spent(self) -> Sequence[Usage]:
        """What each call that ended has cost."""
        return self._spent

    # --- the stream's own interface ---------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the content of the present call is complete."""
        return self._stream.complete

    def start(self) -> list[StreamEvent]:
        """``message_start``, if it was not sent yet."""
        return self._take(self._stream.start())

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        """Take the next chunk of the present call. Raises ``Fault``."""
        if self._emulating:
            self._emulated += text_of_chunk(chunk)
        return self._take(self._stream.feed(chunk))

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        """The present call ended. Raises ``Fault`` when the last try failed."""
        return self._take(self._stream.finish(counted)) + self._decide()

    def so_far(self) -> Usage | None:
        """What all calls have cost until now; nothing if nothing came."""
        present = self._stream.so_far() if self._end is None else None  # else it is in _spent
        spent = [*self._spent, present] if present else self._spent
        return total(spent, self._uses) if spent else None

    def fail(self, fault: Fault) -> list[StreamEvent]:
        """The upstream broke, or a tool did: as ``MessageStream.fail``; nothing that is held back
        is shown.
        """
        self.need = Need.ENDED
        self._held.clear()
        events = self._take(self._stream.fail(fault))
        self._held.clear()
        if not (events and isinstance(events[-1], ErrorEvent)):  # between two calls
            events.append(ErrorEvent(error=fault.detail()))
        return events

    def retry(self, fault: Fault) -> bool:
        """Whether a try that broke may be made again: nothing of it was seen, and it is the
        model's fault (a call that is none).
        """
        if fault.kind is not FaultKind.GARBAGE or not self._gated or self._plan.check == "none":
            return False
        return self._try_again(["the tool call was not valid"])

    # --- one call ---------------------------------------------------------------------------------

    def _begin(self, plan: ReplyPlan) -> None:
        """A new stream, for the next call of the upstream."""
        self._stream: Stream = reply_stream(
            replace(plan, display="shown", used_tool_ids=frozenset(self._used_ids)),
            self._message_id,
            prompt_tokens=self._prompt_tokens if self._rounds == 1 else None,
            seal=self._seal,
        )
        self._gated = self._plan.check == "call" and not self._satisfied
        self._held: list[StreamEvent] = []
        self._holding_text = False
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[MadeCall] = []
        self._current: MadeCall | None = None
        self._end: MessageDelta | None = None
        self._emulating = False
        self._emulated = ""

    _satisfied = False  # a forced call was made

    def _take(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        for event in events:
            match event:
                case MessageStart():
                    if not self._started:
                        self._started = True
                        out.append(event)
                case MessageDelta():
                    self._end = event
                case MessageStop():
                    pass
                case ContentBlockStart(content_block=start):
                    self._block(start)
                    out += self._pass(event)
                case ContentBlockDelta(delta=delta):
                    self._note_delta(delta)
                    out += self._pass(event)
                case ContentBlockStop():
                    out += self._pass(event)
                    self._current = None
                    self._holding_text = False
                case _:
                    out.append(event)
        return out

    def _block(self, start: object) -> None:
        match start:
            case ToolUseStart(id=call_id, name=name):
                self._used_ids.add(call_id)
                tool = self._tools.get(name)
                self._current = MadeCall(server_id(call_id, tool), name, tool)
                self._calls.append(self._current)
                if self._gated and self._is_right(name):
                    self._satisfied, self._gated = True, False
            case TextStart():
                self._holding_text = self._plan.check == "schema" and not self._plan.passes_text
            case _:
                pass

    def _is_right(self, name: str) -> bool:
        """Whether a call of ``name`` is one that was asked for."""
        forced = self._reply.forced_tool
        if forced is not None:
            return name == self._reply.tool_names.get(forced, forced)
        known = {self._reply.tool_names.get(each, each) for each in self._reply.tools}
        return name in known

    def _note_delta(self, delta: object) -> None:
        match delta:
            case TextDelta(text=text):
                self._texts.append(text)
            case CitationsDelta(citation=citation):  # the next call sees what the model wrote
                self._texts.append(marks_of(citation, self._plan.library))
            case ThinkingDelta(thinking=text):
                self._reasoning.append(text)
            case InputJsonDelta(partial_json=text) if self._current is not None:
                self._current.arguments += text
            case _:
                pass

    def _pass(self, event: StreamEvent) -> list[StreamEvent]:
        """Send an event of a block, or hold it back."""
        if self._gated or self._emulating or self._holding_text:
            self._held.append(event)
            return []
        return [*self._release(), *self._send(event)]

    def _release(self) -> list[StreamEvent]:
        """Send what was held back."""
        held, self._held = self._held, []
        return [sent for event in held for sent in self._send(event)]

    def _send(self, event: StreamEvent) -> list[StreamEvent]:
        match event:
            case ContentBlockStart(content_block=start):
                if isinstance(start, ToolUseStart) and start.name in self._tools:
                    start = server_start(start, self._tools[start.name])
                return [ContentBlockStart(index=self._index, content_block=start)]
            case ContentBlockDelta(delta=ThinkingDelta()) if self._reply.display == "omitted":
                return []
            case ContentBlockDelta(delta=delta):
                return [ContentBlockDelta(index=self._index, delta=delta)]
            case ContentBlockStop():
                self._index += 1
                return [ContentBlockStop(index=self._index - 1)]
            case _:
                return [event]

    # --- what comes next --------------------------------------------------------------------------

    def _decide(self) -> list[StreamEvent]:
        end = self._end
        assert end is not None, "a finished stream has its message_delta"
        self._spent.append(end.usage)
        reason = end.delta.stop_reason
        if self._emulating:
            return self._after_emulation(end)
        if reason not in _EXCUSED:
            if self._gated:
                if not self._try_again([]):
                    raise Fault(FaultKind.GARBAGE, NOT_CALLED)
                return []
            if self._plan.check == "schema" and not self._calls:
                return self._after_text(end)
        out = self._release()
        if reason not in _EXCUSED and any(call.tool for call in self._calls):
            self.need = Need.TOOLS
            self.pending = [pending_tool(call) for call in self._calls if call.tool is not None]
            return out + self._search_now()
        return out + self._stop(end.delta)

    def _stop(self, body: MessageDeltaBody) -> list[StreamEvent]:
        self.need = Need.ENDED
        usage = total(self._spent, self._uses)
        assert self._end is not None
        return [replace(self._end, delta=body, usage=usage), MessageStop()]

    def _after_text(self, end: MessageDelta) -> list[StreamEvent]:
        """Structured output: valid text goes out as JSON alone; other text is written anew."""
        check = self._plan.schema
        assert check is not None
        said = "".join(self._texts)
        text = said if self._plan.passes_text else plain_json(said)
        problems = check.problems(text)
        if problems:
            if self._plan.passes_text or not self._try_again(problems):
                why = "the answer does not fit the schema: " + "; ".join(problems)
                raise Fault(FaultKind.GARBAGE, why)
            return []
        if self._plan.passes_text:
            return self._stop(end.delta)
        self._held = [
            ContentBlockStart(index=0, content_block=TextStart()),
            ContentBlockDelta(index=0, delta=TextDelta(text=text)),
            ContentBlockStop(index=0),
        ]
        return [*self._release(), *self._stop(end.delta)]

    def _try_again(self, problems: Sequence[str]) -> bool:
        """Prepare the next try, if there is one."""
        self._tries += 1
        if self._plan.check == "schema" and self._tries == 1:
            again = repair(self.chat, self._plan, "".join(self._texts), problems)
            self._next(again, self._reply)
        elif self._plan.check == "call" and self._tries == 1:
            self._next(insist(self.chat, self._plan, self._reply), self._reply)
        elif self._plan.check == "call" and self._tries == 2 and can_emulate(self._plan):
            asked = ask_for_json(self.chat, self._plan, self._reply)
            self._next(asked, replace(self._reply, tools=frozenset()))
            self._emulating = True
        else:
            return False
        what = "tool_choice" if self._plan.check == "call" else "output_config.format.repair"
        self._notes.once(Action.EMULATED, what, what.removesuffix(".repair"))
        return True

    def _next(self, chat: ChatRequest, plan: ReplyPlan) -> None:
        self._rounds += 1
        self.chat = chat
        self._begin(plan)
        self.need = Need.CALL

    def _left(self) -> int | None:
        """What is left of ``max_tokens`` after this call; failed tries do not count."""
        most: int | None = getattr(self.chat, self._plan.dialect.max_tokens_field)
        return None if most is None else max(0, most - self._spent[-1].output_tokens)

    def _after_emulation(self, end: MessageDelta) -> list[StreamEvent]:
        """The JSON as a call, through a stream of its own."""
        name, arguments = read_call(plain_json(self._emulated))
        self._begin(self._reply)
        if name not in self._reply.tools or not fits(self._plan, name, arguments):
            raise Fault(FaultKind.GARBAGE, NOT_CALLED)
        function = FunctionDelta(name, arguments)
        delta = ChatDelta(tool_calls=[ToolCallDelta(0, f"call_{len(self._spent)}", function)])
        out = self._take(
            self._stream.feed(
                ChatChunk(choices=[ChunkChoice(index=0, delta=delta, finish_reason="tool_calls")])
            )
        )
        out += self._take(self._stream.finish())
        assert self._end is not None
        self._end = replace(self._end, usage=end.usage)
        self._spent.pop()
        return out + self._decide()

    # --- tools of this server ---------------------------------------------------------------------

    def _search_now(self) -> list[StreamEvent]:
        """Answer what needs no waiting; when nothing else is asked for, go on at once."""
        if all(each.tool.kind.startswith("tool_search") for each in self.pending):
            return self.results([])
        return []

    @property
    def waiting(self) -> list[PendingTool]:
        """The calls in ``pending`` that somebody must run, in order."""
        return [
            each
            for each in self.pending
            if not each.tool.kind.startswith("tool_search") and not self._is_over(each)
        ]

    def _is_over(self, each: PendingTool) -> bool:
        """Whether the tool was used as often as it may be."""
        most = each.tool.max_uses
        before = self._uses.get(each.tool.name, 0)
        same = [other for other in self.pending if other.tool.name == each.tool.name]
        return most is not None and before + same.index(each) >= most

    def results(self, outcomes: Sequence[Outcome]) -> list[StreamEvent]:
        """The outcomes of ``waiting``, in its order: their blocks, and what comes next."""
        given = dict(zip([each.id for each in self.waiting], outcomes, strict=True))
        events: list[StreamEvent] = []
        told: list[ChatMessage] = [self._turn()]
        ran: dict[str, int] = {}
        for each in self.pending:
            outcome = given.get(each.id)
            if outcome is not None:
                ran[each.tool.name] = ran.get(each.tool.name, 0) + (not outcome.is_error)
            elif each.tool.kind.startswith("tool_search"):
                outcome = self._search(each)
            else:
                outcome = failed(each.tool, "max_uses_exceeded")
            block = result_block(each.tool, each.id, outcome)
            events += [
                ContentBlockStart(index=self._index, content_block=block),
                ContentBlockStop(index=self._index),
            ]
            self._index += 1
            library = self._plan.library
            reading = Reading(call_id=each.id, seal=self._seal, library=library)
            text = tool_text(each.tool, outcome, self._plan.book, reading)
            told.append(ToolMessage(tool_call_id=upstream_id(each.id), content=text))
        for name, count in ran.items():
            self._uses[name] = self._uses.get(name, 0) + count
        self.pending = []
        return events + self._after_tools(told)

    def _after_tools(self, told: list[ChatMessage]) -> list[StreamEvent]:
        assert self._end is not None
        if any(call.tool is None for call in self._calls):
            return self._stop(MessageDeltaBody("tool_use"))  # the client's own come first
        if self._rounds >= MAX_ROUNDS:
            return self._stop(MessageDeltaBody("pause_turn"))
        if self._left() == 0:
            return self._stop(MessageDeltaBody("max_tokens"))
        chat = replace(
            self.chat,
            messages=[*self.chat.messages, *told],
            tools=list(self._plan.book.functions),
            tool_choice=None,
            **{self._plan.dialect.max_tokens_field: self._left()},
        )
        plan = replace(
            self._reply, tools=frozenset(self._plan.book.callable), forced_tool=None,
            must_call=False, prefill="", sources=tuple(self._plan.library.sources),
        )  # fmt: skip
        self._reply = plan
        self._next(chat, plan)
        return []

    def _turn(self) -> AssistantMessage:
        """What the model wrote in this round, as the next call's history."""
        field = self._plan.dialect.replays_reasoning
        demanded = self._reply.thinking and self._plan.dialect.demands_reasoning
        thought = "".join(self._reasoning) or ("" if demanded else None)
        return AssistantMessage(
            content="".join(self._texts) or None,
            reasoning_content=thought if field == "reasoning_content" else None,
            reasoning=thought if field == "reasoning" else None,
            tool_calls=[
                ToolCall(
                    upstream_id(call.id),
                    FunctionCall(call.name, call.arguments or "{}"),
                )
                for call in self._calls
                if call.tool is not None
            ],
        )

    def _search(self, each: PendingTool) -> Outcome:
        book = self._plan.book
        query = each.arguments.get("query") or each.arguments.get("pattern") or ""
        tools = [candidate(name, function) for name, function in book.hidden()]
        try:
            if each.tool.kind == "tool_search_tool_regex":
                return found_tools(search_regex(str(query), tools))
            return found_tools(search_bm25(str(query), tools))
        except SearchError as error:
            return failed(each.tool, error.code)
