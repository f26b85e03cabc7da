"""The events of one Messages stream, in their only lawful order.

What a client may see is this language (Anthropic's streaming contract; one block at a time):

    message_start
    (content_block_start content_block_delta* content_block_stop)*
    message_delta message_stop

or a beginning of it and then one ``error``, before which the open block is closed; but a tool
call without the end of its input stays open, so that no client takes it for a whole one (half a
command is another command). The state is where we are in it:

    START ──▶ BETWEEN ◀──▶ THINKING | TEXT | TOOL
      └───────▶ CLOSED ◀── BETWEEN | TOOL

A block counts as open only once its start was written, so that nothing is ever closed, and no
delta written, that the client has not seen begin.
"""

from enum import Enum

from msgspec import UNSET, UnsetType

from deepseek_messages.wire.errors import ErrorDetail
from deepseek_messages.wire.events import (
    AnyDelta,
    BlockStart,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    InputJsonDelta,
    MessageDelta,
    MessageDeltaBody,
    MessageStart,
    MessageStop,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)
from deepseek_messages.wire.messages import ContextManagement, Message, Usage


class State(Enum):
    """Where the stream of events is."""

    START = "start"  # nothing written
    BETWEEN = "between"  # message_start written, no block open
    THINKING = "thinking"
    TEXT = "text"
    TOOL = "tool"
    CLOSED = "closed"  # message_stop or error written

    # Each is the only one of its kind; Enum's own hash is a Python function.
    __hash__ = object.__hash__


MOVES: dict[State, frozenset[State]] = {
    State.START: frozenset({State.BETWEEN, State.CLOSED}),
    State.BETWEEN: frozenset({State.THINKING, State.TEXT, State.TOOL, State.CLOSED}),
    State.THINKING: frozenset({State.BETWEEN}),
    State.TEXT: frozenset({State.BETWEEN}),
    State.TOOL: frozenset({State.BETWEEN, State.CLOSED}),
    State.CLOSED: frozenset(),
}

# The block that a start opens, and the deltas that fit it.
_BLOCKS: dict[type[BlockStart], State] = {
    ThinkingStart: State.THINKING,
    TextStart: State.TEXT,
    ToolUseStart: State.TOOL,
}
_FITS: dict[State, tuple[type, ...]] = {
    State.THINKING: (ThinkingDelta, SignatureDelta),
    State.TEXT: (TextDelta,),
    State.TOOL: (InputJsonDelta,),
}


class IllegalMoveError(Exception):
    """An event at a place where the contract has none: a bug here, never a fault outside."""


class EventWriter:
    """Writes events. An illegal move is a bug of ours and raises ``IllegalMoveError``."""

    def __init__(self) -> None:
        self.state = State.START
        self.index = 0  # of the open block, or of the next one
        self._events: list[StreamEvent] = []

    def take(self) -> list[StreamEvent]:
        """What was written since the last time."""
        events, self._events = self._events, []
        return events

    def keep(self, events: list[StreamEvent]) -> None:
        """Put events back that were taken too early."""
        self._events += events

    def begin(self, message: Message) -> None:
        """``message_start``."""
        self._move(State.BETWEEN)
        self._events.append(MessageStart(message=message))

    def open(self, start: ThinkingStart | TextStart | ToolUseStart) -> None:
        """Open the next block."""
        self._move(_BLOCKS[type(start)])
        self._events.append(ContentBlockStart(index=self.index, content_block=start))

    def delta(self, delta: AnyDelta) -> None:
        """Add to the open block."""
        if not isinstance(delta, _FITS.get(self.state, ())):
            raise IllegalMoveError(f"{type(delta).__name__} does not fit {self.state.value}")
        self._events.append(ContentBlockDelta(index=self.index, delta=delta))

    def close(self) -> None:
        """Close the open block."""
        if self.state not in _FITS:
            raise IllegalMoveError(f"no block is open in {self.state.value}")
        self._move(State.BETWEEN)
        self._events.append(ContentBlockStop(index=self.index))
        self.index += 1

    def end(
        self,
        body: MessageDeltaBody,
        usage: Usage,
        context: ContextManagement | UnsetType = UNSET,
    ) -> None:
        """``message_delta`` and ``message_stop``."""
        if self.state is not State.BETWEEN:
            raise IllegalMoveError(f"a message cannot end in {self.state.value}")
        self._move(State.CLOSED)
        self._events += [
            MessageDelta(delta=body, usage=usage, context_management=context),
            MessageStop(),
        ]

    def error(self, detail: ErrorDetail) -> None:
        """The one ``error`` event, instead of the rest."""
        self._move(State.CLOSED)
        self._events.append(ErrorEvent(error=detail))

    def _move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            raise IllegalMoveError(f"illegal move from {self.state.value} to {state.value}")
        self.state = state
