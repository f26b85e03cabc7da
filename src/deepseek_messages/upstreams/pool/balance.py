"""Which of several equal servers gets a request.

With a key (a conversation) it is always the same server, as long as that one is there and not
busier than the others: its prefix cache holds the beginning already. A server that is known to
have been given a long beginning of the prompt (its home) comes first, by the same rule. The order
of the servers for a key is by weighted rendezvous hashing (Thaler and Ravishankar; Schindelhauer
and Schomaker for weights): a server that comes or goes moves only its own share of keys. No
server gets more than ``SLACK`` times its fair share of what runs ("Consistent Hashing with
Bounded Loads", Mirrokni, Thorup, Zadimoghaddam). Without a key it is the one with the least load.
"""

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b

from msgspec import Struct

# The authors of bounded loads suggest 1.25: near even load, few keys that move.
SLACK = 1.25


class Seat(Struct, frozen=True, kw_only=True):
    """A server that may be chosen. ``share`` in (0, 1] is less than 1 for one just come back."""

    name: str
    weight: float = 1.0
    share: float = 1.0
    load: int = 0


def choose(
    seats: Sequence[Seat],
    key: bytes | None,
    draw: Callable[[], float],
    home: str | None = None,
) -> Seat:
    """The seat for one more request, of at least one. ``draw`` gives numbers in [0, 1) and
    decides between equals; ``home`` is the name of the server that has the prompt's beginning.
    """
    if len(seats) == 1:
        return seats[0]
    if key is None:
        return _least_loaded(seats, draw)
    bound = _bounds(seats)
    ranked = sorted(seats, key=lambda seat: (seat.name == home, _score(seat, key)), reverse=True)
    return next((seat for seat in ranked if seat.load < bound[seat.name]), ranked[0])


def _least_loaded(seats: Sequence[Seat], draw: Callable[[], float]) -> Seat:
    """By what the load would be, for the seat's strength."""
    return min(seats, key=lambda seat: ((seat.load + 1) / (seat.weight * seat.share), draw()))


def _bounds(seats: Sequence[Seat]) -> dict[str, int]:
    """The most that each may have when one request more runs."""
    total = sum(seat.load for seat in seats) + 1
    strength = sum(seat.weight * seat.share for seat in seats)
    return {
        seat.name: math.ceil(SLACK * total * seat.weight * seat.share / strength) for seat in seats
    }


def _score(seat: Seat, key: bytes) -> float:
    """The highest wins; a seat wins as often as its weight says."""
    digest = blake2b(key, digest_size=8, key=seat.name.encode()[:64]).digest()
    # 52 bits: with more the highest ones would be rounded to 1, whose logarithm is 0.
    part = ((int.from_bytes(digest) >> 12) + 0.5) / 2**52
    return -seat.weight / math.log(part)
