"""The tools that this server runs inside answers: which a request has, and who runs them."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from deepseek_messages.service.callers import Caller
from deepseek_messages.translation.hosted.round_parts import PendingTool
from deepseek_messages.translation.hosted.server_tools import NOTHING_HOSTED, Hosted, Outcome
from deepseek_messages.wire.messages import MessagesRequest


class ToolRunner(Protocol):
    """Runs the server tools of one request."""

    async def run(self, calls: Sequence[PendingTool]) -> list[Outcome]:
        """The outcomes, in order. A tool that fails has an outcome too."""
        ...

    async def aclose(self) -> None:
        """Release what the tools hold. May be called twice."""
        ...


class NoTools:
    """For requests without tools that somebody must run."""

    async def run(self, calls: Sequence[PendingTool]) -> list[Outcome]:
        """Nothing is ever asked."""
        assert not calls
        return []

    async def aclose(self) -> None:
        """Nothing is held."""


class HostedRun(Struct, frozen=True):
    """What can be run for one request, and who runs it. Whoever has it closes ``tools``."""

    hosted: Hosted = NOTHING_HOSTED
    tools: ToolRunner = NoTools()


NO_RUN = HostedRun()


class Hosting(Protocol):
    """What the settings allow to be run."""

    def may_run(self, request: MessagesRequest) -> bool:
        """Whether ``prepare`` may find anything in ``request``: a quick look."""
        ...

    async def prepare(self, request: MessagesRequest, caller: Caller) -> HostedRun:
        """Connect to what the request names. Raises ``Refusal`` when that cannot be reached."""
        ...


class NoHosting:
    """Nothing but tool search, which needs nobody."""

    def may_run(self, _request: MessagesRequest) -> bool:
        """Never."""
        return False

    async def prepare(self, _request: MessagesRequest, _caller: Caller) -> HostedRun:
        """Nothing."""
        return NO_RUN


NO_HOSTING = NoHosting()


class HostingSwitch:
    """A ``Hosting`` that stands for the one in use now. Requests that run keep what they began
    with: what a run needs is its own, and closed with it.
    """

    def __init__(self, hosting: Hosting = NO_HOSTING) -> None:
        self.current = hosting

    def replace(self, hosting: Hosting) -> None:
        """Use ``hosting`` for requests from now on."""
        self.current = hosting

    def may_run(self, request: MessagesRequest) -> bool:
        """As the one in use says."""
        return self.current.may_run(request)

    async def prepare(self, request: MessagesRequest, caller: Caller) -> HostedRun:
        """As the one in use does."""
        return await self.current.prepare(request, caller)
