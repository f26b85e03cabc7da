"""llama.cpp's own HTTP server on loopback, in a process of its own.

Run as a program it serves a model file under a name until its standard input ends, and prints its
address once.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY = "sk-llama-server"
CONTEXT = 2048


@contextmanager
def llama_server(
    model: Path, *, key: str = KEY, alias: str = "smollm2", context: int = CONTEXT
) -> Iterator[str]:
    """The server's base URL, until the block ends. It lists the model as ``alias``; each of two
    slots has a window of ``context`` tokens.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(model), key, alias, str(context)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), address
            yield address
        finally:
            process.kill()  # it has nothing to save


def main(model: str, key: str, alias: str, context: str) -> None:
    """Serve until standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {alias}
    params.n_parallel = 2
    params.n_ctx = 2 * int(context)
    params.n_batch = params.n_ubatch = 64
    params.warmup = False
    params.verbosity = 0
    params.ui = False
    params.api_keys = [key]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
