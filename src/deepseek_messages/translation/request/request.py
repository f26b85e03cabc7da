"""A Messages request to a chat request: the conversation, the tools, the settings.

Texts are joined, tools shown and reasoning kept exactly as DeepSeek's own Messages conversion
does (``deepseek-recipe``), so that the model sees the prompt it would see there, and turn n+1's
prompt begins with turn n's. Where we differ it is on purpose: what that conversion drops
(``is_error``, documents, per-message effort, structured output, prefill, forced choice), and what
it refuses although the conversation can be answered.
"""

from functools import partial
from typing import Any

from msgspec import UNSET, Raw

from deepseek_messages.translation.catalogue import Choice, Model
from deepseek_messages.translation.citing.sources import Library
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted import structured
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted
from deepseek_messages.translation.notes import Action, Notes
from deepseek_messages.translation.plan import Translation
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.translation.request import prefill, thinking
from deepseek_messages.translation.request.blocks import Context
from deepseek_messages.translation.request.edits import NO_EDITS, Edits
from deepseek_messages.translation.request.history import conversation
from deepseek_messages.translation.request.planning import is_single, reply_plan, round_plan
from deepseek_messages.translation.request.sampling import settings_of
from deepseek_messages.translation.request.summary import asking_for_summary, from_summary, goes_on
from deepseek_messages.translation.request.system import (
    JOINT,
    schema_instruction,
    system_place,
    system_text,
)
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.tools.tools import Choosing, ToolBook
from deepseek_messages.wire.chat import ChatMessage, ChatRequest
from deepseek_messages.wire.messages import MessagesRequest

# Where no ``tool_choice`` is taken, the model can only be told in words.
CALL_INSTRUCTION = "Answer with a call of one of the tools you are given, and write nothing else."

_NOTHING = frozenset({b"null", b"[]", b"{}"})


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
    model = choice.model
    if goes_on(request, edits):
        again = partial(to_chat, choice=choice, dialect=dialect, seal=seal, hosted=hosted)
        return from_summary(request, model, dialect, notes, edits=edits, translate=again)
    compacts = request.compaction is not None or edits.compact is not None
    if compacts:
        request = asking_for_summary(request, edits, notes)
    place = system_place(dialect, model.encoding)
    book = ToolBook(dialect, notes, updates_in_place=place == "in_place", hosted=hosted)
    choosing = _tools(request, book, notes)
    forced = choosing.must_call
    prefilled = prefill.is_prefilled(request, book, dialect, notes)
    on = thinking.is_on(request, choice, dialect, notes, forced=forced, prefill=prefilled)
    schema = structured.schema_of(request)
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
    messages = _messages(request, context, schema, must_call=forced)
    settings = settings_of(request, choice, dialect, notes)
    plan = reply_plan(
        request,
        choice,
        context,
        choosing,
        thinks=on,
        stops=settings.stops,
        schema=schema,
        prefill=prefill.mark(messages, dialect) if prefilled else "",
        compacts=compacts,
    )
    fields = settings.fields
    fields |= _fields(request, context, choosing, schema, thinks=on, prefilled=prefilled)
    chat = ChatRequest(model=model.id, messages=messages, **fields)
    return Translation(chat, plan, round_plan(request, plan, context))


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


def sees_images(model: Model, dialect: Dialect) -> bool:
    """Whether images may be sent."""
    return model.sees if dialect.images is None else dialect.images


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


def _fields(
    request: MessagesRequest,
    context: Context,
    choosing: Choosing,
    schema: Raw | None,
    *,
    thinks: bool,
    prefilled: bool,
) -> dict[str, Any]:
    """What the chat request says of thinking, tools and structured output."""
    dialect, book = context.dialect, context.tools
    fields = thinking.fields_of(on=thinks, request=request, dialect=dialect)
    if book.functions:
        fields |= _tool_fields(request, book, choosing, dialect)
    if schema is not None:
        fields["response_format"] = structured.response_format(schema, dialect, prefilled=prefilled)
    if prefilled:
        fields |= prefill.continuation(dialect)
    return fields


def _tool_fields(
    request: MessagesRequest, book: ToolBook, choosing: Choosing, dialect: Dialect
) -> dict[str, Any]:
    """Only with tools: an empty list of them, and a choice among none, would be refused."""
    fields: dict[str, Any] = {"tools": book.functions}
    if dialect.takes_required:
        fields["tool_choice"] = choosing.tool_choice
    if is_single(request) and dialect.parallel_tool_calls:
        fields["parallel_tool_calls"] = False
    return fields


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
