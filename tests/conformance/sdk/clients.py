"""The official SDKs as child processes: one per version, fed one order per line."""

import pathlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import toolchain
from tests.support.programs import Program, running_program

HERE = pathlib.Path(__file__).parent
NODE_DRIVER = toolchain.NODE_PROJECT / "driver.mjs"

# name -> the header that carries the key of this SDK
SDKS = {
    "python-2": "authorization",
    **{f"python-{version}": "x-api-key" for version in toolchain.OLD_ANTHROPIC},
    "typescript-1": "authorization",
}


def command(name: str) -> list[str]:
    """How the driver of that SDK is started."""
    if name == "typescript-1":
        return ["node", str(toolchain.node_script(NODE_DRIVER))]
    driver = str(HERE / "driver.py")
    if name == "python-2":
        return [sys.executable, driver]
    return [str(toolchain.old_anthropic(name.removeprefix("python-"))), driver]


class Client:
    """A user's program on one SDK."""

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self.program = program

    def run(self, scenario: str, base_url: str, model: str = "deepseek-chat") -> dict[str, Any]:
        """What the scenario gave. Raises ``AssertionError`` when the program failed in it."""
        return self.program.run(scenario=scenario, base_url=base_url, key="sk-sdk", model=model)


@contextmanager
def running_client(name: str) -> Iterator[Client]:
    """The program, until the block ends."""
    with running_program(command(name)) as program:
        yield Client(name, program)
