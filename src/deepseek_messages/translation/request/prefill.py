"""Prefill: a last assistant message is an answer that the model continues."""

from typing import Any

from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.hosted import HostedResult
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.chat import AssistantMessage, ChatMessage
from deepseek_messages.wire.content import CompactionBlock, TextBlock, ToolUseBlock
from deepseek_messages.wire.messages import InputMessage, MessagesRequest


def is_prefilled(request: MessagesRequest, book: ToolBook, dialect: Dialect, notes: Notes) -> bool:
    """Whether the last message is an answer to be continued, and can be."""
    last = request.messages[-1]
    if last.role != "assistant" or not _is_unfinished_text(last, book):
        return False
    if dialect.prefix == "none" or (
        # "Function call should not be used with prefix" (DeepSeek; deepseek-recipe 0.2)
        dialect.prefix == "beta_prefix" and (book.functions or _has_calls(request))
    ):
        notes.add(Action.DROPPED, "prefill", f"messages.{len(request.messages) - 1}")
        return False
    return True


def _is_unfinished_text(message: InputMessage, book: ToolBook) -> bool:
    """Text, and no call that would have ended the answer. What stands before a summary is gone,
    and behind the result of a tool that runs here a new message begins.
    """
    content = message.content
    if content is None or isinstance(content, str):
        return bool(content)
    if any(isinstance(block, ToolUseBlock) for block in content):
        return False
    for block in reversed(content):
        if isinstance(block, TextBlock) and block.text:
            return True
        if isinstance(block, CompactionBlock) and block.content:
            return False
        if isinstance(block, HostedResult) and book.server:
            return False
    return False


def _has_calls(request: MessagesRequest) -> bool:
    return any(
        isinstance(block, ToolUseBlock)
        for message in request.messages
        if message.role == "assistant" and message.content and not isinstance(message.content, str)
        for block in message.content
    )


def mark(messages: list[ChatMessage], dialect: Dialect) -> str:
    """Mark the last message for the upstream's prefix mode; its text is what the answer follows."""
    last = messages[-1]
    assert isinstance(last, AssistantMessage)
    text = last.content if isinstance(last.content, str) else ""
    prefix = True if dialect.prefix == "beta_prefix" else None
    wo_eos = True if dialect.prefix_wo_eos else None
    messages[-1] = AssistantMessage(content=text, prefix=prefix, wo_eos=wo_eos)
    return text


def continuation(dialect: Dialect) -> dict[str, Any]:
    """What vLLM and SGLang must be told to continue the last message."""
    if dialect.prefix != "continue_final_message":
        return {}
    return {"continue_final_message": True, "add_generation_prompt": False}
