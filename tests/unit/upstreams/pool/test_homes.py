"""Servers that were given a long beginning."""

from deepseek_messages.upstreams.pool.homes import Homes


def test_the_longest_beginning_that_is_remembered_decides() -> None:
    homes = Homes()
    homes.remember([b"a", b"ab"], "one")
    homes.remember([b"a", b"ac"], "two")
    assert homes.of([b"a", b"ab", b"abc"]) == "one"
    assert homes.of([b"a", b"ad"]) == "two"
    assert homes.of([b"x"]) is None
    assert homes.of([]) is None


def test_what_was_not_used_for_long_is_forgotten() -> None:
    homes = Homes(2)
    homes.remember([b"a"], "one")
    homes.remember([b"b"], "one")
    homes.remember([b"a"], "one")
    homes.remember([b"c"], "one")
    assert [homes.of([each]) for each in (b"a", b"b", b"c")] == ["one", None, "one"]
