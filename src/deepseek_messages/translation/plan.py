"""What the translation of an answer must know of its request."""

from collections.abc import Callable
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType, field

from deepseek_messages.translation.citing.sources import Library, Source
from deepseek_messages.translation.dialects import Dialect
from deepseek_messages.translation.hosted.structured import SchemaCheck
from deepseek_messages.translation.notes import Notes
from deepseek_messages.translation.tools.tools import ToolBook
from deepseek_messages.wire.chat import ChatRequest
from deepseek_messages.wire.messages import AppliedEdit, ContextManagement

ThinkingDisplay = Literal["shown", "omitted"]


class ReplyPlan(Struct, frozen=True, kw_only=True):
    """Made with the chat request, read by ``MessageStream``. All names are the client's own
    unless said otherwise.
    """

    model: str  # the name the answer carries
    tool_names: dict[str, str] = {}  # name sent upstream -> the client's name, where they differ
    tools: frozenset[str] = frozenset()  # names the model may call, as sent upstream
    forced_tool: str | None = None  # the one tool that must be called, as sent upstream
    must_call: bool = False  # some tool must be called (``any`` or ``tool``)
    single_tool: bool = False  # disable_parallel_tool_use: keep the first call only
    thinking: bool = False  # thinking is on for this call
    display: ThinkingDisplay = "shown"
    stop_sequences: tuple[str, ...] = ()  # all the client gave, also those the upstream has not
    reports_stop_string: bool = False  # the upstream names the stop string that matched
    schema: Raw | None = None  # structured output: what the text must satisfy
    prefill: str = ""  # a last assistant text that the answer continues
    prefill_echoed: bool = False  # the upstream repeats the prefill; the answer starts after it
    starts_thinking: bool = False  # the prompt ends in <think>: the text begins inside reasoning
    watch_stops: tuple[str, ...] = ()  # stop sequences to find in the text here, and to cut there
    used_tool_ids: frozenset[str] = frozenset()  # ids of calls in the history, not to be repeated
    sources: tuple[Source, ...] = ()  # what the answer may cite; its text bears marks
    applied_edits: tuple[AppliedEdit, ...] | None = None  # context management, if asked for
    compaction: bool = False  # the answer is a summary: one compaction block
    no_output: bool = False  # max_tokens was 0: the one token the upstream makes is left out

    @property
    def context_management(self) -> ContextManagement | UnsetType:
        """What the answer tells of the request's context management, if it asked for any."""
        return UNSET if self.applied_edits is None else ContextManagement(self.applied_edits)

    @property
    def may_be_cut(self) -> bool:
        """Whether a stop sequence may be found here, and the upstream closed for it."""
        return bool(self.stop_sequences) and not self.reports_stop_string


class RoundPlan(Struct, frozen=True, kw_only=True):
    """Why an answer may take several calls of the upstream, and what they need."""

    dialect: Dialect
    book: ToolBook
    citable: Library = field(default_factory=Library)  # takes what the tools give to be cited
    check: Literal["none", "call", "schema"] = "none"
    schema: SchemaCheck | None = None
    passes_text: bool = False  # the upstream holds itself to the schema, and the client streams
    quiet: dict[str, Any] = {}  # the fields of a chat request that turn thinking off
    follow: "Follow | None" = None  # what follows the summary that the answer begins with


def no_rounds(dialect: Dialect, notes: Notes) -> RoundPlan:
    """The plan that asks for nothing."""
    return RoundPlan(dialect=dialect, book=ToolBook(dialect, notes, updates_in_place=False))


class Translation(Struct, frozen=True):
    """A request on the upstream's side, and the plan for its way back. ``rounds`` is there when
    the answer may take more than one call.
    """

    chat: ChatRequest
    plan: ReplyPlan
    rounds: RoundPlan | None = None


# From a summary, or from the fact that there is none, to what is asked next; ``rounds`` is there.
Follow = Callable[[str | None], Translation]
