"""How an answer that is not what was asked for is asked for again."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation.hosted.round_parts import call_request, with_said
from deepseek_messages.translation.hosted.structured import SchemaCheck
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    JsonSchema,
    ResponseFormat,
    UserMessage,
)


def insist(chat: ChatRequest, plan: RoundPlan, reply: ReplyPlan) -> ChatRequest:
    """The same with a forced call asked for in words, without thinking."""
    name = reply.forced_tool
    tool = f"the tool {name}" if name else "one of the tools"
    messages = with_said(chat.messages, f"Call {tool} now. Do not answer in text.")
    return _quietly(chat, plan, messages=messages)


def repair(chat: ChatRequest, plan: RoundPlan, said: str, problems: Sequence[str]) -> ChatRequest:
    """The same behind ``said``, an answer that does not fit its schema."""
    listed = "\n".join(f"- {problem}" for problem in problems)
    correction = (
        f"That is not valid JSON for the schema:\n{listed}\n"
        "Answer again, with the corrected JSON and nothing else."
    )
    messages = [*chat.messages, AssistantMessage(content=said), UserMessage(content=correction)]
    return _quietly(chat, plan, messages=messages)


def can_emulate(plan: RoundPlan) -> bool:
    """Whether a call can be asked for as JSON."""
    return plan.dialect.json_object or plan.dialect.json_schema


def ask_for_json(chat: ChatRequest, plan: RoundPlan, reply: ReplyPlan) -> ChatRequest:
    """The same without tools: the call is asked for as JSON."""
    schema = _call_schema(chat, reply)
    form = ResponseFormat("json_object")
    if plan.dialect.json_schema:
        form = ResponseFormat("json_schema", JsonSchema(name="call", schema=schema))
    return _quietly(
        chat,
        plan,
        messages=with_said(chat.messages, call_request(schema)),
        tools=None,
        tool_choice=None,
        parallel_tool_calls=None,
        response_format=form,
    )


def fits(plan: RoundPlan, name: str, arguments: str) -> bool:
    """Whether a call's arguments satisfy the tool's schema. One that cannot be checked does."""
    for tool in plan.book.functions:
        if tool.function.name == name and tool.function.parameters is not UNSET:
            try:
                return not SchemaCheck(tool.function.parameters, "tools").problems(arguments)
            except Refusal:
                return True
    return True


def _quietly(chat: ChatRequest, plan: RoundPlan, **fields: Any) -> ChatRequest:
    return replace(chat, **{**plan.quiet, **fields})


def _call_schema(chat: ChatRequest, reply: ReplyPlan) -> Raw:
    """A call as JSON: the tool's name and its arguments."""
    options = []
    for tool in chat.tools or ():
        function = tool.function
        if reply.forced_tool in {None, function.name}:
            parameters = Raw(b"{}") if function.parameters is UNSET else function.parameters
            options.append(
                {
                    "type": "object",
                    "description": function.description or "",
                    "properties": {"name": {"const": function.name}, "arguments": parameters},
                    "required": ["name", "arguments"],
                }
            )
    whole = options[0] if len(options) == 1 else {"anyOf": options}
    return Raw(msgspec.json.encode(whole))
