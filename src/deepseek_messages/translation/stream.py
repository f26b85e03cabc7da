"""Chat chunks in, Messages stream events out.

What an upstream sends has no blocks: reasoning, text and calls come in any mixture. So what
arrives is put into *runs* in order of first sight. The first run is the open block and streams
through; whatever belongs to a later one waits. A run of reasoning or text is over as soon as
another begins; a call is over when its arguments are closed JSON and another run waits, and at
the latest at the answer's end. Thus interleaved calls lose nothing and never overlap. The lawful
order of events, and the states, are in ``writer``.

Rules that are decisions:

* Empty and blank text opens no block: Anthropic's API refuses blank text blocks when they are
  sent back. Blanks before visible text are kept. Reasoning is kept exactly.
* Reasoning always becomes a thinking block, also when nobody asked for it: it is never lost.
* An answer without text or calls stays as it is (no content, or only thinking): text that the
  model did not write is not invented.
* Arguments go through byte for byte. Only an object or array streams; any other beginning waits
  for the end, since the official SDKs cannot read a cut scalar. At the end they must be JSON:
  no arguments at all are ``{}``; a call cut off by the token limit is closed as it is and
  ``max_tokens`` says why; anything else is a fault, since the client would run a wrong call.
* A call whose name never comes gets the forced tool's, or the only tool's; otherwise it is a
  fault (or left out, if the token limit cut it off).
* An upstream that ends without a finish reason has cut its answer.
* The stop reason waits for ``finish``, so that one ``message_delta`` carries the last usage.
* A token count that nobody reports is estimated from the text.
"""

from collections import deque
from typing import Protocol

from msgspec import UNSET

from deepseek_messages.translation.dsml import FoundCall
from deepseek_messages.translation.faults import Fault, FaultKind, cut, garbage, reported
from deepseek_messages.translation.limits import MAX_ANSWER_BYTES
from deepseek_messages.translation.partial_json import is_json
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.relay import Relay
from deepseek_messages.translation.runs import Pattern, RunDelta, TextRun, single_chunks
from deepseek_messages.translation.sse import relay
from deepseek_messages.translation.textpath import Piece, Reasoning, TextPath
from deepseek_messages.translation.toolcalls import Call, CallBook, CallIds
from deepseek_messages.translation.usage import count_characters, estimate_tokens, merge, to_usage
from deepseek_messages.translation.writer import EventWriter, State
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChatUsage, ChunkChoice, ToolCallDelta
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    InputJsonDelta,
    MessageDeltaBody,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)
from deepseek_messages.wire.messages import Message, StopReason, Usage

# finish_reason -> stop_reason. Sources: DeepSeek's API reference (stop, length, content_filter,
# tool_calls), OpenAI's (function_call), and what servers were seen to send. Others: end_turn.
STOP_REASONS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "content_filter": "refusal",
    "sensitive": "refusal",
    "model_length": "model_context_window_exceeded",
}

# The answer is not whole. DeepSeek: insufficient_system_resource, aborted; vLLM and SGLang:
# abort; several gateways: error.
OVERLOADED = "insufficient_system_resource"
BROKEN = frozenset({OVERLOADED, "aborted", "abort", "error"})

# The token limit ended the answer, perhaps in the middle of a call.
TRUNCATED: frozenset[StopReason | None] = frozenset({"max_tokens", "model_context_window_exceeded"})

# Blanks that are held back at a text's beginning; a model that writes more of them shows them.
MAX_BLANKS = 4096


class Sealer(Protocol):
    """Makes the signature that can restore a thinking block's reasoning."""

    def seal(self, reasoning: str) -> str: ...


class Run:
    """A stretch of reasoning or text. ``texts`` holds what is not sent yet."""

    __slots__ = ("kind", "texts")

    def __init__(self, kind: State) -> None:
        self.kind = kind
        self.texts: list[str] = []


class MessageStream:
    """Turns chat chunks into Messages stream events. Knows nothing of sockets or time.

    Feed it chunks in order; send what it returns in order. ``feed`` and ``finish`` raise
    ``Fault`` when the answer is broken: then call ``fail`` with it if anything was sent, or
    answer with an HTTP error if not. After ``finish`` or ``fail`` it is spent and returns
    nothing more.

    ``prompt_tokens`` is the prompt's counted size, for ``message_start`` and for upstreams that
    tell no usage. ``seal`` makes signatures; without one they are empty.
    """

    def __init__(
        self,
        plan: ReplyPlan,
        message_id: str,
        *,
        prompt_tokens: int | None,
        seal: Sealer | None,
    ) -> None:
        self._plan = plan
        self._message_id = message_id
        self._prompt_tokens = prompt_tokens
        self._seal = seal
        self._writer = EventWriter()
        self._runs: deque[Run | Call] = deque()  # the first is the open block's
        self._path = TextPath(plan)
        self._book = CallBook(plan)
        self._ids = CallIds(message_id, plan.used_tool_ids)
        self._calls = 0  # calls that the client sees
        self._reasoning: list[str] = []  # of the open thinking block
        self._ascii = self._others = 0  # characters of output
        self._usage: ChatUsage | None = None
        self._refused = False
        self._stop: StopReason | None = None  # set once it is known how the answer ended
        self._sequence: str | None = None  # the stop sequence that the upstream named
        self._relay: Relay | None = None  # what passes bytes on, unseen here until it ends

    @property
    def state(self) -> State:
        return self._writer.state

    @property
    def complete(self) -> bool:
        """Whether the content is complete and only usage can still come. After a stop sequence
        that was found here, the upstream need not be read to its end.
        """
        return self._stop is not None or self.state is State.CLOSED

    def start(self) -> list[StreamEvent]:
        """``message_start`` now, if it was not sent yet (for a 200 that goes out early)."""
        self._begin()
        return self._writer.take()

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        """Take the next chunk. Raises ``Fault`` when it reports or is a failure."""
        if self._relay is not None:
            self._end_relay()
        if type(chunk) is TextRun:
            return self._run(chunk)
        if (quick := self._quick(chunk)) is not None:
            return quick
        if self.state is State.CLOSED:
            return []
        if chunk.error is not UNSET and bytes(chunk.error) not in {b"null", b"{}", b'""', b"false"}:
            raise reported(bytes(chunk.error))
        if chunk.usage is not None:
            self._usage = merge(self._usage, chunk.usage)
        self._begin()
        for choice in chunk.choices or ():
            if not choice.index and self._stop is None:
                self._choice(choice)
        return self._writer.take()

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        """The upstream said it was done, or was closed since ``complete`` is true. ``counted``
        stands in for figures that it did not tell. Raises ``Fault`` (cut) when it never said how.
        """
        if self.state is State.CLOSED:
            return []
        self._end_relay()
        if self._stop is None:
            raise cut("the upstream's answer ended without a finish reason")
        told = self._usage
        if counted is not None:
            told = counted if told is None else merge(counted, told)
        estimate = estimate_tokens(self._ascii, self._others)
        usage = to_usage(told, prompt_tokens=self._prompt_tokens, output_estimate=estimate)
        self._writer.end(MessageDeltaBody(self._stop, self._sequence), usage)
        return self._writer.take()

    def so_far(self) -> Usage | None:
        """What the answer has cost until now, told or estimated; nothing if nothing came."""
        self._end_relay()
        written = estimate_tokens(self._ascii, self._others)
        if self._usage is None and not written:
            return None
        return to_usage(self._usage, prompt_tokens=self._prompt_tokens, output_estimate=written)

    def fail(self, fault: Fault) -> list[StreamEvent]:
        """The upstream broke: close what is open, then one ``error``, no ``message_stop``. A tool
        call whose arguments are not whole is left open: clients run what was closed. Includes
        what a ``feed`` that raised had to send before.
        """
        if self.state is State.CLOSED:
            return []
        self._end_relay()
        if not self._in_half_a_call():
            self._close()
        self._writer.error(fault.detail())
        return self._writer.take()

    def _run(self, run: TextRun) -> list[StreamEvent]:
        """More of the open text or reasoning, as one event if nothing in it needs a look."""
        index, state = self._writer.index, self._writer.state
        text = run.texts[0] if len(run.texts) == 1 else "".join(run.texts)
        if len(self._runs) == 1 and self._ascii + self._others + len(text) <= MAX_ANSWER_BYTES:
            if run.field != "content":
                if state is State.THINKING and self._plan.display == "shown":
                    self._count_each(text, run.texts)
                    self._reasoning += run.texts
                    thinking = ThinkingDelta(thinking=text)
                    return [RunDelta(index=index, delta=thinking, spelled=run.spelled)]
            elif state is State.TEXT and self._path.passes_each(run.texts):
                self._count_each(text, run.texts)
                return [RunDelta(index=index, delta=TextDelta(text=text), spelled=run.spelled)]
        for chunk in single_chunks(run):
            self._writer.keep(self.feed(chunk))
        return self._writer.take()

    def relay(self, pattern: Pattern) -> Relay | None:
        """What passes the frames of ``pattern`` on, as long as they add to the open block and
        nothing in them needs a look; ``None`` if they need one. It ends with the next call of any
        other method.
        """
        self._end_relay()
        state = self._writer.state
        if len(self._runs) != 1:
            return None
        if pattern.field == "content":
            if state is not State.TEXT or not self._path.is_open:
                return None
        elif state is not State.THINKING or self._plan.display != "shown":
            return None
        self._relay = relay(
            pattern,
            self._writer.index,
            guarded=pattern.field == "content" and self._path.guarded,
            room=MAX_ANSWER_BYTES - self._ascii - self._others,
            tell=self._passed_on,
        )
        return self._relay

    def _end_relay(self) -> None:
        """Take note of what was passed on."""
        if self._relay is not None:
            self._relay.end()
            self._relay = None

    def _passed_on(self, texts: list[str]) -> None:
        text = "".join(texts)
        self._count_each(text, texts)
        if self.state is State.THINKING:
            self._reasoning.append(text)

    # --- what a chunk holds -----------------------------------------------------------------------

    def _quick(self, chunk: ChatChunk) -> list[StreamEvent] | None:
        """The commonest chunk: more of the open text or reasoning and nothing else. ``None``
        for any other.
        """
        state = self._writer.state
        choices = chunk.choices
        if not choices or len(choices) > 1 or len(self._runs) != 1 or chunk.usage is not None:
            return None
        choice = choices[0]
        delta = choice.delta
        if delta is None or choice.finish_reason or choice.index or chunk.error is not UNSET:
            return None
        if delta.tool_calls or delta.refusal:
            return None
        text = delta.content
        reasoning = delta.reasoning_content or delta.reasoning
        if state is State.TEXT and text and not reasoning and self._path.passes(text):
            self._count(text)
            event = ContentBlockDelta(index=self._writer.index, delta=TextDelta(text=text))
        elif state is State.THINKING and reasoning and not text and self._plan.display == "shown":
            self._count(reasoning)
            self._reasoning.append(reasoning)
            thinking = ThinkingDelta(thinking=reasoning)
            event = ContentBlockDelta(index=self._writer.index, delta=thinking)
        else:
            return None
        return [event]

    def _begin(self) -> None:
        if self.state is not State.START:
            return
        usage = to_usage(self._usage, prompt_tokens=self._prompt_tokens, output_estimate=0)
        self._writer.begin(
            Message(
                id=self._message_id,
                model=self._plan.model,
                content=[],
                stop_reason=None,
                stop_sequence=None,
                usage=usage,
            )
        )

    def _choice(self, choice: ChunkChoice) -> None:
        if choice.delta is not None:
            self._delta(choice.delta)
        if self._path.stopped is not None:
            self._end("end_turn", None)
        elif choice.finish_reason:
            if choice.finish_reason in BROKEN:
                raise _broken(choice.finish_reason)
            self._end(STOP_REASONS.get(choice.finish_reason, "end_turn"), self._named(choice))

    def _delta(self, delta: ChatDelta) -> None:
        if reasoning := delta.reasoning_content or delta.reasoning:
            self._put(self._path.flush())
            self._put([Reasoning(reasoning)])
        if delta.content:
            self._put(self._path.feed(delta.content))
        if delta.refusal:
            self._refused = True
            self._put(self._path.feed(delta.refusal))
        if delta.tool_calls:
            self._tool_calls(delta.tool_calls)
        self._pump()

    def _put(self, pieces: list[Piece]) -> None:
        if self._plan.no_output:
            return
        for piece in pieces:
            if isinstance(piece, FoundCall):
                self._admit(Call.found(piece))
                self._count(piece.arguments)
            elif isinstance(piece, Reasoning):
                self._add(State.THINKING, piece.text)
            else:
                self._add(State.TEXT, piece)

    def _add(self, kind: State, text: str) -> None:
        last = self._runs[-1] if self._runs else None
        if not isinstance(last, Run) or last.kind is not kind:
            last = Run(kind)
            self._runs.append(last)
        last.texts.append(text)
        self._count(text)

    def _tool_calls(self, deltas: list[ToolCallDelta]) -> None:
        self._put(self._path.flush())
        if self._path.stopped is not None:
            return
        for call, arguments in self._book.take(deltas):
            self._count(arguments)
            if call.closed and arguments.strip():
                raise garbage(f"the arguments of the tool call {call.name!r} went on after the end")
            if not call.admitted:
                self._admit(call)

    def _admit(self, call: Call) -> None:
        """Queue a call at first sight; all but the first are left out where one is allowed."""
        call.admitted = True
        if self._plan.no_output or (self._plan.single_tool and self._calls):
            return
        self._calls += 1
        self._runs.append(call)

    def _count(self, text: str) -> None:
        plain, others = count_characters(text)
        self._ascii += plain
        self._others += others
        if self._ascii + self._others > MAX_ANSWER_BYTES:
            raise garbage(f"the upstream's answer is longer than {MAX_ANSWER_BYTES} characters")

    def _count_each(self, text: str, pieces: list[str]) -> None:
        """As ``_count`` of each piece; ``text`` is all of them."""
        if text.isascii():
            self._ascii += len(text)
        else:
            for piece in pieces:
                self._count(piece)

    # --- how it ends ------------------------------------------------------------------------------

    def _named(self, choice: ChunkChoice) -> str | None:
        """The stop sequence that the upstream says has matched."""
        for said in (choice.stop_reason, choice.matched_stop):
            if isinstance(said, str) and said in self._plan.stop_sequences:
                return said
        return None

    def _end(self, stop: StopReason, sequence: str | None) -> None:
        """It is known how the answer ended: send and close everything."""
        self._put(self._path.flush(truncated=stop in TRUNCATED))
        sequence = self._path.stopped or (sequence if stop == "end_turn" else None)
        if sequence is not None:
            stop = "stop_sequence"
        elif self._refused and stop == "end_turn":
            stop = "refusal"
        elif self._calls and stop == "end_turn":
            stop = "tool_use"
        if self._plan.no_output:
            stop, sequence = "max_tokens", None
        self._stop, self._sequence = stop, sequence
        self._pump(last=True)

    # --- runs to blocks ---------------------------------------------------------------------------

    def _pump(self, *, last: bool = False) -> None:
        """Send what the first run has; go on to the next while it is over."""
        while self._runs:
            run = self._runs[0]
            over = last or (len(self._runs) > 1 and (isinstance(run, Run) or run.whole))
            if isinstance(run, Call):
                self._send_call(run, over=over)
            elif run.kind is State.THINKING:
                self._send_reasoning(run)
            else:
                self._send_text(run)
            if not over:
                break
            self._close()
            self._runs.popleft()

    def _send_reasoning(self, run: Run) -> None:
        if self.state is State.BETWEEN and run.texts:
            self._writer.open(ThinkingStart())
        for text in run.texts:
            self._reasoning.append(text)
            if self._plan.display == "shown":
                self._writer.delta(ThinkingDelta(thinking=text))
        run.texts.clear()

    def _send_text(self, run: Run) -> None:
        if self.state is State.BETWEEN and run.texts:
            text = "".join(run.texts)
            run.texts = [text]
            if text.isspace() and len(text) <= MAX_BLANKS:
                return
            self._writer.open(TextStart())
        for text in run.texts:
            self._writer.delta(TextDelta(text=text))
        run.texts.clear()

    def _send_call(self, call: Call, *, over: bool) -> None:
        if self.state is State.BETWEEN:
            if over and not call.name:
                call.name = self._missing_name()
            if not self._ready(call, over=over):
                return
            name = self._plan.tool_names.get(call.name, call.name)
            self._writer.open(ToolUseStart(id=self._ids.give(call.id), name=name))
        if over:
            self._finish_call(call)
        elif call.streams and (text := call.unsent()):
            self._writer.delta(InputJsonDelta(partial_json=text))

    def _ready(self, call: Call, *, over: bool) -> bool:
        """Whether the name is there and whole: names may come in pieces."""
        if not call.name:
            return False
        return over or not self._plan.tools or call.name in self._plan.tools or bool(call.size)

    def _missing_name(self) -> str:
        if self._plan.forced_tool is not None:
            return self._plan.forced_tool
        if len(self._plan.tools) == 1:
            return next(iter(self._plan.tools))
        if self._stop in TRUNCATED:
            return ""
        raise garbage("the upstream made a tool call without a name")

    def _finish_call(self, call: Call) -> None:
        """Send the rest of the arguments; see to it that they are JSON, or that it is said why
        they are not.
        """
        call.closed = True
        text = call.arguments.strip()
        truncated = call.truncated or self._stop in TRUNCATED
        if text in {"", "null"}:
            if not truncated:
                self._writer.delta(InputJsonDelta(partial_json="{}"))
            return
        valid = is_json(text)
        if not (valid or truncated):
            raise garbage(f"the arguments of the tool call {call.name!r} are not JSON")
        if (valid or call.streams) and (rest := call.unsent()):
            self._writer.delta(InputJsonDelta(partial_json=rest))

    def _in_half_a_call(self) -> bool:
        if self.state is not State.TOOL:
            return False
        call = self._runs[0] if self._runs else None
        return not (isinstance(call, Call) and is_json(call.arguments))

    def _close(self) -> None:
        """Close the open block, if there is one."""
        if self.state is State.THINKING:
            reasoning = "".join(self._reasoning)
            self._reasoning.clear()
            if self._seal is not None and (signature := self._seal.seal(reasoning)):
                self._writer.delta(SignatureDelta(signature=signature))
        if self.state in {State.THINKING, State.TEXT, State.TOOL}:
            self._writer.close()


def _broken(reason: str) -> Fault:
    if reason == OVERLOADED:
        message = "the upstream ran out of resources in the middle of its answer"
        return Fault(FaultKind.REPORTED, message, status=529)
    return Fault(FaultKind.REPORTED, f"the upstream gave up in the middle of its answer ({reason})")
