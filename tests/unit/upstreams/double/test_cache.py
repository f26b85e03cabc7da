"""The context cache."""

import pytest

from deepseek_messages.upstreams.double import cache
from deepseek_messages.upstreams.double.cache import PrefixCache

SCOPE = ("key", "user")


@pytest.mark.parametrize(
    ("prompt", "hit"), [(92, 0), (132, 0), (212, 128), (372, 256), (692, 640), (6906, 6784)]
)
def test_a_repeated_prompt_hits_as_published(prompt, hit):
    found = PrefixCache()
    tokens = list(range(prompt))
    assert found.hit(SCOPE, tokens) == 0
    found.remember(SCOPE, tokens)
    assert found.hit(SCOPE, tokens) == hit


def test_a_longer_prompt_hits_its_beginning():
    found = PrefixCache()
    found.remember(SCOPE, range(500))
    assert found.hit(SCOPE, [*range(500), *range(1000)]) == 384


def test_a_change_in_the_first_unit_misses_all():
    found = PrefixCache()
    found.remember(SCOPE, range(1000))
    assert found.hit(SCOPE, [7, *range(1, 1000)]) == 0


def test_a_change_in_the_middle_keeps_what_is_before_it():
    found = PrefixCache()
    found.remember(SCOPE, range(1000))
    assert found.hit(SCOPE, [*range(300), 7, *range(301, 1000)]) == 256


@pytest.mark.parametrize("other", [("other", "user"), ("key", "other"), ("key", "")])
def test_each_key_and_user_has_its_own(other):
    found = PrefixCache()
    found.remember(SCOPE, range(1000))
    assert found.hit(other, range(1000)) == 0


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(cache, "MAX_UNITS", 2)
    found = PrefixCache()
    found.remember(SCOPE, range(256))
    found.remember(SCOPE, range(1000, 1256))
    assert found.hit(SCOPE, range(1000)) == 0
    assert found.hit(SCOPE, range(1000, 2000)) == 256


def test_clear_forgets():
    found = PrefixCache()
    found.remember(SCOPE, range(1000))
    found.clear()
    assert found.hit(SCOPE, range(1000)) == 0
