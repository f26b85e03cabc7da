"""The commonest whole answer, at once: text, perhaps reasoning before it, and nothing else.

``response.fold`` over a ``MessageStream`` is what every answer means; this gives the same Message
for answers in which that stream would find nothing to do, at a fraction of the work. Whatever is
not certainly such an answer gives ``None``. Tests compare the two over generated answers.
"""

from msgspec import UNSET

from deepseek_messages.translation.answer.block_queue import Sealer
from deepseek_messages.translation.answer.usage import count_characters, estimate_tokens, to_usage
from deepseek_messages.translation.limits import MAX_ANSWER_BYTES
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ChatAnswer
from deepseek_messages.wire.content import OutputBlock, OutputTextBlock, OutputThinkingBlock
from deepseek_messages.wire.messages import Message, StopReason

_STOPS: dict[str, StopReason] = {"stop": "end_turn", "length": "max_tokens"}


def whole_message(
    answer: ChatAnswer, plan: ReplyPlan, message_id: str, *, seal: Sealer | None
) -> Message | None:
    """The Message for ``answer``; ``None`` when it takes the stream of events to tell."""
    if answer.error is not UNSET or not answer.choices or not _is_plain(plan):
        return None
    choice = answer.choices[0]
    said, stop = choice.message, _STOPS.get(choice.finish_reason or "")
    if said is None or stop is None or said.tool_calls or said.refusal:
        return None
    text, reasoning = said.content, said.reasoning_content or said.reasoning or ""
    # A "<" may begin a think tag or a tool call's mark-up.
    if not text or text.isspace() or "<" in text or len(text) + len(reasoning) > MAX_ANSWER_BYTES:
        return None
    content: list[OutputBlock] = []
    if reasoning:
        shown = reasoning if plan.display == "shown" else ""
        signature = seal.seal(reasoning) if seal is not None else ""
        content.append(OutputThinkingBlock(thinking=shown, signature=signature))
    content.append(OutputTextBlock(text=text))
    return Message(
        id=message_id,
        model=plan.model,
        content=[*content],
        stop_reason=stop,
        stop_sequence=None,
        usage=to_usage(
            answer.usage,
            prompt_tokens=None,
            output_estimate=estimate_tokens(*count_characters(text + reasoning)),
        ),
        context_management=plan.context_management,
    )


def _is_plain(plan: ReplyPlan) -> bool:
    """Whether nothing about the request asks for a closer look at its answer."""
    return not (
        plan.stop_sequences
        or plan.watch_stops
        or plan.prefill
        or plan.starts_thinking
        or plan.sources
        or plan.compaction
        or plan.no_output
    )
