"""The keys that callers of this server hold. Only their SHA-256 digests are ever stored."""

import errno
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from deepseek_messages.telemetry.logs import log

# 32 random bytes: as many as the digest has. The prefix makes a leaked key recognisable to
# scanners, as with GitHub's and Anthropic's keys.
KEY_PREFIX = "dsm-"
KEY_BYTES = 32

KEYS_FILE = "keys"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LINE = re.compile(r"(?P<digest>[0-9a-f]{64})\s+(?P<created>\S+)\s+(?P<name>\S+)")

# Seconds after which a key that was let in is looked for again in the file.
LOOK_AFTER = 0.1

# Why a file cannot be read for a moment: this process, or the machine, has too many open.
_PASSING = (errno.EMFILE, errno.ENFILE)

_UNREAD = (0, 0, 0)  # the stamp of no file: the next look reads again

HEADER = "# Keys of deepseek-messages: SHA-256 digest, creation time, name. One key a line.\n"


class KeyFileError(Exception):
    """The file of keys cannot be used; the message says why."""


class KeyEntry(Struct, frozen=True, kw_only=True):
    """A key that may be used. ``digest`` is 64 hexadecimal digits, ``created`` RFC 3339."""

    digest: str
    created: str
    name: str


def digest_of(key: str) -> str:
    """The digest under which ``key`` is known, 64 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyFile:
    """A file of keys: readable by its owner only, replaced as a whole on every change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)  # looked at for every request, where pathlib is a cost

    def load(self) -> list[KeyEntry]:
        """All entries; none when there is no file. Raises ``KeyFileError`` for a line that is
        no entry: a key that was meant to work must not fail in silence.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{self.path}: cannot be read ({type(error).__name__})") from error
        entries = []
        for number, line in enumerate(map(str.strip, text.splitlines()), 1):
            if not line or line.startswith("#"):
                continue
            match = LINE.fullmatch(line)
            if match is None:
                raise KeyFileError(f"{self.path}, line {number}: not a digest, a time and a name")
            entries.append(KeyEntry(**match.groupdict()))
        return entries

    def create(self, name: str) -> str:
        """Make a key and store its digest under ``name``. Returns the key itself: it is the only
        time anybody sees it. Raises ``KeyFileError`` when the name is taken or unusable.
        """
        if not NAME.fullmatch(name):
            raise KeyFileError(f"{name!r}: a name is letters, digits, '.', '_' and '-', at most 64")
        key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._alone():
            entries = self.load()
            if any(entry.name == name for entry in entries):
                raise KeyFileError(f"{name!r}: there is a key of that name")
            self._write([*entries, KeyEntry(digest=digest_of(key), created=created, name=name)])
        return key

    def remove(self, name: str) -> bool:
        """Forget the key of that name. Whether there was one."""
        if not any(entry.name == name for entry in self.load()):
            return False  # also where nothing can be written
        with self._alone():
            entries = self.load()
            kept = [entry for entry in entries if entry.name != name]
            if len(kept) == len(entries):
                return False
            self._write(kept)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the file: a key that one process removes must not come back
        with what another had read before. Raises ``KeyFileError``.
        """
        from filelock import FileLock  # noqa: PLC0415 - for those who change keys

        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), mode=0o600)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except OSError as error:
            raise KeyFileError(f"{self.path}: cannot be written ({error.strerror})") from error
        try:
            yield
        finally:
            lock.release()

    def _write(self, entries: Iterable[KeyEntry]) -> None:
        lines = [f"{entry.digest} {entry.created} {entry.name}\n" for entry in entries]
        try:
            write_private(self.path, (HEADER + "".join(lines)).encode())
        except OSError as error:
            raise KeyFileError(f"{self.path}: cannot be written ({error.strerror})") from error

    def stamp(self) -> tuple[int, int, int] | None:
        """What changes whenever the file does; ``None`` without a file."""
        try:
            status = os.stat(self._name)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


class Keyring:
    """Tells whose key it is: digests from the settings and a file that may change at any time."""

    def __init__(self, digests: Collection[str] = (), file: KeyFile | None = None) -> None:
        self._fixed = [(bytes.fromhex(digest), f"key-{digest[:8]}") for digest in digests]
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._known = list(self._fixed)
        self._version = 0
        self._look_at = 0.0
        self._refresh()

    def find(self, key: str) -> str | None:
        """The public name of ``key``, or ``None`` for a stranger's. Every digest is compared, in
        constant time, whichever matches.
        """
        self._refresh_or_keep()
        digest = bytes.fromhex(digest_of(key))
        found = None
        for known, name in self._known:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def version(self) -> int:
        """A number that grows whenever the keys change, at most ``LOOK_AFTER`` later."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_AFTER
            self._refresh_or_keep()
        return self._version

    def __len__(self) -> int:
        """How many keys may be used now."""
        return len(self._known)

    def _refresh_or_keep(self) -> None:
        """A file that was damaged while in use changes nothing, and is complained of once."""
        try:
            self._refresh()
        except KeyFileError as error:
            log().error("keys not reloaded", why=str(error))

    def _refresh(self) -> None:
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._version += 1
        try:
            entries = self._file.load()
        except KeyFileError as error:
            if getattr(error.__cause__, "errno", None) in _PASSING:
                self._stamp = _UNREAD
            raise
        self._known = self._fixed + [(bytes.fromhex(e.digest), e.name) for e in entries]


def write_private(path: Path, data: bytes) -> None:
    """Put ``data`` into ``path`` in one step: whoever reads sees the old or the new file, and
    only its owner can (mode 0600). Raises ``OSError``.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def private_bytes(path: Path, size: int) -> bytes:
    """``size`` random bytes that stay the same over restarts, kept in ``path`` (mode 0600); made
    at first use. Several processes that start at once agree on one value. Raises ``OSError``.
    """
    if not path.exists():  # what others have made may stand where nothing can be written
        _make_private(path, secrets.token_bytes(size))
    found = path.read_bytes()
    if len(found) != size:
        raise OSError(f"{path} holds {len(found)} bytes instead of {size}")
    return found


def _make_private(path: Path, data: bytes) -> None:
    """Put ``data`` into ``path`` unless another process was first. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
