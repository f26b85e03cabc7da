"""What several tests of the web layer watch."""

from typing import Any

import pytest

from deepseek_messages.web import protocol
from deepseek_messages.web.short import ShortWay
from deepseek_messages.web.short_answer import ShortAnswer
from tests.support.gates import WAIT_SECONDS


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[ShortAnswer]:
    """The requests that went the short way."""
    found: list[ShortAnswer] = []
    begin = ShortWay.begin

    def watched(*arguments: Any) -> ShortAnswer | None:
        short = begin(*arguments)
        if short is not None:
            found.append(short)
        return short

    monkeypatch.setattr(ShortWay, "begin", watched)
    # On a busy machine a body may come a while behind its head.
    monkeypatch.setattr(protocol, "BODY_PATIENCE", WAIT_SECONDS)
    return found
