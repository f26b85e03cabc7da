"""Notices at once that a client has gone, also while nothing is being written to it."""

import asyncio
from types import TracebackType

from deepseek_messages.service.tasks import spawn
from deepseek_messages.web.exchange import ClientGoneError, Exchange


class ClientWatch:
    """While the block runs, the client's leaving cancels it: ``ClientGoneError`` comes out.

    Without a task that awaits ``receive``, ASGI servers tell nobody of a closed connection, and
    a silent upstream would go on working for a client that is no longer there. Enter it only
    once the request's body has been read.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._gone = False

    async def __aenter__(self) -> None:
        """Begin to watch."""
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        if not self._exchange.when_gone(self._leave):
            self._watcher = spawn(self._watch(), "client-watch")

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stop watching; tell a cancellation of ours from one that came from outside."""
        if self._watcher is not None:
            self._watcher.cancel()
        else:
            self._exchange.when_gone(None)
        if not self._gone:
            return
        if error is None:
            await _absorb_cancellation()
        self._task.uncancel()
        if error is None or isinstance(error, asyncio.CancelledError):
            raise ClientGoneError from None

    async def _watch(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        # Servers say "disconnect" after a complete answer, too.
        if not self._exchange.finished:
            self._gone = True
            self._task.cancel()


async def _absorb_cancellation() -> None:
    """Let a cancellation that was asked for, but not yet delivered, arrive here."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return
