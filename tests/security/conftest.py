"""One server per configuration for a whole file: tables have many rows."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.app import Served, served


@pytest.fixture(scope="module")
def server() -> Iterator[Callable[..., Served]]:
    """``server(name, **settings)``: the running application of that name, started once. What its
    upstream saw of earlier tests is forgotten.
    """
    running: dict[str, Served] = {}
    with ExitStack() as stack:

        def get(name: str, **settings: Any) -> Served:
            if name not in running:
                running[name] = stack.enter_context(served(**settings))
            running[name].upstream.played.clear()
            return running[name]

        yield get
