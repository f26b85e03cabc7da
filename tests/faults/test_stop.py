"""The whole program told to stop: running answers end whole, new work is refused, nothing hangs."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.chat_bytes import DONE, USAGE, delta
from tests.support.client import STREAM, Client
from tests.support.gates import WAIT_SECONDS, Gate
from tests.support.servers import ReadRequest, Wait, answer, chunk, chunked_sse_head, raw_upstream

MODELS = answer(b'{"object": "list", "data": [{"id": "deepseek-chat", "object": "model"}]}')


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_sigterm_lets_a_stream_end_whole_and_refuses_new_work(tmp_path: Path) -> None:
    gate = Gate()
    end = delta("stop", USAGE, content="") + DONE
    stream = [
        ReadRequest(),
        chunked_sse_head(),
        chunk(delta(content="Hel")),
        Wait(gate),
        chunk(delta(content="lo") + end),
        chunk(b""),
    ]
    with raw_upstream([ReadRequest(), MODELS], stream) as upstream:
        config = tmp_path / "settings.toml"
        config.write_text(
            f'state_dir = "{tmp_path}"\n[server]\nport = 0\n'
            f'[upstream]\nkind = "chat"\nbase_url = "{upstream.url}"\ndialect = "deepseek"\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_messages", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        try:
            assert process.stdout is not None
            found = (re.search(r"127\.0\.0\.1:(\d+)", line) for line in process.stdout)
            port = next(int(match[1]) for match in found if match)
            client = Client("127.0.0.1", port, {"x-api-key": "sk-mine"})
            with client.stream(STREAM) as answered:
                for _ in range(3):
                    answered.next()
                process.send_signal(signal.SIGTERM)
                refused = False
                while not refused:
                    try:
                        client.get("/healthz")
                    except OSError:
                        refused = True
                gate.set()
                assert answered.rest()[-1]["type"] == "message_stop"
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
