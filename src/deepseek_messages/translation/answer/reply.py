"""The stream of an answer with everything its request asks for."""

from deepseek_messages.translation.answer.block_queue import Sealer
from deepseek_messages.translation.answer.stages import EventStage, StagedStream, Stream
from deepseek_messages.translation.answer.stream import MessageStream
from deepseek_messages.translation.citing.citations import CitationStage
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.translation.request.compaction import CompactionStage


def reply_stream(
    plan: ReplyPlan, message_id: str, *, prompt_tokens: int | None, seal: Sealer | None
) -> Stream:
    """A ``MessageStream`` with the stages that ``plan`` needs behind it; for most answers none."""
    stream: Stream = MessageStream(plan, message_id, prompt_tokens=prompt_tokens, seal=seal)
    for stage in _stages(plan):
        stream = StagedStream(stream, stage)
    return stream


def _stages(plan: ReplyPlan) -> list[EventStage]:
    stages: list[EventStage] = []
    if plan.sources:
        stages.append(CitationStage(plan.sources))
    if plan.compaction:  # behind the citations: a summary has no sources, so its marks go
        stages.append(CompactionStage())
    return stages
