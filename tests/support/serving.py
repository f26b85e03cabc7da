"""The whole program, ``deepseek-messages serve``, in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.client import Client


@dataclass(frozen=True)
class Program:
    """A running one, and a client of it."""

    process: subprocess.Popen[str]
    client: Client


@contextmanager
def serve_program(directory: Path, upstream: str, settings: str = "") -> Iterator[Program]:
    """Serve the chat server at the URL ``upstream`` until the block ends, by force if it must be.
    ``settings`` are further lines of ``[server]``; files are kept in ``directory``.
    """
    config = directory / "settings.toml"
    config.write_text(
        f'state_dir = "{directory}"\n[server]\nport = 0\n{settings}\n'
        f'[upstream]\nkind = "chat"\nbase_url = "{upstream}"\ndialect = "deepseek"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "deepseek_messages", "serve", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
    )
    try:
        assert process.stdout is not None
        found = (re.search(r"127\.0\.0\.1:(\d+)", line) for line in process.stdout)
        port = next(int(match[1]) for match in found if match)
        yield Program(process, Client("127.0.0.1", port, {"x-api-key": "sk-mine"}))
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
