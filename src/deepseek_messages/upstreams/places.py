"""How many requests of one kind run at a time: of a caller, at an upstream, with an account.

A place has a name, and a limit is a number of places of that name. Where one process serves, a
table counts them. Several workers count together on a ``Board``: memory that they share, with a
row for each. A worker writes its own row only, so nobody waits for a lock, and a worker that is
stopped in the middle holds up no other. Everybody reads all rows: the sum is what counts. When a
worker has died, however it went, its parent wipes the row: its connections are gone too.
"""

import heapq
import mmap
import sys
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

_CELL = 8  # bytes
_RECORD = 2 * _CELL  # a name's tag, and how many places of it the row's worker holds


class Places(Protocol):
    """Places of one server, used by one of its processes."""

    def take(self, name: str, most: int) -> bool:
        """Take a place, unless that makes more than ``most`` of this name. Whether it was taken."""
        ...

    def give_back(self, name: str) -> None:
        """Give back a place that was taken here."""
        ...

    def held(self, name: str) -> int:
        """How many of this name are taken, by anybody."""
        ...


class OwnPlaces:
    """The places of a process that serves alone."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def take(self, name: str, most: int) -> bool:
        """As ``Places``."""
        held = self._held.get(name, 0)
        if held >= most:
            return False
        self._held[name] = held + 1
        return True

    def give_back(self, name: str) -> None:
        """As ``Places``."""
        left = self._held[name] - 1
        if left:
            self._held[name] = left
        else:
            del self._held[name]

    def held(self, name: str) -> int:
        """As ``Places``."""
        return self._held.get(name, 0)


class Board:
    """Rows for so many workers; in each, room for so many ``names`` at a time. Made before the
    workers are: memory reaches them by ``fork``.

    A row is a cell that says how many records are in use, and the records.
    """

    def __init__(self, rows: int, names: int) -> None:
        self.rows = rows
        self.names = names
        self._bytes = _CELL + names * _RECORD  # of a row
        self._memory = mmap.mmap(-1, rows * self._bytes)
        # One cell is written or read at once: it is aligned, and as large as a machine word.
        self._cells = memoryview(self._memory).cast("Q")

    def row(self, number: int) -> memoryview:
        """The cells of a row."""
        cells = self._bytes // _CELL
        return self._cells[number * cells : (number + 1) * cells]

    def wipe(self, number: int) -> None:
        """Give back all places of a worker that is no more."""
        start = number * self._bytes
        self._memory[start : start + self._bytes] = bytes(self._bytes)

    def held(self, tag: bytes) -> int:
        """How many places of this tag all workers hold."""
        memory, cells, found = self._memory, self._cells, 0
        for start in range(0, len(memory), self._bytes):
            first = start + _CELL
            used = cells[start // _CELL]
            at = memory.find(tag, first, first + used * _RECORD) if used else -1
            if at >= 0:
                found += cells[at // _CELL + 1]
        return found


class SharedPlaces:
    """The places of a server with several workers, for the worker whose row ``number`` is."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._row = board.row(number)
        self._records: dict[str, tuple[int, bytes]] = {}  # by name: the cell of its tag, the tag
        self._free: list[int] = []  # a heap of numbers of records below ``_used``

    def take(self, name: str, most: int) -> bool:
        """As ``Places``. Two workers that take the last place at the same instant may both be
        refused; they never both get it.
        """
        record = self._records.get(name) or self._new(name)
        if record is None:
            return False
        cell, tag = record
        self._row[cell + 1] += 1
        if self._board.held(tag) <= most:
            return True
        self.give_back(name)
        return False

    def give_back(self, name: str) -> None:
        """As ``Places``."""
        row = self._row
        cell, _ = self._records[name]
        row[cell + 1] -= 1
        if row[cell + 1]:
            return
        row[cell] = 0
        del self._records[name]
        heapq.heappush(self._free, cell // 2)
        while row[0] and not row[2 * row[0] - 1]:
            row[0] -= 1

    def held(self, name: str) -> int:
        """As ``Places``."""
        return self._board.held(_tag(name))

    def _new(self, name: str) -> tuple[int, bytes] | None:
        """A record for ``name``, if there is room: the first free one, so that few are read."""
        row = self._row
        if self._free and self._free[0] >= row[0]:  # none of them is in use any more
            self._free.clear()
        number = heapq.heappop(self._free) if self._free else row[0]
        if number >= self._board.names:
            return None
        record = self._records[name] = 2 * number + 1, _tag(name)
        row[record[0]] = int.from_bytes(record[1], sys.byteorder)
        row[0] = max(row[0], number + 1)
        return record


@lru_cache(1024)
def _tag(name: str) -> bytes:
    """Eight bytes that stand for ``name``; never all zero, which is nobody's."""
    digest = int.from_bytes(blake2b(name.encode(), digest_size=_CELL).digest())
    return max(digest, 1).to_bytes(_CELL)
