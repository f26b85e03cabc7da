"""Child processes of a run, their ports, and the CPU time and memory they used."""

import contextlib
import ctypes
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bench.bodies import KEY
from bench.install import find_nginx


def stop_cleanly() -> None:
    """Let SIGTERM end this program as an exception does, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def told_port(process: subprocess.Popen[bytes]) -> int:
    """The port in the address that it prints once it listens; nobody else can have taken it."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(rb"127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise RuntimeError(f"{process.args!r} ended before it listened")


def children(pid: int) -> list[int]:
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, from schedstat where there is one."""
    total = 0.0
    for one in children(pid):
        for task in pathlib.Path(f"/proc/{one}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def resident_bytes(pid: int) -> int:
    pages = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            pages += int(pathlib.Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """In a child: SIGTERM when its parent ends, however that comes about."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def running(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, preexec_fn=_end_with_parent, **options)  # type: ignore[call-overload]  # noqa: PLW1509
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def upstream(
    chunks: int = 100, interval_ms: float = 0, *, model: str = "deepseek-flash"
) -> Iterator[int]:
    """The scripted upstream (``bench.upstream``): its port."""
    command = [sys.executable, "-m", "bench.upstream", "--chunks", str(chunks)]
    command += ["--interval-ms", str(interval_ms), "--model", model]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000; client_max_body_size 64m; client_body_buffer_size 8m;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(upstream_port: int) -> Iterator[tuple[int, int]]:
    """nginx passing bytes through, buffering off, keep-alive: (port, pid)."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "nginx.conf")
        config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream_port))
        with running([find_nginx(), "-p", folder, "-c", str(config)]) as process:
            wait_for_port(port, process)
            yield port, process.pid


def chat_upstream(port: int) -> str:
    """Settings for a chat server on that port."""
    return f"""
[upstream]
kind = "chat"
base_url = "http://127.0.0.1:{port}"
dialect = "deepseek"
api_key = "bench-upstream-key"
"""


@contextlib.contextmanager
def server(upstream: int | str, *, key: str = KEY, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Our server with everything on (gateway keys, validation, metrics, logs at info): (port,
    pid). ``upstream`` is a chat server's port, or the settings that name another upstream.
    """
    port = free_port()
    digest = hashlib.sha256(key.encode()).hexdigest()
    named = chat_upstream(upstream) if isinstance(upstream, int) else upstream
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "bench.toml")
        config.write_text(
            f"""
state_dir = "{folder}"
[server]
port = {port}
workers = {workers}
[auth]
mode = "keys"
key_digests = ["{digest}"]
{named}
[log]
level = "info"
format = "json"
"""
        )
        command = [sys.executable, "-m", "deepseek_messages", "serve", "--config", str(config)]
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        environment |= {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
        with (
            pathlib.Path(folder, "log").open("wb") as log,
            running(command, stdout=log, stderr=log, env=environment) as process,
        ):
            try:
                wait_for_port(port, process)
                yield port, process.pid
            except (RuntimeError, TimeoutError):
                sys.stderr.write(pathlib.Path(folder, "log").read_text()[-2000:])
                raise
