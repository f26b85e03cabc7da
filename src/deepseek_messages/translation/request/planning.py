"""From a translated request to the plan of its answer."""

from typing import Literal

from msgspec import Raw

from deepseek_messages.translation.catalogue import Choice
from deepseek_messages.translation.hosted.structured import SchemaCheck, schema_of
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.plan import ReplyPlan, RoundPlan
from deepseek_messages.translation.request import thinking
from deepseek_messages.translation.request.blocks import Context
from deepseek_messages.translation.request.edits import Compact, read_edits
from deepseek_messages.translation.tools.tools import Choosing
from deepseek_messages.wire.messages import MessagesRequest


def reply_plan(
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
        single_tool=is_single(request),
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


def round_plan(request: MessagesRequest, plan: ReplyPlan, context: Context) -> RoundPlan | None:
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
        citable=context.citable,
        check=check,
        schema=SchemaCheck(plan.schema, "output_config.format.schema")
        if check == "schema" and plan.schema is not None
        else None,
        passes_text=dialect.json_schema and bool(request.stream),
        quiet=thinking.quiet_fields(request, dialect),
    )


def may_take_rounds(request: MessagesRequest) -> bool:
    """Whether some upstream may take several calls for the answer although another does not: what
    becomes of a prefill, or of a tool, and how many tokens a prompt has, is not the same for all.
    """
    choice = request.tool_choice
    return (
        schema_of(request) is not None
        or (choice is not None and choice.type in {"any", "tool"})
        or any(isinstance(edit, Compact) for edit in read_edits(request, Notes()) or ())
    )


def is_single(request: MessagesRequest) -> bool:
    """Whether at most one call may be made."""
    return bool(request.tool_choice and request.tool_choice.disable_parallel_tool_use)
