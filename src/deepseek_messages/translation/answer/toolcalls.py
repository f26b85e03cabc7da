"""Tool calls out of deltas: which delta belongs to which call, and the ids clients may see.

Servers differ in everything a delta says about its call: the index is missing, repeated for
every call or jumps; the id comes once, always, late or never; the name comes late or in pieces;
calls arrive one after the other or interleaved.
"""

import hashlib
import re

from deepseek_messages.translation.answer.chat_json import argument_text
from deepseek_messages.translation.answer.dsml import FoundCall
from deepseek_messages.translation.answer.partial_json import Nesting
from deepseek_messages.translation.plan import ReplyPlan
from deepseek_messages.wire.chat import ToolCallDelta

# What Anthropic's API takes as a tool_use id (its error message names the pattern).
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")

_BLANKS = " \t\n\r"  # RFC 8259's


class Call:
    """One tool call that is being assembled."""

    __slots__ = (
        "_scanned", "_sent", "_texts", "admitted", "closed", "first", "id", "name", "nesting",
        "size", "truncated",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id = ""  # the upstream's
        self.name = ""
        self._texts: list[str] = []  # all pieces of the arguments, in order
        self._sent = 0  # how many of them were given out
        self._scanned = 0  # how many of them ``nesting`` has seen
        self.nesting = Nesting()
        self.size = 0  # characters of arguments
        self.first = ""  # the first visible one
        self.admitted = False  # seen before
        self.closed = False  # its block is closed
        self.truncated = False  # the arguments are known to be cut off

    @classmethod
    def found(cls, found: FoundCall) -> "Call":
        """A call that stood in the text."""
        call = cls()
        call.name = found.name
        call.truncated = found.truncated
        call.add(found.arguments)
        return call

    def add(self, arguments: str) -> None:
        self._texts.append(arguments)
        self.size += len(arguments)
        self.first = self.first or arguments.lstrip(_BLANKS)[:1]

    @property
    def streams(self) -> bool:
        """Whether a beginning of the arguments can be read: an object's or array's can."""
        return self.first in {"{", "["}

    @property
    def whole(self) -> bool:
        """Whether the arguments are a closed object or array, so that nothing is to come."""
        for text in self._texts[self._scanned :]:
            self.nesting.feed(text)
        self._scanned = len(self._texts)
        return self.nesting.closed

    @property
    def arguments(self) -> str:
        return "".join(self._texts)

    def unsent(self) -> str:
        """The arguments that were not given out yet; they count as given out now."""
        text = "".join(self._texts[self._sent :])
        self._sent = len(self._texts)
        return text


class CallBook:
    """Assigns deltas to calls. The order of ``calls`` is that of their first delta."""

    def __init__(self, plan: ReplyPlan) -> None:
        self._tools = plan.tools
        self.calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}

    def take(self, deltas: list[ToolCallDelta]) -> list[tuple[Call, str]]:
        """Enter the tool calls of one chunk; return each call with its new arguments."""
        entered = (
            self._enter(delta, position if len(deltas) > 1 else None)
            for position, delta in enumerate(deltas)
        )
        return [entry for entry in entered if entry is not None]

    def _enter(self, delta: ToolCallDelta, position: int | None) -> tuple[Call, str] | None:
        call_id = delta.id or ""
        name = (delta.function.name or "").strip() if delta.function else ""
        arguments = (argument_text(delta.function.arguments) or "") if delta.function else ""
        known = self._known(delta.index, call_id, name, position)
        if known is None or self._begins_another(known, call_id, name):
            if not (call_id or name or arguments):
                return None
            known = Call()
            self.calls.append(known)
        if delta.index is not None:
            self._by_index[delta.index] = known
        self._name(known, call_id, name)
        if arguments:
            known.add(arguments)
        return known, arguments

    def _known(
        self, index: int | None, call_id: str, name: str, position: int | None
    ) -> Call | None:
        """The call that a delta seems to go on with."""
        last = self.calls[-1] if self.calls else None
        if index is not None:
            if index in self._by_index or self._by_index:
                return self._by_index.get(index)
            # earlier deltas had no index: the same call goes on, unless this one is named
            return None if name else self._at(index) or last
        if call_id:
            nameless = last is not None and not last.id and not name
            return self._by_id.get(call_id) or (last if nameless else None)
        return last if position is None else self._at(position)

    def _at(self, position: int) -> Call | None:
        return self.calls[position] if 0 <= position < len(self.calls) else None

    def _begins_another(self, known: Call, call_id: str, name: str) -> bool:
        """Whether a delta under a known index, id or position starts a new call all the same."""
        if not name or not known.name:
            return False
        if call_id and known.id:
            return call_id != known.id
        if name != known.name:
            return not self._continues_name(known, name)
        return known.whole

    def _continues_name(self, known: Call, name: str) -> bool:
        joined = known.name + name
        return (
            not known.size
            and known.name not in self._tools
            and any(tool.startswith(joined) for tool in self._tools)
        )

    def _name(self, call: Call, call_id: str, name: str) -> None:
        if call_id and not call.id:
            call.id = call_id
            self._by_id.setdefault(call_id, call)
        if name and not call.name:
            call.name = name
        elif name and name != call.name and self._continues_name(call, name):
            call.name += name


class CallIds:
    """Ids as the client gets them: valid, and no two alike in a conversation.

    An id that is missing, outside Anthropic's alphabet or already used is replaced by one made
    from the message id, so that the same answer always gets the same ids. The client sends
    ours back with the call and with its result, which is all that an upstream needs.
    """

    def __init__(self, message_id: str, used: frozenset[str]) -> None:
        self._message_id = message_id
        self._used = set(used)

    def give(self, upstream_id: str) -> str:
        """The client's id for the next call."""
        given = upstream_id
        attempt = 0
        while given in self._used or not _ID.match(given):
            seed = f"{self._message_id}\n{upstream_id}\n{len(self._used)}\n{attempt}"
            given = "toolu_" + hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:24]
            attempt += 1
        self._used.add(given)
        return given
