"""Chat chunks in, Messages stream events out.

Reasoning, text and calls become blocks in ``block_queue``; the lawful order of events, and the
states, are in ``writer``.

Rules that are decisions:

* Reasoning always becomes a thinking block, also when nobody asked for it: it is never lost.
* An answer without text or calls stays as it is (no content, or only thinking): text that the
  model did not write is not invented.
* An upstream that ends without a finish reason has cut its answer.
* The stop reason waits for ``finish``, so that one ``message_delta`` carries the last usage.
* A token count that nobody reports is estimated from the text.
"""

from msgspec import UNSET

from deepseek_messages.translation.answer.block_queue import BlockQueue, Sealer
from deepseek_messages.translation.answer.dsml import FoundCall
from deepseek_messages.translation.answer.finish_reasons import TRUNCATED, stop_reason
from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.runs import Pattern, RunDelta, TextRun, single_chunks
from deepseek_messages.translation.answer.sse import relay
from deepseek_messages.translation.answer.textpath import Piece, Reasoning, TextPath
from deepseek_messages.translation.answer.toolcalls import Call, CallBook
from deepseek_messages.translation.answer.usage import (
    count_characters,
    estimate_tokens,
    merge,
    to_usage,
)
from deepseek_messages.translation.answer.writer import EventWriter, State
from deepseek_messages.translation.faults import Fault, cut, garbage, reported, reports_error
from deepseek_messages.translation.limits import MAX_ANSWER_BYTES
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import ChatChunk, ChatDelta, ChatUsage, ChunkChoice, ToolCallDelta
from deepseek_messages.wire.events import (
    ContentBlockDelta,
    MessageDeltaBody,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
)
from deepseek_messages.wire.messages import Message, StopReason, Usage


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
        self._writer = EventWriter()
        self._queue = BlockQueue(plan, message_id, self._writer, seal)
        self._runs = self._queue.runs  # the first is the open block's
        self._reasoning = self._queue.reasoning
        self._path = TextPath(plan)
        self._book = CallBook(plan)
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
        if chunk.error is not UNSET and reports_error(chunk.error):
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
        body = MessageDeltaBody(self._stop, self._sequence)
        self._writer.end(body, usage, self._plan.context_management)
        return self._writer.take()

    def so_far(self) -> Usage | None:
        """What the answer has cost until now, told or estimated; nothing if nothing came."""
        self._end_relay()
        written = estimate_tokens(self._ascii, self._others)
        if self._usage is None and not written:
            return None
        return to_usage(self._usage, prompt_tokens=self._prompt_tokens, output_estimate=written)

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        """The upstream broke: close what is open, then one ``error``, no ``message_stop``. A tool
        call whose arguments are not whole is left open: clients run what was closed. Includes
        what a ``feed`` that raised had to send before.
        """
        if self.state is State.CLOSED:
            return []
        self._end_relay()
        if not self._queue.in_half_a_call:
            self._queue.close()
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
            self._end(stop_reason(choice.finish_reason), self._named(choice))

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
        self._queue.pump()

    def _put(self, pieces: list[Piece]) -> None:
        if self._plan.no_output:
            return
        for piece in pieces:
            if isinstance(piece, FoundCall):
                self._queue.admit(Call.found(piece))
                self._count(piece.arguments)
            elif isinstance(piece, Reasoning):
                self._queue.add(State.THINKING, piece.text)
                self._count(piece.text)
            else:
                self._queue.add(State.TEXT, piece)
                self._count(piece)

    def _tool_calls(self, deltas: list[ToolCallDelta]) -> None:
        self._put(self._path.flush())
        if self._path.stopped is not None:
            return
        for call, arguments in self._book.take(deltas):
            self._count(arguments)
            if call.closed and arguments.strip():
                raise garbage(f"the arguments of the tool call {call.name!r} went on after the end")
            if not call.admitted:
                self._queue.admit(call)

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
        elif self._queue.calls and stop == "end_turn":
            stop = "tool_use"
        if self._plan.no_output:
            stop, sequence = "max_tokens", None
        self._stop, self._sequence = stop, sequence
        self._queue.pump(last=True, truncated=stop in TRUNCATED)
