"""An answer of one server of a pool, which tells the server's record how it went."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from deepseek_messages.translation import faults
from deepseek_messages.translation.answer.finish_reasons import stop_reason
from deepseek_messages.translation.answer.relay import Relay
from deepseek_messages.translation.answer.runs import Pattern
from deepseek_messages.translation.faults import Fault
from deepseek_messages.upstreams.base import ChatStream, PushingStream, as_pushing
from deepseek_messages.wire.chat import ChatChunk, ChunkChoice

if TYPE_CHECKING:
    from deepseek_messages.upstreams.pool.member import Member


class MemberStream:
    """A member's answer; tells the member how it went. What was read to see whether the model
    speaks is given first.
    """

    def __init__(self, member: "Member", place: str | None, since: int) -> None:
        self._member = member
        self._since = since  # the era of its breaker in which it was asked
        self._place = place  # with the account
        self._inner: ChatStream | None = None
        self._pushing: PushingStream | None = None  # the same, while it pushes
        self._first: Sequence[ChatChunk] | None = None
        self._speaks = False
        self._told_end = False  # its reason to end has come
        self._concluded = False  # the member knows how it went
        self._open = True

    def opened(self, inner: ChatStream) -> None:
        """The server said yes."""
        self._inner = inner

    async def begin(self) -> None:
        """Read until the model speaks. Raises ``Fault``, also for an answer that never does."""
        first: list[ChatChunk] = []
        assert self._inner is not None
        while not any(map(_speaks, first)):
            batch = await self._inner.read()
            for chunk in batch:
                if any(map(_speaks, first)):
                    first.append(chunk)
                elif (fault := _fault_of(chunk)) is not None:
                    fault.usage = next((each.usage for each in batch if each.usage), None)
                    raise fault
                elif _speaks(chunk):
                    first.append(chunk)
                elif chunk.usage is not None:  # of what says nothing the last figures are enough
                    first = [chunk]
            if not batch:
                raise faults.cut(f"{self._member.name} ended its answer before it began")
        self._first = first
        self._speaks = True
        self._member.answers(self._since)
        self._judge(first)

    async def read(self) -> Sequence[ChatChunk]:
        """As the server's own stream. Raises ``Fault``."""
        if self._first:
            first, self._first = self._first, None
            return first
        assert self._inner is not None
        self._member.silence.spoke = True  # what was read before
        try:
            chunks = await self._inner.read()
        except Fault as fault:
            self._conclude(fault)
            raise
        self._judge(chunks)
        return chunks

    def when_ready(self, tell: Callable[[], None] | None) -> bool:
        """As the server's own stream, once what was read to see it speak has been given."""
        pushing = as_pushing(self._inner) if self._inner is not None else None
        self._pushing = None if self._first else pushing
        return self._pushing is not None and self._pushing.when_ready(tell)

    def read_now(self) -> Sequence[ChatChunk] | None:
        """As the server's own stream. Raises ``Fault``."""
        assert self._pushing is not None
        self._member.silence.spoke = True
        try:
            chunks = self._pushing.read_now()
        except Fault as fault:
            self._conclude(fault)
            raise
        if chunks is not None:
            self._judge(chunks)
        return chunks

    @property
    def pattern(self) -> Pattern | None:
        """As the server's own stream."""
        return self._pushing.pattern if self._pushing is not None else None

    def relay_now(self, relay: Relay) -> bytes | None:
        """As the server's own stream."""
        self._member.silence.spoke = True
        return self._pushing.relay_now(relay) if self._pushing is not None else None

    def close(self) -> None:
        """As the server's own stream."""
        self._leave()
        if self._pushing is not None:
            self._pushing.close()

    def _judge(self, chunks: Sequence[ChatChunk]) -> None:
        """An error that the server tells of is its failure, and so is an end without a reason."""
        fault = None if chunks or self._told_end else faults.cut()
        for chunk in chunks:
            fault = fault or _fault_of(chunk)
            self._told_end = self._told_end or any(map(_ends, chunk.choices or ()))
        if fault is not None or not chunks:
            self._conclude(fault)

    def _conclude(self, fault: Fault | None) -> None:
        """Tell, once, how it ended."""
        if self._concluded:
            return
        self._concluded = True
        if fault is None:
            self._member.succeeded(self._since)
        else:
            self._member.failed(fault, since=self._since)

    def _leave(self) -> None:
        if self._open:
            self._open = False
            self._member.account.leave(self._place)
            if self._speaks:  # it was well for as long as anybody listened
                self._conclude(None)

    async def aclose(self) -> None:
        """As the server's own stream."""
        self._leave()
        if self._inner is not None:
            await self._inner.aclose()


def _fault_of(chunk: ChatChunk) -> Fault | None:
    """What ended the answer before it was whole, if the chunk tells that."""
    if chunk.error is not UNSET and faults.reports_error(chunk.error):
        return faults.reported(bytes(chunk.error))
    for choice in filter(_ends, chunk.choices or ()):
        try:
            stop_reason(str(choice.finish_reason))
        except Fault as fault:
            return fault
    return None


def _ends(choice: ChunkChoice) -> bool:
    return not choice.index and bool(choice.finish_reason)


def _speaks(chunk: ChatChunk) -> bool:
    return any(map(_says, chunk.choices or ()))


def _says(choice: ChunkChoice) -> bool:
    """Whether anything of it would reach the client."""
    delta = choice.delta
    return not choice.index and (
        choice.finish_reason is not None
        or (
            delta is not None
            and bool(
                delta.content
                or delta.reasoning_content
                or delta.reasoning
                or delta.tool_calls
                or delta.refusal
            )
        )
    )
