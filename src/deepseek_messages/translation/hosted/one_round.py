"""One call of the upstream within an answer: what the client sees of it, and what is kept of it.

What the client must not see of a try that may fail is held back until it is known to be good
(``rounds`` says what and why). What the model wrote is kept for the next call.
"""

from collections.abc import Sequence

from msgspec import Raw, Struct

from deepseek_messages.translation.answer.stages import Stream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.round_parts import (
    MadeCall,
    marks_of,
    server_id,
    server_start,
    text_of_chunk,
)
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import ChatChunk, ChatUsage
from deepseek_messages.wire.events import (
    CitationsDelta,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    InputJsonDelta,
    MessageDelta,
    MessageStart,
    MessageStop,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ToolUseStart,
)
from deepseek_messages.wire.messages import Usage


class Seen(Struct, kw_only=True):
    """What the client has seen of the answer, over all its calls."""

    index: int  # of the next block
    started: bool  # message_start was sent
    call_ids: set[str]  # in the history and in the answer
    forced_call: bool = False  # the call that tool_choice asks for

    def block(self, block: Raw) -> list[StreamEvent]:
        """A block that comes whole."""
        index = self.index
        self.index += 1
        return [
            ContentBlockStart(index=index, content_block=block),
            ContentBlockStop(index=index),
        ]


class OneRound:
    """Feed it as ``MessageStream``."""

    def __init__(
        self, stream: Stream, plan: RoundPlan, reply: ReplyPlan, seen: Seen, *, as_json: bool
    ) -> None:
        """``as_json``: the call of a tool is asked for as JSON, which nobody is to see."""
        self.gated = plan.check == "call" and not seen.forced_call
        self.calls: list[MadeCall] = []
        self.end: MessageDelta | None = None
        self.emulated = ""  # what was asked for as JSON
        self.as_json = as_json
        self._stream = stream
        self._plan = plan
        self._reply = reply
        self._tools = plan.book.server
        self._seen = seen
        self._held: list[StreamEvent] = []
        self._holding_text = False
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._current: MadeCall | None = None

    @property
    def complete(self) -> bool:
        return self._stream.complete

    @property
    def text(self) -> str:
        """What the model wrote, with the marks of its citations."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    def start(self) -> list[StreamEvent]:
        """``message_start``, if it was not sent yet."""
        return self._take(self._stream.start())

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        """Take the next chunk. Raises ``Fault``."""
        if self.as_json:
            self.emulated += text_of_chunk(chunk)
        return self._take(self._stream.feed(chunk))

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        """The call ended; its end is in ``end``, not among the events. Raises ``Fault``."""
        return self._take(self._stream.finish(counted))

    def so_far(self) -> Usage | None:
        """What it has cost until now; nothing if nothing came, and once it ended."""
        return self._stream.so_far() if self.end is None else None

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        """As ``MessageStream.fail``; nothing that is held back is shown."""
        self._held.clear()
        events = self._take(self._stream.fail(fault))
        self._held.clear()
        return events

    def release(self) -> list[StreamEvent]:
        """Show what was held back."""
        held, self._held = self._held, []
        return self._shown(held)

    def show_text(self, text: str) -> list[StreamEvent]:
        """``text`` as the one block, in place of what was held back."""
        self._held = []
        return self._shown(
            [
                ContentBlockStart(index=0, content_block=TextStart()),
                ContentBlockDelta(index=0, delta=TextDelta(text=text)),
                ContentBlockStop(index=0),
            ]
        )

    def _take(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        out: list[StreamEvent] = []
        for event in events:
            match event:
                case MessageStart():
                    if not self._seen.started:
                        self._seen.started = True
                        out.append(event)
                case MessageDelta():
                    self.end = event
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
                self._seen.call_ids.add(call_id)
                tool = self._tools.get(name)
                self._current = MadeCall(server_id(call_id, tool), name, tool)
                self.calls.append(self._current)
                if self.gated and self._is_right(name):
                    self._seen.forced_call, self.gated = True, False
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
                self._texts.append(marks_of(citation, self._plan.citable))
            case ThinkingDelta(thinking=text):
                self._reasoning.append(text)
            case InputJsonDelta(partial_json=text) if self._current is not None:
                self._current.arguments += text
            case _:
                pass

    def _pass(self, event: StreamEvent) -> list[StreamEvent]:
        """Send an event of a block, or hold it back."""
        if self.gated or self.as_json or self._holding_text:
            self._held.append(event)
            return []
        return [*self.release(), *self._send(event)]

    def _shown(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        return [sent for event in events for sent in self._send(event)]

    def _send(self, event: StreamEvent) -> list[StreamEvent]:
        seen = self._seen
        match event:
            case ContentBlockStart(content_block=start):
                if isinstance(start, ToolUseStart) and start.name in self._tools:
                    start = server_start(start, self._tools[start.name])
                return [ContentBlockStart(index=seen.index, content_block=start)]
            case ContentBlockDelta(delta=ThinkingDelta()) if self._reply.display == "omitted":
                return []
            case ContentBlockDelta(delta=delta):
                return [ContentBlockDelta(index=seen.index, delta=delta)]
            case ContentBlockStop():
                seen.index += 1
                return [ContentBlockStop(index=seen.index - 1)]
            case _:
                return [event]
