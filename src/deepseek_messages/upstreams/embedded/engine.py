"""llama.cpp with one model loaded, as blocking calls.

``xllamacpp`` runs llama.cpp's own server code in threads of this process. That code also opens a
listener which cannot be switched off; it is put on a Unix socket in a private directory (on
loopback with a random key where the platform has none) and used for what the binding has no
call for: the size of a prompt and the model's properties.
"""

import http.client
import importlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from deepseek_messages.upstreams.embedded.errors import EngineError, fault_of, refused
from deepseek_messages.upstreams.embedded.gguf import GgufInfo
from deepseek_messages.upstreams.embedded.template import ChatTemplate

# Tokens of prompt worked on between two looks at whether to stop, and between two turns of the
# other slots. On one processor 16 tokens of a 135M model take 0.2 s; 16, 32, 64 and 256 gave the
# same 80 tokens a second. Graphics processors need more at a time to be fast, and are.
BATCH_TOKENS = 16
GPU_BATCH_TOKENS = 512

# Prompts of finished requests are kept in memory up to this, for conversations that come back
# after their slot was given to another (the engine's own default is 8 GiB).
PROMPT_CACHE_MIB = 512

# Longest path of a Unix socket (Linux's sun_path is 108 bytes, macOS's 104).
MAX_SOCKET_PATH = 100

DEFAULT_CONTEXT = 4096  # for a file that does not say what its model was trained for
MIN_CONTEXT = 2048
MIN_CACHE_BUDGET = 1 << 30
COUNT_TIMEOUT = 60.0  # seconds; a prompt of a million tokens takes a few

INSTALL_HINT = "the embedded engine is missing: pip install 'deepseek-messages[embedded]'"


class EngineMissing(Exception):
    """``xllamacpp`` is not installed."""


class Shape(Struct, frozen=True):
    """``context`` is in tokens, for each of ``slots`` requests at a time."""

    context: int
    slots: int


class _Counted(Struct, frozen=True):
    input_tokens: int


class _Failure(Struct, frozen=True):
    error: EngineError


def choose_shape(info: GgufInfo, context: int, slots: int, budget: int) -> Shape:
    """What fits in ``budget`` bytes of keys and values. A context that was asked for (not 0) is
    kept and slots are given up for it; otherwise the model's own is taken, and shortened only
    when a single slot would not fit.
    """
    wanted = context or info.context or DEFAULT_CONTEXT
    if info.context:
        wanted = min(wanted, info.context)
    if not info.cache_bytes:
        return Shape(wanted, slots)
    tokens = budget // info.cache_bytes
    if not context:
        wanted = min(wanted, max(tokens, MIN_CONTEXT))
    return Shape(wanted, max(1, min(slots, tokens // wanted)))


def cache_budget() -> int:
    """A quarter of the machine's memory, but at least 1 GiB, in bytes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        memory = 0
    return max(MIN_CACHE_BUDGET, memory // 4)


def default_threads() -> int:
    """All processors but one of up to four; of more, half, since two of one core add little. The
    engine's threads wait for each other by spinning: when one of them has to share a processor
    (with this server, with a client), all stall. Measured on two busy cores: two threads made
    3 tokens a second, one made 30; on two idle ones 90 and 45.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, processors - 1) if processors <= 4 else processors // 2


class Engine:
    """Every method blocks and may be called from any thread; ``close`` when no other call runs.

    Loading holds Python's global lock for the time the engine needs beyond reading the file
    (about a second for the default model), because the binding does not release it.
    """

    def __init__(
        self, path: Path, *, name: str, shape: Shape, threads: int, template: ChatTemplate
    ) -> None:
        try:
            binding: Any = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise EngineMissing(INSTALL_HINT) from error
        self._folder = Path(tempfile.mkdtemp(prefix="dsm-"))
        self._key = secrets.token_hex(32)
        params = binding.CommonParams()
        params.model.path = str(path)
        params.model_alias = {name}
        params.n_parallel = shape.slots
        params.n_ctx = shape.context * shape.slots
        _tune(params, binding, shape)
        params.cache_ram_mib = PROMPT_CACHE_MIB
        params.warmup = False  # done below, without holding the lock
        params.verbosity = 0
        params.ui = params.endpoint_slots = False
        params.api_keys = [self._key]
        params.hostnames = [self._listen_on()]
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads or default_threads()
        if template.override:
            params.chat_template = template.override
        try:
            self._server: Any = binding.Server(params)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._address: str = self._server.listening_address
        # Closing an engine whose loop has not begun waits for ever: one answer proves that it has.
        self.chat(b'{"messages":[{"role":"user","content":"."}],"max_tokens":1}', lambda _: False)

    def _listen_on(self) -> str:
        path = str(self._folder / "e.sock")
        usable = hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= MAX_SOCKET_PATH
        return path if usable else "127.0.0.1"

    def chat(self, body: bytes, on_chunk: Callable[[bytes], bool]) -> None:
        """Answer one request. ``on_chunk`` gets each chunk's JSON; when it returns true, the
        engine stops before its next batch. Raises ``Fault`` when the engine refuses the request
        outright; other errors come as chunks with an ``error``.
        """
        try:
            self._server.handle_chat_completions(body, on_chunk)
        except (ValueError, RuntimeError) as error:
            raise refused(str(error)) from error

    def count(self, body: bytes) -> int:
        """The size in tokens of the prompt that ``body`` makes. Raises ``Fault``."""
        status, answer = self._ask("POST", "/v1/chat/completions/input_tokens", body)
        if status != 200:
            raise fault_of(msgspec.json.decode(answer, type=_Failure).error)
        return msgspec.json.decode(answer, type=_Counted).input_tokens

    def context(self) -> int:
        """The context of one slot in tokens, as the engine has it."""
        properties = msgspec.json.decode(self._ask("GET", "/props")[1])
        return int(properties["default_generation_settings"]["n_ctx"])

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = _connect(self._address)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self._key}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def close(self) -> None:
        """Free the model and its threads."""
        self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)


def _tune(params: Any, binding: Any, shape: Shape) -> None:
    """On processors alone: small batches, and no flash attention, which is slower there. Measured
    on one processor with the default model: 4,000 tokens of prompt took 76 s with it, 44 s without.
    """
    kinds = binding.ggml_backend_dev_type
    plain = {kinds.GGML_BACKEND_DEVICE_TYPE_CPU, kinds.GGML_BACKEND_DEVICE_TYPE_ACCEL}
    on_cpu = all(device["type"] in plain for device in binding.get_device_info())
    batch = BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS
    params.n_batch = params.n_ubatch = max(batch, shape.slots)
    if on_cpu:
        params.flash_attn_type = binding.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=COUNT_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connect(address: str) -> http.client.HTTPConnection:
    if address.startswith("unix://"):
        return _UnixConnection(address.removeprefix("unix://"))
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=COUNT_TIMEOUT)
