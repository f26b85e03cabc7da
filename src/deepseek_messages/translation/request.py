"""A Messages request to a chat request: the conversation, the tools, the settings.

Texts are joined, tools shown and reasoning kept exactly as DeepSeek's own Messages conversion
does (``deepseek-recipe``), so that the model sees the prompt it would see there, and turn n+1's
prompt begins with turn n's. Where we differ it is on purpose: what that conversion drops
(``is_error``, documents, per-message effort, structured output, prefill, forced choice), and what
it refuses although the conversation can be answered.
"""

from typing import Any, Literal

from msgspec import UNSET, Raw
from msgspec.structs import replace

from deepseek_messages.translation import thinking
from deepseek_messages.translation.blocks import Context
from deepseek_messages.translation.catalogue import Choice, Model
from deepseek_messages.translation.compaction import (
    QUESTION_TOKENS,
    SUMMARY_TOKENS,
    asking_message,
)
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.edits import NO_EDITS, Compact, Edits
from deepseek_messages.translation.history import conversation
from deepseek_messages.translation.hosted import HostedResult
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan, Translation, no_rounds
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.sampling import settings_of
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.server_tools import NOTHING_HOSTED, Hosted
from deepseek_messages.translation.sources import Library
from deepseek_messages.translation.structured import SchemaCheck
from deepseek_messages.translation.system import (
    JOINT,
    schema_instruction,
    system_place,
    system_text,
)
from deepseek_messages.translation.tools import Choosing, ToolBook
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatMessage,
    ChatRequest,
    JsonSchema,
    ResponseFormat,
)
from deepseek_messages.wire.content import CompactionBlock, TextBlock, ToolUseBlock
from deepseek_messages.wire.messages import InputMessage, MessagesRequest


def to_chat(
    request: MessagesRequest,
    choice: Choice,
    dialect: Dialect,
    notes: Notes,
    seal: Seal,
    *,
    edits: Edits = NO_EDITS,
    hosted: Hosted = NOTHING_HOSTED,
) -> Translation:
    """The chat request for ``choice.model`` on a server that speaks ``dialect``, and the plan
    for its answer. Every change of meaning goes into ``notes``; ``edits`` leave parts of the
    history out; ``hosted`` says which server tools can be run here.

    Raises ``Refusal`` for what cannot be answered (and in strict mode for what would be lost).
    """
    if request.compaction is None and edits.compact and not edits.compact.pause_after_compaction:
        return _from_summary(request, choice, dialect, notes, seal, edits=edits, hosted=hosted)
    compacts = request.compaction is not None or edits.compact is not None
    if compacts:
        request = _compacting(request, edits, notes)
    model = choice.model
    place = system_place(dialect, model.encoding)
    book = ToolBook(dialect, notes, updates_in_place=place == "in_place", hosted=hosted)
    choosing = _tools(request, book, notes)
    prefilled = _is_prefilled(request, book, dialect, notes)
    on = _thinking_on(request, choice, dialect, notes, forced=choosing.must_call, prefill=prefilled)
    schema = _schema(request)
    context = Context(
        dialect=dialect,
        notes=notes,
        seal=seal,
        tools=book,
        sees=sees_images(model, dialect),
        place=place,
        fills_reasoning=on and dialect.demands_reasoning and dialect.replays_reasoning is not None,
        references=[],
        citable=Library(cites_hosted=schema is None),
        edits=edits,
    )
    messages = _messages(request, context, schema, must_call=choosing.must_call)
    prefill = _mark_prefill(messages, dialect) if prefilled else ""
    settings = settings_of(request, choice, dialect, notes)
    fields = settings.fields
    fields |= thinking.fields_of(on=on, request=request, dialect=dialect)
    if book.functions:
        fields |= _tool_fields(request, book, choosing, dialect)
    if schema is not None:
        fields["response_format"] = _response_format(schema, dialect, prefilled=prefilled)
    if prefilled:
        fields |= _continuation(dialect)
    chat = ChatRequest(model=model.id, messages=messages, **fields)
    plan = _reply_plan(
        request,
        choice,
        context,
        choosing,
        thinks=on,
        stops=settings.stops,
        schema=schema,
        prefill=prefill,
        compacts=compacts,
    )
    return Translation(chat, plan, _rounds(request, plan, context))


def _messages(
    request: MessagesRequest, context: Context, schema: Raw | None, *, must_call: bool
) -> list[ChatMessage]:
    """The conversation. Raises ``Refusal`` for sources to cite in structured output, which has no
    place for citations.
    """
    prompt = system_text(request.system, context.notes)
    if schema is not None or must_call:
        more = _instructions(request, schema, context.dialect, context.notes, must_call=must_call)
        prompt = JOINT.join([part for part in (prompt, *more) if part])
    messages = conversation(request, context, prompt)
    if schema is not None and not context.citable.empty:
        raise Refusal(
            "citations cannot be used together with structured output", path="output_config.format"
        )
    return messages


def _reply_plan(
    request: MessagesRequest,
    choice: Choice,
    context: Context,
    choosing: Choosing,
    *,
    thinks: bool,
    stops: tuple[str, ...],
    schema: Raw | None,
    prefill: str,
    compacts: bool,
) -> ReplyPlan:
    """What the answer's translation must know, once the conversation is translated."""
    display = request.thinking.display if request.thinking is not None else None
    book = context.tools
    return ReplyPlan(
        model=choice.requested,
        tool_names=book.back,
        tools=frozenset(book.callable),
        forced_tool=choosing.forced_tool,
        must_call=choosing.must_call,
        single_tool=_is_single(request),
        thinking=thinks,
        display="omitted" if display == "omitted" else "shown",
        stop_sequences=stops,
        reports_stop_string=context.dialect.reports_stop_string,
        schema=schema,
        prefill=prefill,
        used_tool_ids=frozenset(context.call_ids),
        sources=tuple(context.citable.sources),
        applied_edits=context.edits.applied,
        compaction=compacts,
        no_output=request.max_tokens == 0,
    )


def _rounds(request: MessagesRequest, plan: ReplyPlan, context: Context) -> RoundPlan | None:
    """What may make the answer take several calls of the upstream; for most answers nothing."""
    book, dialect = context.tools, context.dialect
    if plan.compaction or plan.no_output:
        return None
    check: Literal["none", "call", "schema"] = "none"
    if plan.must_call and book.functions:
        check = "call"
    elif plan.schema is not None and not plan.prefill:
        check = "schema"
    if check == "none" and not book.server:
        return None
    return RoundPlan(
        dialect=dialect,
        book=book,
        library=context.citable,
        check=check,
        schema=SchemaCheck(plan.schema, "output_config.format.schema")
        if check == "schema" and plan.schema is not None
        else None,
        passes_text=dialect.json_schema and bool(request.stream),
        quiet=thinking.quiet_fields(request, dialect),
    )


def _compacting(request: MessagesRequest, edits: Edits, notes: Notes) -> MessagesRequest:
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


def _from_summary(
    request: MessagesRequest,
    choice: Choice,
    dialect: Dialect,
    notes: Notes,
    seal: Seal,
    *,
    edits: Edits,
    hosted: Hosted,
) -> Translation:
    """An answer that begins with a summary: the call that asks for it, and what then follows from
    the summary, or from the whole conversation if there is none. What can be refused is refused
    now, and the notes are those of the whole conversation.
    """
    assert edits.compact is not None

    def translated(asked: MessagesRequest, notes: Notes, compact: Compact | None) -> Translation:
        left = replace(edits, compact=compact)
        found = to_chat(asked, choice, dialect, notes, seal, edits=left, hosted=hosted)
        return replace(found, rounds=found.rounds or no_rounds(dialect, notes))

    whole = translated(request, notes, None)
    notes.add(Action.EMULATED, "compaction", "context_management")
    room = choice.model.context_window - edits.tokens - QUESTION_TOKENS
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


def sees_images(model: Model, dialect: Dialect) -> bool:
    """Whether images may be sent."""
    return model.sees if dialect.images is None else dialect.images


# --- tools and thinking ---------------------------------------------------------------------------


def _tools(request: MessagesRequest, book: ToolBook, notes: Notes) -> Choosing:
    book.define(request.tools or [])
    choosing = book.choose(request.tool_choice)
    if request.tool_choice is not None and request.tool_choice.type == "none":
        book.forget()
    if (
        request.mcp_servers is not UNSET
        and bytes(request.mcp_servers).strip() not in _NOTHING
        and not book.runs_mcp
    ):
        notes.add(Action.DROPPED, "mcp_servers", "mcp_servers")
    return choosing


def _tool_fields(
    request: MessagesRequest, book: ToolBook, choosing: Choosing, dialect: Dialect
) -> dict[str, Any]:
    """Only with tools: an empty list of them, and a choice among none, would be refused."""
    fields: dict[str, Any] = {"tools": book.functions}
    if dialect.takes_required:
        fields["tool_choice"] = choosing.tool_choice
    if _is_single(request) and dialect.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


_NOTHING = frozenset({b"null", b"[]", b"{}"})


def _is_single(request: MessagesRequest) -> bool:
    return bool(request.tool_choice and request.tool_choice.disable_parallel_tool_use)


def _thinking_on(
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
    if not thinking.is_wanted(request, choice, notes):
        return False
    if forced and not dialect.forced_tool_while_thinking:
        notes.add(Action.EMULATED, "tool_choice.thinking_off", "tool_choice")
        return False
    if prefill:
        last = len(request.messages) - 1
        notes.add(Action.EMULATED, "prefill.thinking_off", f"messages.{last}")
        return False
    return True


# --- the conversation -----------------------------------------------------------------------------


# Where no ``tool_choice`` is taken, the model can only be told in words.
CALL_INSTRUCTION = "Answer with a call of one of the tools you are given, and write nothing else."


def _instructions(
    request: MessagesRequest, schema: Raw | None, dialect: Dialect, notes: Notes, *, must_call: bool
) -> list[str]:
    """What the model is told behind the system prompt: the schema of structured output that the
    upstream cannot constrain, which stays the same from turn to turn, and that it must call.
    """
    told = []
    if schema is not None and not dialect.json_schema:
        notes.add(Action.EMULATED, "output_config.format", "output_config.format")
        told.append(schema_instruction(schema))
    if must_call and not dialect.takes_required:
        if request.tool_choice is not None and request.tool_choice.type == "any":
            notes.add(
                Action.EMULATED, "tool_choice", "tool_choice"
            )  # a named tool is noted already
        told.append(CALL_INSTRUCTION)
    return told


# --- prefill --------------------------------------------------------------------------------------


def _is_prefilled(request: MessagesRequest, book: ToolBook, dialect: Dialect, notes: Notes) -> bool:
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


def _mark_prefill(messages: list[ChatMessage], dialect: Dialect) -> str:
    """Mark the last message for the upstream's prefix mode; its text is what the answer follows."""
    last = messages[-1]
    assert isinstance(last, AssistantMessage)
    text = last.content if isinstance(last.content, str) else ""
    prefix = True if dialect.prefix == "beta_prefix" else None
    messages[-1] = AssistantMessage(content=text, prefix=prefix)
    return text


def _continuation(dialect: Dialect) -> dict[str, Any]:
    """What vLLM and SGLang must be told to continue the last message."""
    if dialect.prefix != "continue_final_message":
        return {}
    return {"continue_final_message": True, "add_generation_prompt": False}


# --- structured output ----------------------------------------------------------------------------


def _schema(request: MessagesRequest) -> Raw | None:
    config = request.output_config
    chosen = config.format if config is not None and config.format else request.output_format
    return chosen.schema if chosen is not None else None


def _response_format(schema: Raw, dialect: Dialect, *, prefilled: bool) -> ResponseFormat | None:
    if prefilled and dialect.prefix == "beta_prefix":
        return None  # "response_format json_object should not be used with prefix" (DeepSeek)
    if dialect.json_schema:
        return ResponseFormat("json_schema", JsonSchema(name="answer", schema=schema))
    return ResponseFormat("json_object") if dialect.json_object else None
