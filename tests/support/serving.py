"""The whole program, ``deepseek-messages serve``, in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.canary import WATCH
from tests.support.client import Client


@dataclass(frozen=True)
class Program:
    """A running one, a client of it, its settings file, and the key it made at its start."""

    process: subprocess.Popen[str]
    client: Client
    config: Path
    new_key: str | None = None


def serve_program(
    directory: Path, upstream: str, settings: str = ""
) -> AbstractContextManager[Program]:
    """Serve the chat server at the URL ``upstream`` until the block ends, by force if it must be.
    ``settings`` are further lines of ``[server]``; files are kept in ``directory``. What it logs is
    watched (``tests/canary.py``).
    """
    config = directory / "settings.toml"
    config.write_text(
        f'state_dir = "{directory}"\n[server]\nport = 0\n{settings}\n'
        f'[upstream]\nkind = "chat"\nbase_url = "{upstream}"\ndialect = "deepseek"\n'
    )
    return serve_config(config)


@contextmanager
def serve_config(
    config: Path, *flags: str, env: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Serve as the settings file says until the block ends. A key that is made at the start is
    the client's, else it has one of its own.
    """
    log = config.with_name("log")
    with log.open("a") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_messages", "serve", "--config", str(config), *flags],
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(config.parent), **(env or {})},
        )
    try:
        assert process.stdout is not None
        key, port = None, 0
        for line in process.stdout:
            if found := re.search(r"new key +(\S+)", line):
                key = found[1]
            if not port and (found := re.search(r"127\.0\.0\.1:(\d+)", line)):
                port = int(found[1])
            if line.startswith("Try it"):
                break
        assert port, "it ended before it served"
        client = Client("127.0.0.1", port, {"x-api-key": key or "sk-mine"})
        yield Program(process, client, config, key)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        WATCH.tell(log.read_text())
