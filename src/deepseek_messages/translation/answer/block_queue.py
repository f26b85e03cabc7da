"""Blocks in order of first sight: one is open, the others wait.

What an upstream sends has no blocks: reasoning, text and calls come in any mixture. So what
arrives is put into *runs*. The first run is the open block and streams through; whatever belongs
to a later one waits. A run of reasoning or text is over as soon as another begins; a call is over
when its arguments are closed JSON and another run waits, and at the latest at the answer's end.
Thus interleaved calls lose nothing and never overlap.

Rules that are decisions:

* Empty and blank text opens no block: Anthropic's API refuses blank text blocks when they are
  sent back. Blanks before visible text are kept. Reasoning is kept exactly.
* Arguments go through byte for byte. Only an object or array streams; any other beginning waits
  for the end, since the official SDKs cannot read a cut scalar. At the end they must be JSON:
  no arguments at all are ``{}``; a call cut off by the token limit is closed as it is and
  ``max_tokens`` says why; anything else is a fault, since the client would run a wrong call.
* A call whose name never comes gets the forced tool's, or the only tool's; otherwise it is a
  fault (or left out, if the token limit cut it off).
"""

from collections import deque
from typing import Protocol

from deepseek_messages.translation.answer.partial_json import is_json
from deepseek_messages.translation.answer.toolcalls import Call, CallIds
from deepseek_messages.translation.answer.writer import EventWriter, State
from deepseek_messages.translation.faults import garbage
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.events import (
    InputJsonDelta,
    SignatureDelta,
    TextDelta,
    TextStart,
    ThinkingDelta,
    ThinkingStart,
    ToolUseStart,
)

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


class BlockQueue:
    """Writes runs as blocks. ``runs`` and ``reasoning`` (of the open thinking block) are the same
    lists all the time; ``calls`` counts the calls that the client sees.
    """

    __slots__ = ("_ids", "_plan", "_seal", "_writer", "calls", "reasoning", "runs")

    def __init__(
        self, plan: ReplyPlan, message_id: str, writer: EventWriter, seal: Sealer | None
    ) -> None:
        self.runs: deque[Run | Call] = deque()  # the first is the open block's
        self.reasoning: list[str] = []
        self.calls = 0
        self._plan = plan
        self._writer = writer
        self._ids = CallIds(message_id, plan.used_tool_ids)
        self._seal = seal

    def add(self, kind: State, text: str) -> None:
        """More reasoning or text."""
        last = self.runs[-1] if self.runs else None
        if not isinstance(last, Run) or last.kind is not kind:
            last = Run(kind)
            self.runs.append(last)
        last.texts.append(text)

    def admit(self, call: Call) -> None:
        """Queue a call at first sight; all but the first are left out where one is allowed."""
        call.admitted = True
        if self._plan.no_output or (self._plan.single_tool and self.calls):
            return
        self.calls += 1
        self.runs.append(call)

    def pump(self, *, last: bool = False, truncated: bool = False) -> None:
        """Send what the first run has; go on to the next while it is over. At the ``last`` time
        all are; ``truncated``: the token limit ended the answer.
        """
        while self.runs:
            run = self.runs[0]
            over = last or (len(self.runs) > 1 and (isinstance(run, Run) or run.whole))
            if isinstance(run, Call):
                self._send_call(run, over=over, truncated=truncated)
            elif run.kind is State.THINKING:
                self._send_reasoning(run)
            else:
                self._send_text(run)
            if not over:
                break
            self.close()
            self.runs.popleft()

    def _send_reasoning(self, run: Run) -> None:
        if self._writer.state is State.BETWEEN and run.texts:
            self._writer.open(ThinkingStart())
        for text in run.texts:
            self.reasoning.append(text)
            if self._plan.display == "shown":
                self._writer.delta(ThinkingDelta(thinking=text))
        run.texts.clear()

    def _send_text(self, run: Run) -> None:
        if self._writer.state is State.BETWEEN and run.texts:
            text = "".join(run.texts)
            run.texts = [text]
            if text.isspace() and len(text) <= MAX_BLANKS:
                return
            self._writer.open(TextStart())
        for text in run.texts:
            self._writer.delta(TextDelta(text=text))
        run.texts.clear()

    def _send_call(self, call: Call, *, over: bool, truncated: bool) -> None:
        if self._writer.state is State.BETWEEN:
            if over and not call.name:
                call.name = self._missing_name(truncated=truncated)
            if not self._ready(call, over=over):
                return
            name = self._plan.tool_names.get(call.name, call.name)
            self._writer.open(ToolUseStart(id=self._ids.give(call.id), name=name))
        if over:
            self._finish_call(call, truncated=truncated)
        elif call.streams and (text := call.unsent()):
            self._writer.delta(InputJsonDelta(partial_json=text))

    def _ready(self, call: Call, *, over: bool) -> bool:
        """Whether the name is there and whole: names may come in pieces."""
        if not call.name:
            return False
        return over or not self._plan.tools or call.name in self._plan.tools or bool(call.size)

    def _missing_name(self, *, truncated: bool) -> str:
        if self._plan.forced_tool is not None:
            return self._plan.forced_tool
        if len(self._plan.tools) == 1:
            return next(iter(self._plan.tools))
        if truncated:
            return ""
        raise garbage("the upstream made a tool call without a name")

    def _finish_call(self, call: Call, *, truncated: bool) -> None:
        """Send the rest of the arguments; see to it that they are JSON, or that it is said why
        they are not.
        """
        call.closed = True
        text = call.arguments.strip()
        truncated = truncated or call.truncated
        if text in {"", "null"}:
            if not truncated:
                self._writer.delta(InputJsonDelta(partial_json="{}"))
            return
        valid = is_json(text)
        if not (valid or truncated):
            raise garbage(f"the arguments of the tool call {call.name!r} are not JSON")
        if (valid or call.streams) and (rest := call.unsent()):
            self._writer.delta(InputJsonDelta(partial_json=rest))

    @property
    def in_half_a_call(self) -> bool:
        """Whether a call is open whose arguments are not whole."""
        if self._writer.state is not State.TOOL:
            return False
        call = self.runs[0] if self.runs else None
        return not (isinstance(call, Call) and is_json(call.arguments))

    def close(self) -> None:
        """Close the open block, if there is one."""
        if self._writer.state is State.THINKING:
            reasoning = "".join(self.reasoning)
            self.reasoning.clear()
            if self._seal is not None and (signature := self._seal.seal(reasoning)):
                self._writer.delta(SignatureDelta(signature=signature))
        if self._writer.state in {State.THINKING, State.TEXT, State.TOOL}:
            self._writer.close()
