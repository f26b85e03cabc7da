"""How long the embedded engine works on for a client that has left: the CPU time of the process
tells, for which nothing else is to do.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import processes
from bench.faults import PROMPT, ROOT, read_until, show

STORY = {**PROMPT, "max_tokens": 2_000, "messages": [{"role": "user", "content": "Tell a story."}]}

# A core that is busy for less than this part of a moment has nothing to do with tokens.
BUSY = 0.3
MOMENT = 0.02  # seconds

QUIET = 0.5  # seconds without work after which there will be none


@contextmanager
def embedded() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The server with the model in the process: its port and process."""
    port = processes.free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "bench.toml")
        config.write_text(
            f'state_dir = "{folder}"\ncache_dir = "{folder}"\n[server]\nport = {port}\n[auth]\n'
            'mode = "open"\n[upstream]\nkind = "embedded"\n[embedded]\nthreads = 1\n'
            '[log]\nlevel = "error"\n'
        )
        command = [sys.executable, "-m", "deepseek_messages", "serve", "--config", str(config)]
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        options = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with processes.running(command, cwd=ROOT, **options) as process:
            processes.wait_for_port(port, process)
            yield port, process


def works_on(pid: int) -> float:
    """Milliseconds from now until the last moment of work."""
    start = last = time.perf_counter()
    at, used = start, processes.cpu_seconds(pid)
    while at - last < QUIET:
        time.sleep(MOMENT)
        now, more = time.perf_counter(), processes.cpu_seconds(pid)
        if more - used > BUSY * (now - at):
            last = now
        at, used = now, more
    return (last - start) * 1e3


def leave_embedded(tries: int) -> None:
    """From the client's close to the engine's rest, to within a moment."""
    body = json.dumps(STORY).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    taken: list[float] = []
    with embedded() as (port, process):
        for _ in range(tries):
            with socket.create_connection(("127.0.0.1", port), 60) as sock:
                sock.sendall(head % len(body) + body)
                read_until(sock, b"text_delta")
            taken.append(works_on(process.pid))
    show("client gone to embedded engine at rest", taken, "≤ 250 ms")


if __name__ == "__main__":
    leave_embedded(20)
