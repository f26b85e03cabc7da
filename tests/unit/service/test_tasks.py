"""Tasks: held until they end, their failures told, stopped when asked."""

import asyncio

import pytest
from structlog.testing import capture_logs

from deepseek_messages.service import tasks


@pytest.mark.anyio
async def test_the_result_reaches_whoever_awaits() -> None:
    async def work() -> int:
        return 7

    task = tasks.spawn(work(), "work")
    assert tasks.running() == 1
    assert await task == 7
    await asyncio.sleep(0)
    assert tasks.running() == 0


@pytest.mark.anyio
async def test_a_failure_that_nobody_awaits_is_logged_without_its_text() -> None:
    async def work() -> None:
        raise ValueError("the details")

    with capture_logs() as logged:
        task = tasks.spawn(work(), "work")
        await asyncio.wait((task,))
        await asyncio.sleep(0)
    assert [line["event"] for line in logged] == ["bug"]
    assert logged[0]["error"] == "ValueError"
    assert "the details" not in str(logged)


@pytest.mark.anyio
async def test_a_cancelled_task_is_no_failure() -> None:
    with capture_logs() as logged:
        task = tasks.spawn(asyncio.Event().wait(), "wait")
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    assert logged == []
