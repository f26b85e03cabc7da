"""Compaction: a summary that stands in for the conversation.

``compaction: {"type": "summarize"}`` is answered by one ``compaction`` block alone; a later
request sends it back in place of what it summarises (types of Anthropic's SDK, anthropic 2.12,
``beta_compaction_config_param`` and ``beta_compaction_block``).
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from deepseek_messages.wire.content import CompactionBlock
from deepseek_messages.wire.events import (
    CompactionDelta,
    CompactionStart,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    MessageDelta,
    StreamEvent,
    TextDelta,
)
from deepseek_messages.wire.messages import InputMessage

HEAD = "Summary of the conversation so far:\n\n"


def summarised(messages: Sequence[InputMessage]) -> tuple[int, int] | None:
    """Message and block of the last summary in a conversation; what is before it is left out."""
    if not _has_summary(messages):
        return None
    for index in range(len(messages) - 1, -1, -1):
        content = messages[index].content
        if not isinstance(content, list):
            continue
        for position in range(len(content) - 1, -1, -1):
            block = content[position]
            if isinstance(block, CompactionBlock) and block.content:
                return index, position
    return None


def _has_summary(messages: Sequence[InputMessage]) -> bool:
    """Every block of every request is looked at here, so nothing is done but that."""
    for message in messages:
        content = message.content
        if type(content) is list:
            for block in content:
                if type(block) is CompactionBlock:
                    return True
    return False


class CompactionStage:
    """Turns the events of an answer into those of one ``compaction`` block. Its content is null
    when no whole summary came, which clients take for a compaction that failed.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def take(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        """What ``events`` come to."""
        taken: list[StreamEvent] = []
        for event in events:
            match event:
                case ContentBlockDelta(delta=TextDelta(text=text)):
                    self._texts.append(text)
                case ContentBlockStart() | ContentBlockDelta() | ContentBlockStop():
                    continue
                case MessageDelta():
                    text = "".join(self._texts).strip()
                    whole = event.delta.stop_reason == "end_turn" and text
                    taken += block_events(text if whole else None)
                    body = replace(event.delta, stop_reason="compaction", stop_sequence=None)
                    taken.append(replace(event, delta=body))
                case _:
                    taken.append(event)
        return taken


def block_events(summary: str | None) -> list[StreamEvent]:
    """The first block of an answer: ``summary``, or none that could be made."""
    return [
        ContentBlockStart(index=0, content_block=CompactionStart()),
        ContentBlockDelta(index=0, delta=CompactionDelta(content=summary)),
        ContentBlockStop(index=0),
    ]
