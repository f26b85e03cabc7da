"""The part of the application that makes answers, on an upstream of a test's own."""

import os
from pathlib import Path

from deepseek_messages.service.answerer import Answerer
from deepseek_messages.upstreams.base import Upstream
from deepseek_messages.web.app import Parts
from tests.support.app import settings_for


def answerer_on(upstream: Upstream) -> Answerer:
    """As the application makes it. It keeps no files."""
    return Parts(settings_for(Path(os.devnull) / "state"), upstream).answerer
