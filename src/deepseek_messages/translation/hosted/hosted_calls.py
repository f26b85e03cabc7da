"""Calls of this server's tools in an answer: which must be run, and what comes of the outcomes."""

from collections.abc import Sequence

from msgspec import Raw

from deepseek_messages.translation.hosted.result_text import Reading
from deepseek_messages.translation.hosted.round_parts import (
    MadeCall,
    PendingTool,
    pending_tool,
    tool_text,
)
from deepseek_messages.translation.hosted.server_tools import (
    Outcome,
    failed,
    found_tools,
    result_block,
)
from deepseek_messages.translation.plan import RoundPlan
from deepseek_messages.translation.seal import Seal
from deepseek_messages.translation.tools.names import upstream_id
from deepseek_messages.translation.tools.search import (
    SearchError,
    candidate,
    search_bm25,
    search_regex,
)
from deepseek_messages.wire.chat import ToolMessage


class HostedCalls:
    """``take`` the calls that the model made, run those in ``waiting``, give their outcomes to
    ``results``. ``uses`` counts the tools that ran, by name.
    """

    def __init__(self, plan: RoundPlan, seal: Seal) -> None:
        self.uses: dict[str, int] = {}
        self._pending: list[PendingTool] = []
        self._book = plan.book
        self._citable = plan.citable
        self._seal = seal

    def take(self, calls: Sequence[MadeCall]) -> None:
        """The calls of one round; the client's own are none of these."""
        self._pending = [pending_tool(call) for call in calls if call.tool is not None]

    @property
    def waiting(self) -> list[PendingTool]:
        """The calls that somebody must run, in order."""
        return [each for each in self._pending if not _searches(each) and not self._is_over(each)]

    def results(self, outcomes: Sequence[Outcome]) -> list[tuple[Raw, ToolMessage]]:
        """For each call the block that the client gets and the message that the model gets.
        ``outcomes`` are those of ``waiting``, in its order.
        """
        given = dict(zip([each.id for each in self.waiting], outcomes, strict=True))
        results: list[tuple[Raw, ToolMessage]] = []
        ran: dict[str, int] = {}
        for each in self._pending:
            outcome = given.get(each.id)
            if outcome is not None:
                ran[each.tool.name] = ran.get(each.tool.name, 0) + (not outcome.is_error)
            elif _searches(each):
                outcome = self._search(each)
            else:
                outcome = failed(each.tool, "max_uses_exceeded")
            results.append((result_block(each.tool, each.id, outcome), self._told(each, outcome)))
        for name, count in ran.items():
            self.uses[name] = self.uses.get(name, 0) + count
        self._pending = []
        return results

    def _is_over(self, each: PendingTool) -> bool:
        """Whether the tool was used as often as it may be."""
        most = each.tool.max_uses
        before = self.uses.get(each.tool.name, 0)
        same = [other for other in self._pending if other.tool.name == each.tool.name]
        return most is not None and before + same.index(each) >= most

    def _told(self, each: PendingTool, outcome: Outcome) -> ToolMessage:
        reading = Reading(call_id=each.id, seal=self._seal, citable=self._citable)
        text = tool_text(each.tool, outcome, self._book, reading)
        return ToolMessage(tool_call_id=upstream_id(each.id), content=text)

    def _search(self, each: PendingTool) -> Outcome:
        query = each.arguments.get("query") or each.arguments.get("pattern") or ""
        tools = [candidate(name, function) for name, function in self._book.hidden()]
        try:
            if each.tool.kind == "tool_search_tool_regex":
                return found_tools(search_regex(str(query), tools))
            return found_tools(search_bm25(str(query), tools))
        except SearchError as error:
            return failed(each.tool, error.code)


def _searches(each: PendingTool) -> bool:
    return each.tool.kind.startswith("tool_search")
