"""Asking for a summary of the conversation, and what follows from it."""

from typing import Protocol

from msgspec.structs import replace

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import Translation, no_rounds
from deepseek_messages.translation.request.edits import Compact, Edits
from deepseek_messages.wire.content import CompactionBlock
from deepseek_messages.wire.messages import InputMessage, MessagesRequest

INSTRUCTION = (
    "Write a summary of this conversation that can stand in its place, so that the work can go on"
    " from the summary alone: what was asked for, what was decided and done and why, what was"
    " found out (names, paths, numbers, and code that matters, word for word), what is unfinished,"
    " and what comes next. Answer with the summary and nothing else, and call no tool."
)

# Tokens for a summary that an answer goes on from, where there is room. Claude Code keeps 20,000
# free for its own.
SUMMARY_TOKENS = 20_000

# What the question for it takes of the window, at most.
QUESTION_TOKENS = 2_000


class Translate(Protocol):
    """Translates a request for the same upstream (``request.to_chat``)."""

    def __call__(self, request: MessagesRequest, *, notes: Notes, edits: Edits) -> Translation: ...


def asking_message(instructions: str | None) -> InputMessage:
    """The message that asks for the summary."""
    wanted = instructions if instructions and instructions.strip() else INSTRUCTION
    return InputMessage(role="user", content=wanted)


def asking_for_summary(request: MessagesRequest, edits: Edits, notes: Notes) -> MessagesRequest:
    """The request with the question for a summary at its end, for a summary is what it asks for.
    What shapes an answer (a forced call, stop sequences, a schema) is no part of a summary.
    """
    asked = request.compaction or edits.compact
    assert asked is not None
    notes.add(
        Action.EMULATED, "compaction", "compaction" if request.compaction else "context_management"
    )
    question = asking_message(asked.instructions)
    config, choice = request.output_config, request.tool_choice
    return replace(
        request,
        messages=[*request.messages, question],
        tool_choice=choice if choice is not None and choice.type == "none" else None,
        stop_sequences=None,
        output_config=replace(config, format=None) if config is not None else None,
        output_format=None,
    )


def goes_on(request: MessagesRequest, edits: Edits) -> bool:
    """Whether the answer begins with a summary and goes on from it."""
    if request.compaction is not None or edits.compact is None:
        return False
    return not edits.compact.pause_after_compaction


def from_summary(
    request: MessagesRequest,
    model: Model,
    dialect: Dialect,
    notes: Notes,
    *,
    edits: Edits,
    translate: Translate,
) -> Translation:
    """An answer that begins with a summary: the call that asks for it, and what then follows from
    the summary, or from the whole conversation if there is none. What can be refused is refused
    now, and the notes are those of the whole conversation.
    """
    assert edits.compact is not None

    def translated(asked: MessagesRequest, notes: Notes, compact: Compact | None) -> Translation:
        found = translate(asked, notes=notes, edits=replace(edits, compact=compact))
        return replace(found, rounds=found.rounds or no_rounds(dialect, notes))

    whole = translated(request, notes, None)
    notes.add(Action.EMULATED, "compaction", "context_management")
    room = model.context_window - edits.tokens - QUESTION_TOKENS
    most = max(request.max_tokens or 0, min(SUMMARY_TOKENS, room))
    pausing = replace(edits.compact, pause_after_compaction=True)
    first = translated(replace(request, max_tokens=most), Notes(), pausing)

    def follow(summary: str | None) -> Translation:
        if summary is None:
            return whole
        said = InputMessage(role="assistant", content=[CompactionBlock(content=summary)])
        after = replace(request, messages=[*request.messages, said])
        found = translated(after, Notes(), None)
        used = found.plan.used_tool_ids | whole.plan.used_tool_ids
        return replace(found, plan=replace(found.plan, used_tool_ids=used))

    return Translation(first.chat, first.plan, replace(no_rounds(dialect, notes), follow=follow))
