"""Generated cases: a generator takes dice and makes one case of them; a test holds for each.

In the suite the dice of a case are seeded with its number, so that everybody runs the same cases,
and they are plain ``random.Random``, because a test of 2,000 cases is to take a second or two. The
same generators run under Hypothesis, which looks for the smallest case that fails:

    HYPOTHESIS_PROFILE=fuzz     100,000 cases a test, other ones in every run
    HYPOTHESIS_PROFILE=explore  2,000 of Hypothesis' own, made small when one fails
    HYPOTHESIS_PROFILE=few      25 cases a test, for a look at very many versions of the code
    SEED=123                    just this case
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from random import Random, SystemRandom
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

CASES = 2000
FUZZ = 100_000
FEW = 25

Item = TypeVar("Item")
Test = Callable[..., None]


def cases(count: int = CASES) -> Callable[[Test], Test]:
    """Run a test whose argument ``dice`` is a ``Random`` for ``count`` cases.

    A failure has a note with the seed of its case. ``count`` is what the suite runs; the fuzz
    profile runs 100,000, or fewer by the same share where a test asks for fewer than 2,000.
    """

    def decorate(test: Test) -> Test:
        if os.environ.get("HYPOTHESIS_PROFILE") == "explore":
            return settings(max_examples=count)(given(dice=st.randoms(use_true_random=False))(test))

        @functools.wraps(test)
        def run(**arguments: Any) -> None:
            for seed in _seeds(count):
                try:
                    test(dice=Random(seed), **arguments)
                except BaseException as error:
                    error.add_note(f"to run this case alone: SEED={seed}")
                    raise

        signature = inspect.signature(test)
        left = [value for name, value in signature.parameters.items() if name != "dice"]
        run.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run

    return decorate


def _seeds(count: int) -> Iterable[int]:
    if one := os.environ.get("SEED"):
        return [int(one)]
    if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz":
        first = SystemRandom().randrange(2**32)
        return range(first, first + count * FUZZ // CASES)
    if os.environ.get("HYPOTHESIS_PROFILE") == "few":
        return range(FEW)
    return range(count)


# --- what every generator needs -------------------------------------------------------------------


def maybe(dice: Random, share: float = 0.5) -> bool:
    return dice.random() < share


def some(
    dice: Random, items: Sequence[Item], least: int = 0, most: int | None = None
) -> list[Item]:
    """Different items, in any order."""
    top = len(items) if most is None else min(most, len(items))
    return dice.sample(list(items), dice.randint(least, top))


def several(dice: Random, make: Callable[[Random], Item], least: int, most: int) -> list[Item]:
    return [make(dice) for _ in range(dice.randint(least, most))]


def text(dice: Random, alphabet: Sequence[str], most: int) -> str:
    """Characters (or words) of an alphabet; none at all is as likely as any other number."""
    return "".join(dice.choices(alphabet, k=dice.randint(0, most)))


# Whatever a string may hold: ASCII, what JSON escapes, letters and ideographs, what is not in the
# basic plane, blanks and line ends of Unicode, a combining mark, a byte order mark, a zero.
ANY_TEXT = [*"abcXYZ019 _-.:,{}[]<>\"'\\/\n\r\t", "\x00", "\x1f", "\x7f", "\x85", "\xa0", "é", "ß"]
ANY_TEXT += ["\u0301", "\u2028", "\u2029", "\u200d", "\ufeff", "中", "文", "，", "｜", "🐋", "👩‍🚀"]
