"""Thinking: whether it is on, how hard, and the reasoning of earlier turns."""

from typing import Any

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.seal import Seal
from deepseek_messages.wire.chat import ThinkingSwitch
from deepseek_messages.wire.content import ThinkingBlock
from deepseek_messages.wire.messages import Effort, MessagesRequest

_SWITCHES = {True: ThinkingSwitch("enabled"), False: ThinkingSwitch("disabled")}


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


def is_on(
    request: MessagesRequest,
    choice: Choice,
    dialect: Dialect,
    notes: Notes,
    *,
    forced: bool,
    prefill: bool,
) -> bool:
    """Whether this call thinks. A forced tool call and a continued answer go before thinking
    where the upstream cannot do both (DeepSeek: "Thinking mode does not support this
    tool_choice"); Anthropic refuses both combinations.
    """
    if not is_wanted(request, choice, notes):
        return False
    if forced and not dialect.forced_tool_while_thinking:
        notes.add(Action.EMULATED, "tool_choice.thinking_off", "tool_choice")
        return False
    if prefill:
        last = len(request.messages) - 1
        notes.add(Action.EMULATED, "prefill.thinking_off", f"messages.{last}")
        return False
    return True


def fields_of(*, on: bool, request: MessagesRequest, dialect: Dialect) -> dict[str, Any]:
    """What the chat request says about thinking, by the names of ``ChatRequest``. DeepSeek once
    refused ``reasoning_effort`` next to disabled thinking, so an effort is only ever sent with
    thinking on.
    """
    fields: dict[str, Any] = {}
    if dialect.thinking == "thinking":
        fields["thinking"] = _SWITCHES[on]
    elif dialect.thinking == "template":
        fields["chat_template_kwargs"] = {"thinking": on, "enable_thinking": on}
    elif dialect.thinking == "effort" and not on:
        fields["reasoning_effort"] = "none"
    effort = dialect.efforts.get(wanted_effort(request) or "") if on else None
    if effort is not None:
        fields["reasoning_effort"] = effort
    return fields


def quiet_fields(request: MessagesRequest, dialect: Dialect) -> dict[str, Any]:
    """What turns thinking off in a chat request that may have it on."""
    unset = {"thinking": None, "chat_template_kwargs": None, "reasoning_effort": None}
    return unset | fields_of(on=False, request=request, dialect=dialect)


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
