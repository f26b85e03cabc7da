"""Thinking: whether it is on, how hard, and the reasoning of earlier turns."""

from typing import Literal

from msgspec import Struct

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.chat import ThinkingSwitch
from deepseek_messages.wire.messages import Effort, MessagesRequest, ThinkingBlock


class ThinkingMode(Struct, frozen=True):
    """What the chat request says about thinking."""

    on: bool
    switch: ThinkingSwitch | None = None
    template: dict[str, bool | str] | None = None
    effort: str | None = None


def is_wanted(request: MessagesRequest, choice: Choice, notes: Notes) -> bool:
    """Whether the client wants thinking: what it says, else what the model's name says, else off
    (Anthropic's meaning of absence; clients leave the field out to say "off").
    """
    thinking = request.thinking
    if thinking is None:
        return bool(choice.thinking_default) and choice.model.thinks
    if thinking.type == "disabled":
        return False
    if not choice.model.thinks:
        notes.add(Action.IGNORED, "thinking", "thinking")
        return False
    if thinking.budget_tokens is not None:
        notes.add(Action.IGNORED, "thinking.budget_tokens", "thinking.budget_tokens")
    return True


def mode(*, on: bool, request: MessagesRequest, dialect: Dialect) -> ThinkingMode:
    """The chat request's settings. DeepSeek once refused ``reasoning_effort`` next to disabled
    thinking, so an effort is only ever sent with thinking on.
    """
    effort = dialect.efforts.get(wanted_effort(request) or "") if on else None
    if dialect.thinking == "thinking":
        state: Literal["enabled", "disabled"] = "enabled" if on else "disabled"
        return ThinkingMode(on=on, switch=ThinkingSwitch(state), effort=effort)
    if dialect.thinking == "template":
        switches: dict[str, bool | str] = {"thinking": on, "enable_thinking": on}
        return ThinkingMode(on=on, template=switches, effort=effort)
    if dialect.thinking == "effort":
        return ThinkingMode(on=on, effort=effort if on else "none")
    return ThinkingMode(on=on, effort=effort)


def wanted_effort(request: MessagesRequest) -> Effort | None:
    """The effort that holds now: the last message that sets one, else the request's own."""
    for message in reversed(request.messages):
        if message.output_config is not None and message.output_config.effort is not None:
            return message.output_config.effort
    return request.output_config.effort if request.output_config is not None else None


def reasoning_of(block: ThinkingBlock, seal: Seal) -> str:
    """The reasoning a thinking block stands for: its text, or what our signature carries when
    the text is empty. Foreign, forged and missing signatures count for nothing.
    """
    if block.thinking or not block.signature:
        return block.thinking
    return seal.open(block.signature) or ""
