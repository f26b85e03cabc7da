"""The part of the application that makes answers, on an upstream of a test's own."""

import os
from pathlib import Path
from typing import Any

from deepseek_messages.service.answer import Answer
from deepseek_messages.service.answerer import Answerer
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.web.app import Parts
from tests.support.app import settings_for


def answerer_on(upstream: Upstream) -> Answerer:
    """As the application makes it. It keeps no files."""
    return Parts(settings_for(Path(os.devnull) / "state"), upstream).answerer


async def events_of(answer: Answer) -> list[Any]:
    """All events to the answer's end, which is closed then."""
    events: list[Any] = []
    try:
        await answer.opened()
        while batch := await answer.read():
            events += batch
    finally:
        await answer.aclose()
    return events
