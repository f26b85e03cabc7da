"""The line protocol of the drivers: one JSON order in, one JSON answer out.

A driver uses one client library as its user would. What an answer says is compared by the tests;
nothing is judged here.
"""

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

Scenario = Callable[["Order"], dict[str, Any]]


class Order(NamedTuple):
    """Where the server is (``http://host:port``) and what to use there."""

    server: str
    key: str
    model: str


def drive(*scenarios: Scenario) -> None:
    """Do what standard input asks for, until it ends."""
    known = {scenario.__name__: scenario for scenario in scenarios}
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = known[order["scenario"]](Order(order["server"], order["key"], order["model"]))
        except Exception:  # noqa: BLE001 - told to the test, which fails on it
            answer = {"crashed": traceback.format_exc()}
        out.write(json.dumps(answer) + "\n")
        out.flush()
