"""System prompts: the top-level one, and system messages inside the conversation."""

from typing import Literal

from msgspec import Raw

from deepseek_messages.translation.catalogue import Encoding
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.wire.content import TextBlock

# Claude Code's first system block: accounting for Anthropic, changing with each conversation.
# DeepSeek's own converter leaves it out of the prompt too (deepseek-recipe 0.2).
BILLING_PREFIX = "x-anthropic-billing-header:"

# Texts are joined with a blank line everywhere (deepseek-recipe 0.2, both encodings).
JOINT = "\n\n"

SystemPlace = Literal[
    "in_place",  # as a system message, wherever it stands
    "before_turn",  # as a system message only where no turn of the user has begun
    "reminder",  # inside the user's turn
]


def system_place(dialect: Dialect, encoding: Encoding | None) -> SystemPlace:
    """Where a system message inside the conversation goes.

    DeepSeek's V4.1 encoding has a system token for any place; V4's hoists system messages to the
    head of the prompt, which breaks the prefix cache, so there the text goes into the user's turn
    as in DeepSeek's own Messages conversion. Templates that we do not know may answer a trailing
    system message instead of the user, or refuse one that is not first.
    """
    if dialect.system == "user_reminder" or encoding == "v4":
        return "reminder"
    return "in_place" if encoding == "v4.1" else "before_turn"


def reminder(text: str) -> str:
    """A system text inside a user's turn, marked as DeepSeek's own conversion marks it."""
    return f"<system-reminder>\n{text}\n</system-reminder>"


def system_text(system: str | list[TextBlock] | None, notes: Notes) -> str:
    """The top-level system prompt as one text, without the billing block."""
    if system is None or isinstance(system, str):
        return system or ""
    texts = []
    for index, block in enumerate(system):
        if block.text.startswith(BILLING_PREFIX):
            notes.once(Action.IGNORED, "system.billing_header", f"system.{index}")
        else:
            texts.append(block.text)
    return JOINT.join(texts)


def schema_instruction(schema: Raw) -> str:
    """What a model without schema-constrained output is told. DeepSeek's JSON mode wants the word
    "json" in the prompt and an instruction to write it (DeepSeek API guide, JSON output).
    """
    return (
        "Answer with one JSON value and nothing else: no code fence, no words before or after it."
        " The JSON must be valid against this JSON Schema:\n" + bytes(schema).decode("utf-8")
    )
