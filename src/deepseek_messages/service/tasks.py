"""The one place that starts tasks: each is held until it ends, and its failure is never lost."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from deepseek_messages.telemetry.logs import log_bug

T = TypeVar("T")

# The loop keeps only weak references to tasks (asyncio documentation, "create_task").
_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start ``work`` in the background. It deals with the failures it expects: any exception that
    leaves it is logged as a bug, and reaches whoever awaits the task.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def running() -> int:
    """How many tasks started here have not ended (for leak checks)."""
    return len(_running)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel ``task`` and wait until it has ended, whatever it ends with. If the caller itself
    is cancelled meanwhile, that goes on as usual.
    """
    if task.done():
        return
    task.cancel()
    await asyncio.wait((task,))


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    error = task.exception()
    if error is not None:
        log_bug(error)
