"""Places by name: of one process, and of several that count together."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_messages.upstreams.places import Board, OwnPlaces, Places, SharedPlaces

MANY = 1_000_000


def shared() -> Places:
    return SharedPlaces(Board(1, 16), 0)


@pytest.mark.parametrize("make", [OwnPlaces, shared])
def test_a_limit_is_a_number_of_places_of_one_name(make: Callable[[], Places]) -> None:
    places = make()
    assert [places.take("a", 2) for _ in range(3)] == [True, True, False]
    assert places.take("b", 2)
    assert (places.held("a"), places.held("b"), places.held("c")) == (2, 1, 0)
    places.give_back("a")
    assert places.take("a", 2)
    assert not places.take("c", 0)


def test_workers_count_together() -> None:
    board = Board(3, 16)
    workers = [SharedPlaces(board, number) for number in range(3)]
    assert [worker.take("a", 2) for worker in workers] == [True, True, False]
    assert [worker.held("a") for worker in workers] == [2, 2, 2]
    workers[0].give_back("a")
    assert workers[2].take("a", 2)


def test_the_places_of_a_worker_that_died_are_free_for_the_others_and_its_successor() -> None:
    board = Board(2, 16)
    dead, other = SharedPlaces(board, 0), SharedPlaces(board, 1)
    assert all(dead.take(name, 3) for name in "abca")
    assert other.take("a", 3)
    board.wipe(0)
    assert [other.held(name) for name in "abc"] == [1, 0, 0]
    successor = SharedPlaces(board, 0)
    assert [successor.take("a", 3) for _ in range(3)] == [True, True, False]


def test_a_full_row_gives_no_place_to_another_name() -> None:
    places = SharedPlaces(Board(1, 2), 0)
    assert places.take("a", MANY)
    assert places.take("b", MANY)
    assert not places.take("c", MANY)
    assert places.take("a", MANY)
    places.give_back("b")
    assert places.take("c", MANY)


def test_names_that_were_given_back_take_no_room() -> None:
    board = Board(1, 64)
    places = SharedPlaces(board, 0)
    for number in range(64):
        assert places.take(str(number), 1)
    for number in range(64):
        places.give_back(str(number))
    assert board.row(0)[0] == 0
    assert places.take("again", 1)
    assert board.row(0)[0] == 1


MOVES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcd"), st.booleans()))


@given(MOVES, st.integers(1, 3))
def test_workers_together_are_as_one(moves: list[tuple[int, str, bool]], most: int) -> None:
    board, one = Board(3, 4), OwnPlaces()
    workers = [SharedPlaces(board, number) for number in range(3)]
    taken: list[tuple[int, str]] = []
    for number, name, takes in moves:
        if takes:
            assert workers[number].take(name, most) == one.take(name, most)
            if one.held(name) > sum(each[1] == name for each in taken):
                taken.append((number, name))
        elif (number, name) in taken:
            taken.remove((number, name))
            workers[number].give_back(name)
            one.give_back(name)
        assert all(worker.held(each) == one.held(each) for worker in workers for each in "abcd")
