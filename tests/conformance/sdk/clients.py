"""The official SDKs as child processes: one per version, fed one order per line."""

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support import toolchain

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
        folder = toolchain.node_project()
        shutil.copy(NODE_DRIVER, folder / NODE_DRIVER.name)
        return ["node", str(folder / NODE_DRIVER.name)]
    driver = str(HERE / "driver.py")
    if name == "python-2":
        return [sys.executable, driver]
    return [str(toolchain.old_anthropic(name.removeprefix("python-"))), driver]


class Client:
    """A user's program on one SDK."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self.process = process

    def run(self, scenario: str, base_url: str, model: str = "deepseek-chat") -> dict[str, Any]:
        """What the scenario gave. Raises ``AssertionError`` when the program failed in it."""
        order = {"scenario": scenario, "base_url": base_url, "key": "sk-sdk", "model": model}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert "crashed" not in answer, answer["crashed"]
        return answer


@contextmanager
def running_client(name: str) -> Iterator[Client]:
    """The program, until the block ends."""
    process = subprocess.Popen(
        command(name),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )
    with process:
        try:
            yield Client(name, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
