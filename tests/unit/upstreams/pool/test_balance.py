"""Which server gets a request: the same for the same conversation, none too many."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from deepseek_messages.upstreams.pool import balance
from deepseek_messages.upstreams.pool.balance import SLACK, Seat, choose

FOUR = [Seat(name=f"gpu-{number}") for number in range(4)]
KEYS = [f"session-{number}".encode() for number in range(2000)]


def name_of(seats: list[Seat], key: bytes | None, draw: float = 0.0) -> str:
    return choose(seats, key, lambda: draw).name


def test_a_key_goes_to_the_same_server_every_time_in_any_order() -> None:
    for key in KEYS[:50]:
        assert name_of(FOUR, key) == name_of(FOUR[::-1], key)


def test_keys_are_spread_evenly() -> None:
    counts = Counter(name_of(FOUR, key) for key in KEYS)
    assert set(counts) == {seat.name for seat in FOUR}
    assert max(counts.values()) < 1.2 * len(KEYS) / 4


def test_weights_divide_the_keys() -> None:
    seats = [replace(FOUR[0], weight=3.0), FOUR[1]]
    counts = Counter(name_of(seats, key) for key in KEYS)
    assert counts["gpu-0"] / len(KEYS) == pytest.approx(0.75, abs=0.03)


def test_a_server_that_goes_moves_only_its_own_keys() -> None:
    moved = [key for key in KEYS if name_of(FOUR, key) != name_of(FOUR[:3], key)]
    assert {name_of(FOUR, key) for key in moved} == {"gpu-3"}


def test_a_server_that_is_busier_than_its_share_is_passed_over() -> None:
    key = next(key for key in KEYS if name_of(FOUR, key) == "gpu-2")
    busy = [replace(seat, load=9 if seat.name == "gpu-2" else 1) for seat in FOUR]
    assert name_of(busy, key) != "gpu-2"
    even = [replace(seat, load=3) for seat in FOUR]
    assert name_of(even, key) == "gpu-2"


def test_no_server_gets_more_than_its_bounded_share() -> None:
    loads = dict.fromkeys((seat.name for seat in FOUR), 0)
    for _ in range(400):  # one conversation asks for everything
        seats = [replace(seat, load=loads[seat.name]) for seat in FOUR]
        loads[name_of(seats, b"the same")] += 1
    assert max(loads.values()) <= SLACK * 400 / 4 + 1


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1e6), st.floats(0.1, 1.0), st.integers(0, 50)),
        min_size=1,
        max_size=6,
    ),
    st.none() | st.binary(max_size=8),
)
def test_whoever_is_chosen_stays_within_its_share(
    servers: list[tuple[float, float, int]], key: bytes | None
) -> None:
    seats = [
        Seat(name=str(number), weight=weight, share=share, load=load)
        for number, (weight, share, load) in enumerate(servers)
    ]
    chosen = choose(seats, key, lambda: 0.5)
    strength = sum(seat.weight * seat.share for seat in seats)
    total = sum(seat.load for seat in seats) + 1
    if key is not None and len(seats) > 1:
        assert chosen.load < SLACK * total * chosen.weight * chosen.share / strength + 1
    assert choose(seats[::-1], key, lambda: 0.5).name == chosen.name or key is None


def test_the_highest_number_that_a_key_hashes_to_has_an_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Highest:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def digest(self) -> bytes:
            return b"\xff" * 8

    monkeypatch.setattr(balance, "blake2b", Highest)
    assert name_of(FOUR, b"key") == "gpu-0"


def test_its_home_goes_before_the_order_of_the_key_but_not_above_its_share() -> None:
    for key in KEYS[:20]:
        assert choose(FOUR, key, lambda: 0.0, "gpu-3").name == "gpu-3"
        busy = [replace(seat, load=9 if seat.name == "gpu-3" else 1) for seat in FOUR]
        assert choose(busy, key, lambda: 0.0, "gpu-3").name == name_of(busy, key) != "gpu-3"
        assert choose(FOUR[:3], key, lambda: 0.0, "gpu-3").name == name_of(FOUR[:3], key)


def test_without_a_key_the_least_loaded_is_taken() -> None:
    seats = [replace(seat, load=load) for seat, load in zip(FOUR, (3, 1, 2, 5), strict=True)]
    assert name_of(seats, None) == "gpu-1"


def test_load_counts_by_weight() -> None:
    seats = [replace(FOUR[0], weight=4.0, load=5), replace(FOUR[1], load=1)]
    assert name_of(seats, None) == "gpu-0"


def test_one_just_back_gets_less() -> None:
    seats = [replace(FOUR[0], share=0.1, load=1), replace(FOUR[1], load=3)]
    assert name_of(seats, None) == "gpu-1"


def test_chance_decides_between_equals() -> None:
    draws = iter([0.9, 0.1, 0.5, 0.7])
    assert choose(FOUR, None, lambda: next(draws)).name == "gpu-1"


@pytest.mark.parametrize("key", [None, b"key"])
def test_the_only_one_is_taken_however_busy(key: bytes | None) -> None:
    assert name_of([replace(FOUR[0], load=100)], key) == "gpu-0"
