"""Getting a model ready: fetch the file, read it, start the engine. Blocking; for a thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from deepseek_messages.translation.catalogue import Model
from deepseek_messages.upstreams.embedded.engine import Engine, cache_budget, choose_shape
from deepseek_messages.upstreams.embedded.gguf import read_info
from deepseek_messages.upstreams.embedded.template import choose_template

READ_BYTES = 4 << 20

# (step: "download", "unpack" or "load"; bytes done; bytes in all, 0 if unknown). What it raises
# ends the loading.
Progress = Callable[[str, int, int], None]


class ModelSource(Protocol):
    """Where the model comes from."""

    id: str
    display_name: str

    def fetch(self, progress: Progress) -> Path:
        """The GGUF file's path, brought here when it is not there yet. Blocks. Raises an
        exception whose text is for a person.
        """
        ...


class Wishes(Struct, frozen=True, kw_only=True):
    """``context`` in tokens per request (0: the model's own), ``threads`` (0: some)."""

    context: int
    slots: int
    threads: int


class Loaded(Struct, frozen=True):
    """An engine that is ready, and what it serves."""

    engine: Engine
    model: Model
    slots: int


def load(source: ModelSource, wishes: Wishes, progress: Progress) -> Loaded:
    """Fetch and load. Raises ``GgufError``, ``EngineMissing``, or what ``source`` raises."""
    path = source.fetch(progress)
    info = read_info(path)
    template = choose_template(info.template)
    shape = choose_shape(info, wishes.context, wishes.slots, cache_budget())
    read_through(path, progress)
    engine = Engine(path, name=source.id, shape=shape, threads=wishes.threads, template=template)
    context = engine.context()
    model = Model(
        id=source.id,
        display_name=source.display_name,
        context_window=context,
        max_output_tokens=context,
        thinks=template.thinks,
        tools=template.tools,
        owned_by="local",
    )
    return Loaded(engine, model, shape.slots)


def read_through(path: Path, progress: Progress) -> None:
    """Bring the file into the system's cache, with progress: the engine, which tells none, then
    finds it in memory.
    """
    total = path.stat().st_size
    buffer = bytearray(READ_BYTES)
    done = 0
    progress("load", 0, total)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            done += count
            progress("load", done, total)
