"""An answer that begins with a summary of its own conversation and then goes on.

``compact_20260112`` without ``pause_after_compaction`` (types of Anthropic's SDK, anthropic 2.12,
``beta_compact_20260112_edit_param``): one call of the upstream writes the summary, the next ones
answer what was asked, from the summary in place of all messages. The client sees one answer whose
first block is the ``compaction``; sent back, it stands for what was before it.

``Compacted`` stands where ``Rounds`` stands. A summary that does not come whole, or whose call
breaks, leaves a block with null content, "a failed compaction" that is a no-op when it comes back;
the answer then rests on the whole conversation. So only the answer's own calls can fail it.

Usage is as the SDK describes it (``beta_usage``): ``iterations`` tells each call, and the figures
on top leave the summary's out.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from deepseek_messages.translation.answer.reply import reply_stream
from deepseek_messages.translation.faults import Fault
from deepseek_messages.translation.hosted.round_parts import PendingTool, iteration
from deepseek_messages.translation.hosted.rounds import Need, Rounds
from deepseek_messages.translation.hosted.server_tools import Outcome
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import Follow, ReplyPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request.compaction import block_events
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.chat import ChatChunk, ChatRequest, ChatUsage
from deepseek_messages.wire.events import (
    CompactionDelta,
    ContentBlockDelta,
    MessageDelta,
    MessageStop,
    StreamEvent,
)
from deepseek_messages.wire.messages import Usage


class Compacted:
    """Feed it as ``Rounds``. ``follow`` gives what is asked once the summary is there, or once it
    is known that none comes.
    """

    def __init__(
        self,
        chat: ChatRequest,
        reply: ReplyPlan,
        follow: Follow,
        message_id: str,
        *,
        notes: Notes,
        prompt_tokens: int | None,
        seal: Seal,
    ) -> None:
        self._chat = chat
        self._reply = reply
        self._follow = follow
        self._message_id = message_id
        self._notes = notes
        self._seal = seal
        self._summary = reply_stream(reply, message_id, prompt_tokens=prompt_tokens, seal=seal)
        self._summary_end: Usage | None = None
        self._owed: list[StreamEvent] = []  # goes out with the next events
        self._answer: Rounds | None = None

    # --- as Rounds --------------------------------------------------------------------------------

    @property
    def need(self) -> Need:
        return Need.CALL if self._answer is None else self._answer.need

    @property
    def chat(self) -> ChatRequest:
        return self._chat if self._answer is None else self._answer.chat

    @property
    def reply(self) -> ReplyPlan:
        return self._reply if self._answer is None else self._answer.reply

    @property
    def waiting(self) -> list[PendingTool]:
        return [] if self._answer is None else self._answer.waiting

    @property
    def complete(self) -> bool:
        return self._summary.complete if self._answer is None else self._answer.complete

    def start(self) -> list[StreamEvent]:
        """``message_start``, if it was not sent yet."""
        return self._of_summary(self._summary.start()) if self._answer is None else []

    def feed(self, chunk: ChatChunk) -> list[StreamEvent]:
        """Take the next chunk of the present call. Raises ``Fault``."""
        if self._answer is None:
            return self._of_summary(self._summary.feed(chunk))
        return self._of_answer(self._answer.feed(chunk))

    def finish(self, counted: ChatUsage | None = None) -> list[StreamEvent]:
        """The present call ended. Raises ``Fault`` when the answer's last try failed."""
        if self._answer is not None:
            return self._of_answer(self._answer.finish(counted))
        events = self._of_summary(self._summary.finish(counted))
        written = [
            event.delta.content
            for event in events
            if isinstance(event, ContentBlockDelta) and isinstance(event.delta, CompactionDelta)
        ]
        self._go_on(written[0] if written else None)
        return events

    def results(self, outcomes: Sequence[Outcome]) -> list[StreamEvent]:
        """As ``Rounds.results``."""
        assert self._answer is not None
        return self._of_answer(self._answer.results(outcomes))

    def retry(self, fault: Fault) -> bool:
        """Whether the answer goes on after ``fault``: always, if only the summary is lost."""
        if self._answer is not None:
            return self._answer.retry(fault)
        self._owed = [*self._of_summary(self._summary.start()), *block_events(None)]
        self._go_on(None)
        return True

    def so_far(self) -> Usage | None:
        """What the answer has cost until now, the summary's call left out."""
        return None if self._answer is None else self._answer.so_far()

    @property
    def summary_usage(self) -> Usage | None:
        """What the summary has cost; nothing if nothing came."""
        return self._summary_end or self._summary.so_far()

    def fail(self, fault: Fault | Refusal) -> list[StreamEvent]:
        """As ``Rounds.fail``."""
        if self._answer is None:
            return self._of_summary(self._summary.fail(fault))
        return self._of_answer(self._answer.fail(fault))

    # --- from the summary to the answer -----------------------------------------------------------

    def _of_summary(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """The events of the summary's call, without its end."""
        kept: list[StreamEvent] = []
        for event in events:
            if isinstance(event, MessageDelta):
                self._summary_end = event.usage
            elif not isinstance(event, MessageStop):
                kept.append(event)
        return kept

    def _go_on(self, summary: str | None) -> None:
        if summary is None:
            self._notes.add(Action.IGNORED, "context_management.compact", "context_management")
        following = self._follow(summary)
        assert following.rounds is not None
        self._answer = Rounds(
            following.chat,
            following.plan,
            following.rounds,
            self._message_id,
            notes=self._notes,
            prompt_tokens=None,
            seal=self._seal,
            first_index=1,
        )

    def _of_answer(self, events: Sequence[StreamEvent]) -> list[StreamEvent]:
        """The events of the answer; its end tells the usage of all calls."""
        assert self._answer is not None
        owed, self._owed = self._owed, []
        spent = [iteration("message", each) for each in self._answer.spent]
        if (summary := self.summary_usage) is not None:
            spent.insert(0, iteration("compaction", summary))
        return owed + [
            replace(event, usage=replace(event.usage, iterations=tuple(spent)))
            if isinstance(event, MessageDelta)
            else event
            for event in events
        ]
